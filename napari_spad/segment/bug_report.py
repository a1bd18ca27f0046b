"""The button “?” at the dock's lower edge: what a bug report needs, on the clipboard."""

from __future__ import annotations

import re

import qtpy
from qtpy.QtWidgets import QApplication, QMenu, QToolButton

from napari_spad.desk import Desk, named

__all__ = ["ReportButton", "host_facts"]


class ReportButton(QToolButton):
    """Offers to copy a report for a bug.

    Parameters
    ----------
    desk : Desk
        Told of what was copied.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        named(self, "help")
        self.setText("?")
        self.setAutoRaise(True)
        self.setStyleSheet("QToolButton::menu-indicator { image: none; }")  # it covers the text
        self.setToolTip("Something is wrong? Copy what a bug report needs")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        self.copy_action = menu.addAction("Copy for a bug report")
        self.copy_action.triggered.connect(lambda *_: self.copy())
        self.setMenu(menu)

    def copy(self) -> None:
        """Put the report on the clipboard."""
        from spad.doctor import examine

        QApplication.clipboard().setText(examine(host_facts()))
        self._desk.say(
            "Copied: versions, machine, models and the last errors, without paths, users or "
            "patients. Paste it into the issue."
        )


def host_facts() -> dict[str, str]:
    """Give what napari says of itself: Qt, OpenGL, screens."""
    from napari.utils import sys_info

    facts = {"host": "napari", "Qt": f"{qtpy.API_NAME} with Qt {qtpy.QT_VERSION}"}
    for line in sys_info().splitlines():
        if found := re.search(r"(GL version|MAX_TEXTURE_SIZE|screen \d+): +(.+)", line):
            facts.setdefault(found[1], found[2])
    return facts
