"""The row “B-scans”: which axis of the volume numbers them, and which way up they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qt

from spad.cases import AXES, Layout
from SPADLib.desk import Desk, png_of, worded
from SPADLib.host import get
from SPADLib.scene import open_source

__all__ = ["LayoutPanel"]


class LayoutPanel:
    """Works on the row of the layout, its picture, and the limits of the range.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self._filling = False
        for name in AXES:
            ui.axisCombo.addItem(f"along {name}")
        ui.axisCombo.currentIndexChanged.connect(lambda *_: self._on_axis())
        ui.turnButton.clicked.connect(lambda *_: self._change(Layout.rotated))
        ui.mirrorButton.clicked.connect(lambda *_: self._change(_mirrored))

    def refresh(self) -> None:
        """Show how the B-scans of the input lie."""
        ui, volume = self.ui, self.desk.parameters.inputVolume
        text, picture, depth, axis = "", None, 1, 0
        if volume is not None:
            try:
                layout, why = self.desk.layout(volume)
                source = open_source(volume, layout)
                depth, axis = source.depth, layout.axis
                picture = png_of(source)
                text = f"B-scans: {why}. The model sees them like this:"
            except ValueError as error:
                text = str(error)
        ui.layoutLabel.setText(worded(text, self.desk.input_word))
        for widget in (ui.turnButton, ui.mirrorButton, ui.axisCombo):
            widget.setEnabled(picture is not None)
        ui.thumbnail.setVisible(picture is not None)
        if picture is not None:
            pixmap = qt.QPixmap()
            pixmap.loadFromData(qt.QByteArray(picture))
            ui.thumbnail.setPixmap(pixmap)
        self._filling = True
        ui.axisCombo.setCurrentIndex(axis)
        for spin in (ui.firstSpin, ui.lastSpin):
            kept = get(spin, "value")
            spin.setRange(1, depth)
            spin.setValue(depth if spin is ui.lastSpin and kept <= 1 else min(kept, depth))
        self._filling = False

    def _on_axis(self) -> None:
        volume = self.desk.parameters and self.desk.parameters.inputVolume
        if self._filling or volume is None:
            return
        axis = get(self.ui.axisCombo, "currentIndex")
        if axis != self.desk.layout(volume)[0].axis:
            self.desk.set_layout(volume, Layout(axis))

    def _change(self, change: Callable[[Layout], Layout]) -> None:
        volume = self.desk.parameters.inputVolume
        if volume is not None:
            self.desk.set_layout(volume, change(self.desk.layout(volume)[0]))


def _mirrored(layout: Layout) -> Layout:
    return replace(layout, mirrored=not layout.mirrored)
