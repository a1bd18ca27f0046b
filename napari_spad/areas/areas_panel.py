"""The section “Areas” of the tab Correct: its buttons and keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_spad.areas.area_tools import AreaTools
from napari_spad.areas.careful_brush import CarefulBrush
from napari_spad.desk import Desk, Fold, Keys, named, narrow, setting, worded

__all__ = ["AreasPanel"]

FILL, BRUSH = "W", "Q"
TIDY = {
    "grow": ("Grow", "U", "One pixel more of the selected structure, into the background"),
    "shrink": ("Shrink", "J", "One pixel less of it, where it meets the background"),
    "specks": ("Specks", "D", "Gives its parts that are mere specks to what surrounds them"),
    "holes": ("Holes", "H", "Fills the background that it encloses"),
}
"""Free in the viewer and in Labels layers of napari 0.8 to 0.9, as W, Q and G are."""
EVERYWHERE = ". With Shift on all B-scans but accepted ones"


class AreasPanel(QWidget):
    """Tools for the structure that is selected for painting.

    Parameters
    ----------
    desk : Desk

    Notes
    -----
    Closed at first, as the tab is to fit a laptop's screen; a brush that keeps to its side opens
    it, so that this is seen.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.tools, self.brush = AreaTools(desk), CarefulBrush(desk)
        self._calls: dict[str, Callable[..., None]] = {
            "grow": self.tools.grow,
            "shrink": self.tools.shrink,
            "specks": self.tools.remove_specks,
            "holes": self.tools.fill_holes,
        }
        self.keys = Keys(desk.viewer)
        self._make()
        self._lay_out()
        self.keys.bind(FILL, self.fill)
        self.keys.bind(BRUSH, self.careful.click)
        desk.result_changed.connect(self._refresh)
        self._refresh()

    def _make(self) -> None:
        self.by = named(QComboBox(), "fill_by")
        narrow(self.by).setMinimumContentsLength(3)
        self.by.addItem("grey", "grey")
        self.by.addItem("samples", "model")
        self.by.setCurrentIndex(
            max(self.by.findData(setting(self._settings, "fill_by", "grey")), 0)
        )
        self.by.setToolTip(
            f"{FILL} fills to the edge around the mouse: the image's, or what the samples read"
        )
        self.by.activated.connect(
            lambda _: self._settings.setValue("fill_by", self.by.currentData())
        )
        self.tolerance = named(QSpinBox(), "fill_tolerance")
        self.tolerance.setRange(0, 100)
        self.tolerance.setSuffix(" %")
        self.tolerance.setMinimumWidth(40)
        self.tolerance.setMaximumWidth(70)
        worded(self.tolerance, "auto")
        self.tolerance.setToolTip("How far values may differ from that under the mouse")
        self.careful = named(QCheckBox(f"brush keeps to its side ({BRUSH})"), "careful")
        self.careful.setToolTip(
            "What a stroke paints stays on the dark or the bright side of an edge, as it began"
        )
        self.careful.toggled.connect(self._refresh)
        self.buttons: dict[str, QPushButton] = {}
        for name, (text, key, tip) in TIDY.items():
            button = named(QPushButton(f"{text} ({key})"), f"areas_{name}")
            button.setToolTip(tip + EVERYWHERE)
            button.clicked.connect(partial(self._press, name))
            self.buttons[name] = button
            self.keys.bind(key, partial(self._calls[name]))
            self.keys.bind(f"Shift-{key}", partial(self._calls[name], everywhere=True))

    @property
    def _settings(self) -> Any:
        return self.desk.settings

    def _lay_out(self) -> None:
        fill = QHBoxLayout()
        fill.addWidget(QLabel(f"Fill by ({FILL})"))
        fill.addWidget(self.by, 1)
        fill.addWidget(self.tolerance)
        grid = QGridLayout()
        for at, button in enumerate(self.buttons.values()):
            grid.addWidget(button, at // 2, at % 2)
        self.box = QWidget(self)
        inner = QVBoxLayout(self.box)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addLayout(fill)
        inner.addWidget(self.careful)
        inner.addLayout(grid)
        title = "Areas of the selected structure"
        self.fold = Fold(title, self.box, self._settings, "areas_open")
        self.fold.setToolTip("Fill, grow, shrink, tidy. The keys work while this is closed too")
        self.careful.toggled.connect(self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self.box)

    def _open(self, careful: bool) -> None:
        if careful:
            self.fold.setChecked(True)

    def fill(self) -> None:
        """Fill from the pixel under the mouse."""
        self.tools.fill_to_the_edge(
            by_model=self.by.currentData() == "model",
            tolerance=self.tolerance.value() / 100 or None,
        )

    def _press(self, name: str, _checked: bool = False) -> None:
        shift = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
        self._calls[name](everywhere=bool(shift))

    def _refresh(self, _: Any = None) -> None:
        result = self.desk.result
        for widget in (self.by, self.tolerance, self.careful, *self.buttons.values()):
            widget.setEnabled(result is not None)
        self.brush.take(result if self.careful.isChecked() else None)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and of the brush."""
        self.keys.release()
        self.brush.take(None)
