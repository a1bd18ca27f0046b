"""The section “Lines between layers” of the tab Correct: one button until there are lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Vectors
from qtpy.QtCore import QTimer
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_spad.borders.adding import AddMenu
from napari_spad.borders.band import Band
from napari_spad.borders.line_actions import LineActions
from napari_spad.borders.line_layers import LineDrawing, borders_of, bscan_of, color_of, image_of
from napari_spad.borders.line_model import Borders
from napari_spad.borders.tools import LARGEST_REACH, SMALLEST_REACH, TOOLS, Tools
from napari_spad.desk import Desk, named, narrow, setting
from napari_spad.layers import is_image, spacing_mm
from spad.borders import thickness_mm

__all__ = ["BordersPanel"]


class _Attended:
    """A layer of lines with all that makes it work."""

    def __init__(self, desk: Desk, layer: Vectors, borders: Borders) -> None:
        self.layer, self.borders = layer, borders
        self.drawing = LineDrawing(desk.viewer, layer)
        self.tools = Tools(desk.viewer, layer, borders, self.drawing, desk.say)
        self.actions = LineActions(desk.viewer, borders, self.tools, desk.say)
        self.band: Band | None = None

    def stop(self) -> None:
        self.drawing.stop()
        if self.band is not None:
            self.band.stop()


class BordersPanel(QWidget):
    """Which lines there are, the tools for them, and their keys.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    layer : napari.layers.Vectors or None
        The layer of lines at work: the active one, else the last that was.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.viewer = desk, desk.viewer
        self._attended: dict[int, _Attended] = {}
        self.layer: Vectors | None = None
        self.add = AddMenu(desk)
        self.add.band_added.connect(self._link)
        self._came: list[Any] = []  # images
        self._uncover = QTimer(self, singleShot=True, interval=0)
        self._uncover.timeout.connect(self._lay_over)
        self._make()
        self._lay_out()
        events = self.viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        self.viewer.layers.selection.events.active.connect(self._on_active)
        self.viewer.dims.events.current_step.connect(self._show_thickness)
        for layer in self.viewer.layers:
            self._attend(layer)
        self._show()

    @property
    def at_work(self) -> _Attended | None:
        """What belongs to the layer at work."""
        return None if self.layer is None else self._attended.get(id(self.layer))

    # ------------------------------------------------------------------ what it looks like

    def _make(self) -> None:
        self.line = narrow(named(QComboBox(), "line"))
        self.line.setToolTip("The line that is drawn; keys 1 to 9")
        self.line.activated.connect(self._select)
        self.tools: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        for name, (title, key, tip) in TOOLS.items():
            button = _button(f"line_{name}", f"{title} ({key})", tip)
            button.setCheckable(True)
            button.clicked.connect(partial(self.choose, name))
            self._group.addButton(button)
            self.tools[name] = button
        self.within = named(QSpinBox(), "line_within")
        self.within.setRange(1, 50)
        self.within.setValue(setting(self.desk.settings, "line_within", 6))
        self.within.setSuffix(" px")
        self.within.setToolTip("So far Snap moves a line, up or down")
        self.within.valueChanged.connect(lambda n: self.desk.settings.setValue("line_within", n))
        self.push = named(QCheckBox("push (X)"), "line_push")
        self.push.setToolTip("Lines that are met are pushed along; else the line stops at them")
        self.push.setChecked(setting(self.desk.settings, "line_push", True))
        self.push.toggled.connect(self._set_push)
        last = "the stretch edited last on this B-scan, else all of it"
        self.commands: dict[str, QPushButton] = {}
        for name, title, tip in (
            ("snap", "Snap (E)", f"To the nearest edge: {last}"),
            ("smooth", "Smooth (M)", f"Smooth {last}"),
            ("copy", "Copy (C)", "From the B-scan before; Shift+C from the next one"),
            ("between", "Between (I)", "Fill the B-scans between two on which it is by hand"),
            ("areas", "To labels", "A label layer of the areas between the lines"),
            ("export", "Export…", "As CSV, npz or eyepy's file, in px to the last digit"),
        ):
            self.commands[name] = _button(f"line_{name}", title, tip)
            self.commands[name].clicked.connect(partial(self.do, name))
        self.thickness = named(QLabel(), "line_thickness")
        self.thickness.setWordWrap(True)

    def _lay_out(self) -> None:
        self.box = QWidget()
        inner = QVBoxLayout(self.box)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        first = QHBoxLayout()
        first.addWidget(self.line, 1)
        first.addWidget(self.push)
        inner.addLayout(first)
        grid = QGridLayout()
        grid.setSpacing(4)
        cells = [
            *(self.tools[name] for name in ("draw", "wire", "knots", "drag", "move")),
            self.commands["smooth"],
            self.commands["snap"],
            self.within,
            *(self.commands[name] for name in ("copy", "between", "areas", "export")),
        ]
        for number, cell in enumerate(cells):
            cell.setMinimumWidth(40)
            cell.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            grid.addWidget(cell, number // 3, number % 3)
        inner.addLayout(grid)
        inner.addWidget(self.thickness)
        head = QHBoxLayout()
        head.addWidget(QLabel("Lines between layers"), 1)
        head.addWidget(self.add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self.box)

    def _show(self) -> None:
        one = self.at_work
        self.box.setVisible(one is not None)
        self.line.clear()
        if one is None:
            return
        for number, name in enumerate(one.borders.names):
            swatch = QPixmap(12, 12)
            swatch.fill(QColor(color_of(number)))
            key = f"  ({number + 1})" if number < 9 else ""
            self.line.addItem(QIcon(swatch), f"{name}{key}")
        self.line.setCurrentIndex(one.borders.selected)
        self.tools[one.tools.tool].setChecked(True)
        one.tools.others = "push" if self.push.isChecked() else "stop"
        self._show_thickness()

    def _show_thickness(self, _: Any = None) -> None:
        one, text = self.at_work, ""
        if one is not None and one.borders.selected + 1 < len(one.borders.names):
            line, z = one.borders.selected, bscan_of(one.layer, self.viewer)
            spacing = spacing_mm(one.layer, 2)
            upper, lower = one.borders.heights[line : line + 2, z]
            gap = thickness_mm(upper, lower, spacing[0] if spacing else 1.0)
            if np.isfinite(gap).any():
                mean = float(np.nanmean(gap))
                size = f"{1000 * mean:.0f} µm" if spacing else f"{mean:.1f} px"
                text = f"To {one.borders.names[line + 1]}: {size} on this B-scan"
        self.thickness.setText(text)

    # ------------------------------------------------------------------ layers come and go

    def _attend(self, layer: Any) -> None:
        borders = borders_of(layer)
        if borders is None or id(layer) in self._attended:
            return
        self._attended[id(layer)] = one = _Attended(self.desk, layer, borders)
        borders.shown.connect(self._on_shown)
        for told in (layer.events.scale, layer.events.units):
            told.connect(self._show_thickness)
        self._bind(one)
        self.layer = layer

    def _bind(self, one: _Attended) -> None:
        """Its keys work while it is the active layer; `Vectors` and the viewer leave them free."""
        keys: dict[str, Callable[[], Any]] = {
            key: partial(self.choose, name) for name, (_, key, _) in TOOLS.items()
        }
        keys |= {
            "E": partial(self.do, "snap"),
            "M": partial(self.do, "smooth"),
            "C": partial(self.do, "copy"),
            "Shift-C": lambda: one.actions.copy(1),
            "I": partial(self.do, "between"),
            "X": self.push.toggle,
            "Delete": one.actions.remove,
            "Escape": one.tools.end_clicks,
            "[": lambda: self._reach(one, -1),
            "]": lambda: self._reach(one, 1),
            "Control-Z": one.actions.undo,
            "Control-Shift-Z": lambda: one.actions.undo(again=True),
        }
        keys |= {str(n + 1): partial(one.borders.select, n) for n in range(9)}
        for key, function in keys.items():
            one.layer.bind_key(key, lambda _layer, do=function: do(), overwrite=True)

        def move_meanwhile(_layer: Vectors) -> Iterator[None]:
            before, one.tools.tool = one.tools.tool, "move"  # clicks so far go on afterwards
            one.layer.mouse_pan = True
            yield
            one.tools.tool, one.layer.mouse_pan = before, before == "move"

        one.layer.bind_key("Space", move_meanwhile, overwrite=True)

    def _reach(self, one: _Attended, way: int) -> None:
        wanted = one.tools.reach + way * max(round(one.tools.reach / 4), 1)
        one.tools.reach = int(np.clip(wanted, SMALLEST_REACH, LARGEST_REACH))
        self.desk.say(f"A drag takes {one.tools.reach} columns to each side along.")

    def _link(self, layer: Vectors, result: Any, value: int) -> None:
        one = self._attended.get(id(layer))
        if one is not None:
            one.band = Band(self.desk, one.borders, result, value)

    def _on_inserted(self, event: Any) -> None:
        self._attend(event.value)
        self._show()
        if is_image(event.value):
            self._came.append(event.value)
            self._uncover.start()  # napari has to take it in first

    def _lay_over(self) -> None:
        """Lay lines over their image, where that came after them, as after a crash: it hid them."""
        layers, (came, self._came) = self.viewer.layers, (self._came, [])
        for one in self._attended.values():
            image = image_of(one.borders, self.viewer)
            if image in came and layers.index(one.layer) < layers.index(image):
                layers.move(layers.index(one.layer), len(layers))

    def _on_removed(self, event: Any) -> None:
        one = self._attended.pop(id(event.value), None)
        if one is not None:
            one.borders.shown.disconnect(self._on_shown)
            for told in (one.layer.events.scale, one.layer.events.units):
                told.disconnect(self._show_thickness)
            one.stop()
            if self.layer is event.value:
                rest = [other.layer for other in self._attended.values()]
                self.layer = rest[-1] if rest else None
            self._show()

    def _on_active(self, _event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if id(active) in self._attended and active is not self.layer:
            self.layer = active
            self._show()

    def _on_shown(self) -> None:
        one = self.at_work
        if one is not None:
            self.line.setCurrentIndex(one.borders.selected)
            self._show_thickness()

    # ------------------------------------------------------------------ what is asked for

    def _select(self, line: int) -> None:
        one = self.at_work
        if one is not None:
            one.borders.select(line)
            self.viewer.layers.selection.active = one.layer  # the keys are its own

    def choose(self, tool: str) -> None:
        """Take a tool in hand."""
        one = self.at_work
        if one is not None:
            one.tools.choose(tool)
            self.tools[tool].setChecked(True)
            self.viewer.layers.selection.active = one.layer

    def _set_push(self, on: bool) -> None:
        self.desk.settings.setValue("line_push", on)
        for one in self._attended.values():
            one.tools.others = "push" if on else "stop"

    def do(self, command: str) -> None:
        """Do what a button says; what goes wrong is told."""
        one = self.at_work
        if one is None:
            return
        try:
            commands: dict[str, Callable[[], Any]] = {
                "snap": lambda: one.actions.snap(self.within.value()),
                "smooth": one.actions.smooth,
                "copy": lambda: one.actions.copy(-1),
                "between": one.actions.interpolate,
                "areas": lambda: self.add.areas(one.layer, one.borders),
                "export": lambda: self.add.export(one.layer),
            }
            commands[command]()
        except Exception as error:  # a lazy image's reader raises anything
            self.desk.fail(error)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._uncover.stop()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.viewer.dims.events.current_step.disconnect(self._show_thickness)
        for one in self._attended.values():
            one.stop()
        self._attended = {}


def _button(name: str, title: str, tip: str) -> QPushButton:
    button = named(QPushButton(title), name)
    button.setToolTip(tip)
    return button
