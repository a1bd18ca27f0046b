"""The lines of a B-scan as markups curves, whose points are pulled in the slice view. No Qt.

A curve is a tool, and never saved: what it was pulled to is in the `LineSet`. Its points are in the
volume's own coordinates, so that a transform moves both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.borders import LINE_COLORS, Stretch, knots_of, pulled
from SPADLib.host import weakly
from SPADLib.lines.line_set import LineSet
from SPADLib.scene import array_of, ijk_to_ras, into_study

__all__ = ["Curves"]

KIND = "vtkMRMLMarkupsCurveNode"
GLYPH, THICK = 1.4, 0.25


class _Curve:
    """A node, which line it shows, and where its points were put."""

    def __init__(self, node: Any) -> None:
        self.node, self.line = node, 0
        self.columns: NDArray[np.intp] = np.empty(0, np.intp)
        self.tags: list[int] = []


class Curves:
    """Curves of the B-scan on screen: one for each stretch in which a line is.

    Parameters
    ----------
    changed : callable
        Called without arguments when points were moved, added or taken away by a person, often
        many times: it should only start a timer.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._curves: list[_Curve] = []
        self._drawing = self._held = False
        self._lines: LineSet | None = None
        self._plane: NDArray[np.float32] = np.empty((0, 0), np.float32)

    # ------------------------------------------------------------------ drawn

    def draw(self, lines: LineSet, bscan: int, view: Any = None, *, fresh: bool = True) -> None:
        """Show the lines of a B-scan.

        Parameters
        ----------
        lines : LineSet
        bscan : int
        view : vtkMRMLSliceNode, optional
            In which they are shown; in all views where there is none.
        fresh : bool
            With as few points as it takes; else those that are there stay.
        """
        plane, runs = lines.plane(bscan), []
        for line, heights in enumerate(plane):
            stay = set() if fresh else self._columns(line)
            runs += [(line, columns) for columns in knots_of(heights, stay)]
        self._drawing = True
        try:
            self._lines, self._plane = lines, plane
            self._have(len(runs), lines.volume)
            for curve, (line, columns) in zip(self._curves, runs, strict=True):
                curve.line, curve.columns = line, columns
                curve.node.SetName(lines.names[line])
                _show(curve.node, LINE_COLORS[line % len(LINE_COLORS)], view)
                ras = _in_ras(plane[line, columns].astype(float), columns, bscan, lines)
                curve.node.SetAndObserveTransformNodeID(lines.volume.GetTransformNodeID())
                slicer.util.updateMarkupsControlPointsFromArray(curve.node, ras, False)
        finally:
            self._drawing = False

    def _have(self, count: int, volume: Any) -> None:
        """Have so many curves in the scene."""
        gone = [curve for curve in self._curves if curve.node.GetScene() is None]
        for curve in [*gone, *[c for c in self._curves if c not in gone][count:]]:
            self._drop(curve)
        while len(self._curves) < count:
            node = volume.GetScene().CreateNodeByClass(KIND)
            node.UnRegister(None)
            node.SetSaveWithScene(False)
            node.SetCurveTypeToLinear()
            node.SetControlPointLabelFormat("")
            node = volume.GetScene().AddNode(node)
            node.CreateDefaultDisplayNodes()
            into_study(node, volume)
            curve = _Curve(node)
            for event, call in (
                (node.PointModifiedEvent, self._on_point),
                (node.PointAddedEvent, self._on_point),
                (node.PointRemovedEvent, self._on_point),
                (node.PointStartInteractionEvent, self._on_pressed),
                (node.PointEndInteractionEvent, self._on_released),
            ):
                curve.tags.append(node.AddObserver(event, weakly(call)))
            self._curves.append(curve)

    def _drop(self, curve: _Curve) -> None:
        self._curves.remove(curve)
        for tag in curve.tags:
            curve.node.RemoveObserver(tag)
        scene = curve.node.GetScene()
        if scene is not None and not scene.IsClosing():
            scene.RemoveNode(curve.node)

    def clear(self) -> None:
        """Show nothing."""
        for curve in list(self._curves):
            self._drop(curve)
        self._lines, self._held = None, False

    def _columns(self, line: int) -> set[int]:
        """Columns of the points that a line has now."""
        there = [c for c in self._curves if c.line == line and c.node.GetScene() is not None]
        return {round(column) for c in there for column in self._knots(c)[:, 0]}

    def shown(self, line: int) -> list[Any]:
        """Nodes (vtkMRMLMarkupsCurveNode) of a line's stretches, from left to right."""
        return [curve.node for curve in self._curves if curve.line == line]

    # ------------------------------------------------------------------ read

    def _on_point(self, *_: Any) -> None:
        if not self._drawing and not self._held:
            self._changed()

    def _on_pressed(self, *_: Any) -> None:
        self._held = True

    def _on_released(self, *_: Any) -> None:
        self._held = False
        self._on_point()

    def stretches(self) -> list[tuple[int, Stretch]]:
        """What the curves say of their lines: number of the line, and its heights there.

        A curve that was taken out of the scene says nothing: its line stays.
        """
        return [
            (curve.line, pulled(self._plane[curve.line], curve.columns, self._knots(curve)))
            for curve in self._curves
            if curve.node.GetScene() is not None
        ]

    def _knots(self, curve: _Curve) -> NDArray[np.float64]:
        """Columns and rows of a curve's points, (n, 2); one that is being placed is none yet."""
        node = curve.node
        count = node.GetNumberOfControlPoints()
        status = [node.GetNthControlPointPositionStatus(n) for n in range(count)]
        ras = slicer.util.arrayFromMarkupsControlPoints(node, False)
        defined = np.array(status, int) == node.PositionDefined
        return _places(ras.reshape(-1, 3)[defined], self._lines)


def _in_ras(rows: NDArray[Any], columns: NDArray[Any], bscan: int, lines: LineSet) -> Any:
    """Coordinates (n, 3) of a B-scan's rows and columns in the volume's own RAS."""
    shape = array_of(lines.volume).shape[:3]
    place: Any = (np.full(len(rows), bscan), rows, columns)
    k, j, i = lines.layout.index(place, shape)
    return np.stack([i, j, k, np.ones(len(rows))], 1) @ ijk_to_ras(lines.volume)[:3].T


def _places(ras: NDArray[Any], lines: Any) -> NDArray[np.float64]:
    """Columns and rows, (n, 2), of coordinates (n, 3): what `_in_ras` undid."""
    to_ijk = np.linalg.inv(ijk_to_ras(lines.volume))
    i, j, k = to_ijk[:3, :3] @ ras.T + to_ijk[:3, 3:]
    _, rows, columns = lines.layout.place((k, j, i), array_of(lines.volume).shape[:3])
    return np.stack([columns, rows], axis=1)


def _show(node: Any, color: str, view: Any) -> None:
    """Draw a curve thinly in its colour, without names, in one view."""
    display = node.GetDisplayNode()
    was = display.StartModify()
    display.SetSaveWithScene(False)
    rgb = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    display.SetColor(*rgb)
    display.SetSelectedColor(*rgb)
    display.SetGlyphTypeFromString("Circle2D")
    display.SetGlyphScale(GLYPH)
    display.SetLineThickness(THICK)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetViewNodeIDs([] if view is None else [view.GetID()])
    display.EndModify(was)
