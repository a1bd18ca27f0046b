"""A person at napari: real mouse and key events, sent to what lies under the pointer, and counted.

Tests, benchmarks and the recording in docs drive the viewer with it, so that what they do a person
could do: a widget that is hidden, disabled or covered cannot be clicked, and keys go to where the
focus is. It lies here since only pytest and these scripts import it: never the package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QKeySequence, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractItemView, QApplication, QComboBox, QScrollArea

__all__ = ["Counts", "Driver"]

MOVE_MS = 12
"""Between two moves of the mouse; vispy ignores those less than 10 ms apart."""
LEFT = Qt.MouseButton.LeftButton


@dataclass
class Counts:
    """What the person did."""

    strokes: int = 0
    clicks: int = 0
    keys: int = 0
    scrolls: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, k) - getattr(other, k) for k in vars(self)))


class Driver:
    """Mouse and keyboard of a viewer on screen.

    Parameters
    ----------
    viewer : napari.Viewer
    shots : Path, optional
        Folder of the screenshots; without it none are taken.
    on_step : callable, optional
        Called after every event with the milliseconds that a person would have taken for it: a
        recorder takes its pictures there.

    Attributes
    ----------
    counts : Counts
    pointer : QPoint
        Where the mouse is, in the window.
    pressed : bool
        Whether its button is down.
    """

    def __init__(
        self,
        viewer: Any,
        *,
        shots: Path | None = None,
        on_step: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.viewer, self.shots, self.on_step = viewer, shots, on_step
        self.counts, self.pressed = Counts(), False
        self.pointer = QPoint(0, 0)
        self._began = time.monotonic()
        # Without a window manager nobody else makes the window active, and shortcuts need that.
        self.window.activateWindow()
        self.wait(lambda: self.native.width() > 100, what="the canvas to be on screen")
        self.pause(200)  # until it is drawn, the camera knows another size

    # Looked up, not kept: napari's tests see to it that nothing holds a viewer that was closed.
    @property
    def window(self) -> Any:
        """The viewer's window."""
        return self.viewer.window._qt_window

    @property
    def canvas(self) -> Any:
        """Its canvas."""
        return self.viewer.window._qt_viewer.canvas

    @property
    def native(self) -> Any:
        """The widget that the canvas is drawn on."""
        return self.canvas.native

    @property
    def seconds(self) -> float:
        """Since the driver was made."""
        return time.monotonic() - self._began

    # ------------------------------------------------------------------ time

    def pause(self, milliseconds: int) -> None:
        """Let the program run; not by `QTest.qWait`, which vispy replaces by a busy loop."""
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def wait(self, condition: Callable[[], Any], timeout: float = 15, what: str = "") -> float:
        """Let the program run until something holds; returns the seconds it took.

        Raises
        ------
        TimeoutError
            It never did.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > timeout:
                raise TimeoutError(f"waited {timeout} s in vain for {what or condition}")
            self.pause(20)
            self.on_step(20)
        return time.monotonic() - began

    # ------------------------------------------------------------------ mouse

    def at(self, layer: Any, pixel: Sequence[float]) -> QPoint:
        """Place on the canvas of a pixel (row, column) of a layer."""
        dims = self.viewer.dims
        point = np.asarray(layer.world_to_data(dims.point), float)
        point[-2:] = pixel
        world = np.asarray(layer.data_to_world(point))
        view = self.canvas.view
        x, y = (view.transform * view.scene.transform).map(world[[-1, -2]])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def move_to(self, layer: Any, pixel: Sequence[float]) -> None:
        """Move the mouse to a pixel (row, column) of a layer.

        Raises
        ------
        ValueError
            It is not on screen.
        """
        self._move(self._seen(layer, pixel))

    def stroke(self, layer: Any, points: Sequence[Sequence[float]], brush: float = 0) -> None:
        """Draw with the button down through pixels (row, column) of a layer.

        Parameters
        ----------
        layer : napari.layers.Layer
        points : sequence of (row, column)
            Each must be on screen.
        brush : float
            The brush's size in pixels, set beforehand; 0 leaves it.
        """
        if brush:
            layer.brush_size = brush
        places = [self._seen(layer, p) for p in points]
        self._move(places[0])
        QTest.mousePress(self.native, LEFT, pos=places[0])
        self.pressed = True
        for place in places[1:]:
            self._move(place)
        self._move(places[-1])  # the last one may have come too soon after the one before it
        QTest.mouseRelease(self.native, LEFT, pos=places[-1])
        self.pressed = False
        self.counts.strokes += 1
        self._settle(60)

    def _seen(self, layer: Any, pixel: Sequence[float]) -> QPoint:
        place = self.at(layer, pixel)
        if not self.native.rect().contains(place):
            raise ValueError(f"pixel {tuple(pixel)} of “{layer.name}” is not on screen: zoom out")
        return place

    def _move(self, place: QPoint) -> None:
        self.pause(MOVE_MS)
        QTest.mouseMove(self.native, place)
        self.pointer = self.native.mapTo(self.window, place)
        self.on_step(MOVE_MS)

    def scroll(self, layer: Any, pixel: Sequence[float], notches: int, *keys: str) -> None:
        """Turn the wheel over a pixel: zoom, or the slider with "Ctrl"."""
        self.turn(self._seen(layer, pixel), notches, *keys)

    def turn(self, place: QPoint, notches: int, *keys: str) -> None:
        """Turn the wheel over a place of the canvas."""
        self._move(place)
        held = Qt.KeyboardModifier.NoModifier
        for key in keys:
            held |= {"Ctrl": Qt.KeyboardModifier.ControlModifier}[key]
        for _ in range(abs(notches)):
            turn = QPoint(0, 120 if notches > 0 else -120)
            event = QWheelEvent(
                QPointF(place), QPointF(self.native.mapToGlobal(place)), QPoint(), turn,
                Qt.MouseButton.NoButton, held, Qt.ScrollPhase.NoScrollPhase, False,
            )  # fmt: skip
            QApplication.sendEvent(self.native, event)
            self.counts.scrolls += 1
            self._settle(40)

    # ------------------------------------------------------------------ widgets

    def click(self, widget: Any, place: QPoint | None = None) -> None:
        """Click on a widget, where it can be clicked on.

        Raises
        ------
        ValueError
            It is hidden, disabled, or something covers it.
        """
        place = self._reach(widget, place)
        QTest.mouseClick(widget, LEFT, pos=place)
        self.counts.clicks += 1
        self._settle(80)

    def double_click(self, widget: Any, place: QPoint | None = None) -> None:
        """Click on a widget twice."""
        place = self._reach(widget, place)
        QTest.mouseClick(widget, LEFT, pos=place)  # a double click begins with a click
        QTest.mouseDClick(widget, LEFT, pos=place)
        self.counts.clicks += 2
        self._settle(80)

    def cell(self, table: QAbstractItemView, row: int, column: int) -> tuple[Any, QPoint]:
        """Arguments of `click` and `double_click` for a cell of a table or a list."""
        index = table.model().index(row, column)
        table.scrollTo(index)
        return table.viewport(), table.visualRect(index).center()

    def open_tab(self, tabs: Any, title: str) -> None:
        """Click on a tab."""
        titles = [tabs.tabText(i) for i in range(tabs.count())]
        self.click(tabs.tabBar(), tabs.tabBar().tabRect(titles.index(title)).center())

    def choose(self, combo: QComboBox, text: str) -> None:
        """Open a combo box and click on an entry."""
        self.click(combo)
        # Not by `click`: PySide forgets the list when it lets go of the wrapper of its window.
        view = combo.view()
        viewport, place = self.cell(view, combo.findText(text), 0)
        self._point_at(viewport, place)
        self.pause(QApplication.doubleClickInterval() + 100)  # Qt ignores a click before that
        QTest.mouseClick(viewport, LEFT, pos=place)
        self.counts.clicks += 1
        self._settle(80)

    def _reach(self, widget: Any, place: QPoint | None) -> QPoint:
        """Move the mouse over a widget, which may have to be scrolled to."""
        parent = widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea):
                parent.ensureWidgetVisible(widget)
                self.pause(20)
            parent = parent.parentWidget()
        place = place or widget.rect().center()
        name = f"{type(widget).__name__} “{widget.objectName()}”"
        if not (widget.isVisible() and widget.isEnabled()):
            state = "hidden" if not widget.isVisible() else "disabled"
            raise ValueError(f"{name} is {state}: nobody can click on it")
        window = widget.window()
        top = window.childAt(widget.mapTo(window, place))
        if top is None or not (top is widget or widget.isAncestorOf(top)):
            raise ValueError(f"{name} is covered or cut off at {place}: nobody can click on it")
        self._point_at(widget, place)
        return place

    def _point_at(self, widget: Any, place: QPoint) -> None:
        self.pointer = self.window.mapFromGlobal(widget.mapToGlobal(place))
        self.on_step(10 * MOVE_MS)

    # ------------------------------------------------------------------ keys

    def press(self, keys: str) -> None:
        """Press a key, as in "R" or "Ctrl+Z", where the focus is."""
        combination = QKeySequence(keys)[0]
        target = QApplication.focusWidget()
        if target is None or target.window() is not self.window:
            target = self.native
        QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
        self.counts.keys += 1
        self._settle(60)

    def write(self, text: str) -> None:
        """Type a text where the focus is; each letter is a key."""
        for letter in text:
            QTest.keyClick(QApplication.focusWidget(), letter)
        self.counts.keys += len(text)
        self._settle(60)

    # ------------------------------------------------------------------ pictures

    def screenshot(self, name: str) -> Path | None:
        """Save a picture of the window."""
        if self.shots is None:
            return None
        self.shots.mkdir(parents=True, exist_ok=True)
        path = self.shots / f"{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        return path

    def _settle(self, milliseconds: int) -> None:
        self.pause(30)
        self.on_step(milliseconds)
