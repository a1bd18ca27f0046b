"""The button “Copy for a bug report” under the panel; also where the engine could not be installed.

This file also runs on the Python of old Slicers.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from typing import Any

import qt
import slicer

__all__ = ["add_report_button", "report"]


def add_report_button(layout: Any) -> Any:
    """Add the button below all else in a layout.

    Parameters
    ----------
    layout : QLayout

    Returns
    -------
    QPushButton
    """
    button = qt.QPushButton("Copy for a bug report")
    button.setFlat(True)
    button.setToolTip(
        "Puts versions, machine, models and the last errors on the clipboard, without paths, users "
        "or patients"
    )
    button.clicked.connect(lambda *_: qt.QApplication.clipboard().setText(report()))
    layout.addWidget(button)
    return button


def report() -> str:
    """Give the engine's report, or, where that is missing, what is known without it."""
    facts = _host_facts()
    try:
        from spad.doctor import examine
    except Exception as error:  # not installed, or broken: of this the report is
        facts["Python"] = platform.python_version()
        facts["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
        facts["engine"] = f"does not load ({type(error).__name__})"
        return "\n".join(f"{what}: {said}" for what, said in facts.items())
    return examine(facts)


def _host_facts() -> dict[str, str]:
    """Give what Slicer says of itself: version, revision, OpenGL."""
    facts = {"host": "3D Slicer"}
    app = slicer.app
    with suppress(Exception):  # each may be missing in another Slicer
        facts["Slicer"] = (
            f"{app.majorVersion}.{app.minorVersion}, revision {app.repositoryRevision}"
        )
    with suppress(Exception):
        window = app.layoutManager().sliceWidget("Red").sliceView().renderWindow()
        for line in window.ReportCapabilities().splitlines():
            if line.lower().startswith(("opengl renderer", "opengl version")):
                what, _, said = line.partition(":")
                facts[what.strip()] = said.strip()
    return facts
