"""Plots that the engine drew: as large as fits, in a window of their own, saved as PDF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_spad.desk import Background, Desk, named
from napari_spad.measure.saving import Saving

__all__ = ["PlotView", "PlotWindow"]


class PlotView(QLabel):
    """A picture as large as fits."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setMinimumSize(200, 140)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)

    def show_png(self, png: bytes) -> None:
        """Show a PNG."""
        self._whole.loadFromData(png)
        self._fit()

    def say(self, text: str) -> None:
        """Show words in place of a picture."""
        self._whole = QPixmap()
        self.setText(text)

    def resizeEvent(self, event: Any) -> None:
        """Fit the picture again."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """Its own size, where there is a picture."""
        return QSize(560, 400) if self._whole.isNull() else self._whole.size()

    def _fit(self) -> None:
        if not self._whole.isNull():
            keep, smooth = (
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            self.setPixmap(self._whole.scaled(self.size(), keep, smooth))


class PlotWindow(QWidget):
    """A plot in a window, drawn in a worker thread.

    Parameters
    ----------
    desk : Desk
    saving : Saving
        Asks for files.
    parent : QWidget
    """

    def __init__(self, desk: Desk, saving: Saving, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.desk, self._saving = desk, saving
        self._draw: Callable[[str], bytes] | None = None
        self.work = Background(self._failed)
        self.view = named(PlotView(), "plot")
        self.save = named(QPushButton("Save as PDF…"), "save_plot")
        self.save.clicked.connect(self._on_save)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.save)
        layout = QVBoxLayout(self)
        layout.addWidget(self.view, 1)
        layout.addLayout(buttons)
        self.resize(760, 560)

    def show_plot(self, title: str, draw: Callable[[str], bytes]) -> None:
        """Show what `draw` gives for "png", and save what it gives for "pdf"."""
        self.setWindowTitle(title)
        self._draw = draw
        self.view.say("drawing…")
        self.show()
        self.raise_()
        self.work.start(lambda: draw("png"), self.view.show_png)

    def _failed(self, said: str) -> None:
        self.view.say(said)
        self.desk.say(said)

    def _on_save(self) -> None:
        draw = self._draw
        if draw is not None and (path := self._saving.ask("agreement", ".pdf")) is not None:
            self.work.start(lambda: draw("pdf"), lambda pdf: self._saving.write(path, pdf))
