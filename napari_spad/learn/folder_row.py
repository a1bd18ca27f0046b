"""A row of the tab Train that holds a folder: of a training set, of images, of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_spad.desk import Desk, named, setting

__all__ = ["FolderRow"]


class FolderRow(QWidget):
    """A folder: its name, and a button to choose another; remembered in the settings.

    Parameters
    ----------
    desk : Desk
    name : str
        Key of the settings, and the widget's name.
    title : str
        Of the dialog.
    empty : str
        Shown while none is chosen.
    """

    changed = Signal(object)

    def __init__(self, desk: Desk, name: str, title: str, empty: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._desk, self._name, self._title, self._empty = desk, name, title, empty
        self.label = QLabel()
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.button = named(QPushButton("Choose…"), f"{name}_choose")
        self.button.clicked.connect(self.ask)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.label, 1)
        row.addWidget(self.button)
        last = setting(desk.settings, name, "")
        self.path: Path | None = Path(last) if last else None
        self._show()

    def ask(self) -> bool:
        """Let the user choose; whether they did."""
        start = str(self.path or Path.home())
        if text := QFileDialog.getExistingDirectory(self, self._title, start):
            self.choose(Path(text))
        return bool(text)

    def choose(self, path: Path) -> None:
        """Take this folder, and remember it."""
        self.path = path
        self._desk.settings.setValue(self._name, str(path))
        self._show()
        self.changed.emit(path)

    def resizeEvent(self, event: Any) -> None:
        """Shorten the name anew."""
        super().resizeEvent(event)
        self._show()

    def _show(self) -> None:
        text = str(self.path) if self.path else self._empty
        metrics = self.label.fontMetrics()
        width = max(self.label.width(), 60)
        self.label.setText(metrics.elidedText(text, Qt.TextElideMode.ElideLeft, width))
        self.label.setToolTip(str(self.path or ""))
        self.label.setEnabled(self.path is not None)
