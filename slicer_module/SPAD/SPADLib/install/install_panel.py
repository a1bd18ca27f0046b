"""What the module shows while the engine is not there: why, and a button that installs it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer

from SPADLib.host import Cancelled, Pump
from SPADLib.install.install import InstallError, install
from SPADLib.install.requirements import Host, missing, offline_command, plan
from SPADLib.install.slicer_host import SlicerHost

__all__ = ["InstallPanel"]


class InstallPanel:
    """Asks once, installs, and then lets the module open.

    Parameters
    ----------
    layout : QLayout
        Of the module's panel.
    on_ready : callable
        Called once, when all is there.
    host : Host, optional
    """

    def __init__(self, layout: Any, on_ready: Callable[[], None], host: Host | None = None) -> None:
        self.host = SlicerHost() if host is None else host
        self._on_ready = on_ready
        self._pump = Pump(self._on_event, self._on_end)
        self.box = qt.QFrame()
        self.label = qt.QLabel()
        self.label.setWordWrap(True)
        self.button = qt.QPushButton("Install…")
        self.folder_button = qt.QPushButton("From a folder…")
        self.folder_button.setToolTip(
            f"Without a network. On a computer that has one, fill the folder by:\n"
            f"{offline_command(self.host)}"
        )
        self.status = qt.QLabel()
        self.status.setWordWrap(True)
        inner = qt.QVBoxLayout(self.box)
        row = qt.QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.folder_button)
        inner.addWidget(self.label)
        inner.addLayout(row)
        inner.addWidget(self.status)
        layout.addWidget(self.box)
        self.button.clicked.connect(lambda *_: self.install())
        self.folder_button.clicked.connect(lambda *_: self.install_from_folder())

    def check(self) -> bool:
        """Let the module open where nothing is missing; else show what is. Installs nothing."""
        if lacking := missing(self.host):
            self.label.setText(
                f"SPAD is not ready yet: {', '.join(lacking)} must be installed in Slicer's "
                "Python. This is asked once."
            )
            self.box.show()
            return False
        self.box.hide()
        try:
            self._on_ready()
        except Exception as error:
            logging.exception("SPAD could not start")
            self.label.setText(f"SPAD could not start: {error}. {_advice(error)}")
            self.box.show()
            return False
        return True

    def install(self, folder: Path | None = None) -> None:
        """Ask, and install."""
        if self._pump.busy:
            return
        if slicer.util.confirmOkCancelDisplay(plan(self.host, folder), "SPAD"):
            for button in (self.button, self.folder_button):
                button.setEnabled(False)
            self._pump.start(install(self.host, folder))

    def install_from_folder(self) -> None:
        """Ask for a folder of wheels, and install from there."""
        chosen = qt.QFileDialog.getExistingDirectory(self.box, "Folder with the wheels", "")
        if chosen:
            self.install(Path(str(chosen)))

    def _on_event(self, text: str) -> None:
        if text:
            self.status.setText(text)

    def _on_end(self, outcome: BaseException | None) -> None:
        for button in (self.button, self.folder_button):
            button.setEnabled(True)
        if isinstance(outcome, Cancelled):
            self.status.setText("Cancelled.")
        elif outcome is not None:
            known = isinstance(outcome, InstallError)
            self.status.setText(str(outcome) if known else f"It failed: {outcome}")
        elif self.check():
            self.status.setText("")


def _advice(error: BaseException) -> str:
    """What helps, by what the error is of: a broken PyTorch can raise anything as it is loaded."""
    frames = traceback.extract_tb(error.__traceback__)
    torch = any("torch" in Path(frame.filename).parts for frame in frames)
    if torch or (isinstance(error, ImportError) and error.name == "torch"):
        return (
            "Restart Slicer; if that does not help, reinstall PyTorch in the module PyTorch Utils."
        )
    if isinstance(error, ImportError):
        return "Restart Slicer; if that does not help, reinstall the extension SPAD."
    return (
        "Close the scene (File > Close Scene) and open the module again; if that does not help, "
        "please report what the Python console says."
    )
