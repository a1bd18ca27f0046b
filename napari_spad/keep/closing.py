"""Before napari's window goes: what could not be written is told, and tried again."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_spad.desk import Desk

__all__ = ["Closing"]

REMEDY = (
    "Free some room or allow writing there, and try again. Or go back to napari and export what "
    "you need to another place."
)


class Closing(QObject):
    """Asks before the window goes, where not all is on the disk.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def watch(self, docked: QWidget) -> None:
        """Watch napari's window that a widget is docked in, or floats beside."""
        widget = docked.parentWidget()
        while widget is not None and not isinstance(widget, QMainWindow):
            widget = widget.parentWidget()
        if widget is not None:
            widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Hold the window up where the person wants it."""
        if event.type() != QEvent.Type.Close or self.may_close(watched):
            return False
        event.ignore()
        return True

    def may_close(self, window: QWidget) -> bool:
        """Whether all is on the disk, or the person does without it; nobody is asked unseen."""
        while window.isVisible() and (said := self.desk.unsaved()):
            box = QMessageBox(
                QMessageBox.Icon.Warning, "SPAD", "Not all of your work is saved.", parent=window
            )
            box.setInformativeText("\n\n".join([*said, REMEDY]))
            again = box.addButton("Try again", QMessageBox.ButtonRole.AcceptRole)
            lose = box.addButton("Close and lose it", QMessageBox.ButtonRole.DestructiveRole)
            back = box.addButton("Back to napari", QMessageBox.ButtonRole.RejectRole)
            box.setDefaultButton(again)
            box.setEscapeButton(back)
            box.exec()
            if box.clickedButton() is lose:
                return True
            if box.clickedButton() is not again:
                return False
        return True
