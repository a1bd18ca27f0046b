"""The mouse on a layer of lines: draw, follow an edge from click to click, set knots, drag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Vectors
from numpy.typing import NDArray

from napari_spad.borders.line_layers import LineDrawing, bscan_of, image_of, shows_bscans
from napari_spad.borders.line_model import Borders
from napari_spad.desk import explain
from napari_spad.layers import open_source, part_at
from spad.borders import Edges, Stretch, along_edge, dragged, drawn, moved, through_knots

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["TOOLS", "Tools"]

TOOLS = {
    "draw": ("Draw", "D", "Draw with the mouse: that stretch is replaced. With Shift: rubbed out"),
    "wire": ("Wire", "W", "Click along an edge: the line follows it from click to click"),
    "knots": ("Knots", "J", "Click knots: a smooth line goes through them"),
    "drag": ("Drag", "G", "Pull the nearest line at a knot; its neighbourhood goes along"),
    "move": (
        "Move",
        "Z",
        "Move the image and zoom, as on other layers; Space does so for a moment",
    ),
}
"""Title, key and tip by name."""
REACH, SMALLEST_REACH, LARGEST_REACH = 40, 3, 1000
"""Columns to each side that a drag takes along."""


class Tools:
    """What mouse events on a layer of lines do.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : napari.layers.Vectors
    borders : Borders
    drawing : LineDrawing
        Shows where a wire would go.
    say : callable
        For the status line.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Vectors,
        borders: Borders,
        drawing: LineDrawing,
        say: Callable[[str], None],
    ) -> None:
        self.viewer, self.layer, self.borders, self.drawing = viewer, layer, borders, drawing
        self.say = say
        self.tool, self.reach = "draw", REACH
        self.others: Literal["push", "stop"] = "push"
        self._clicks: list[tuple[float, float]] = []
        self._clicked_on: tuple[int, int] = (-1, -1)  # B-scan and line of the clicks
        self._before: NDArray[np.float32] | None = None  # the B-scan before the clicks
        self._edges: tuple[Any, int, Edges] | None = None
        self._pixels: Any = None  # of the image whose edges these are
        layer.mouse_drag_callbacks.append(self._on_press)
        layer.mouse_move_callbacks.append(self._on_move)

    def choose(self, tool: str) -> None:
        """Take a tool in hand."""
        self.end_clicks()
        self.tool = tool
        self.layer.mouse_pan = tool == "move"

    @property
    def bscan(self) -> int:
        """The B-scan on screen."""
        return bscan_of(self.layer, self.viewer)

    def seen(self) -> bool:
        """Whether the lines are seen in this view; else say what to do."""
        if shows_bscans(self.viewer):
            return True
        self.say("Lines are drawn on B-scans: turn the view back to them first.")
        return False

    def edges(self, z: int) -> Edges | None:
        """Edges of a B-scan of the image under the lines; None where there is no such image.

        Raises
        ------
        ValueError, OSError
            It cannot be read, in words.
        """
        image = image_of(self.borders, self.viewer)
        if image is None:
            return None
        if self._pixels is not (now := image.data):
            self._edges, self._pixels = None, now
        if self._edges is None or self._edges[0] is not image or self._edges[1] != z:
            source = open_source(image, self.viewer, whole_stack=False)
            index = (z,) if image.ndim > 2 else ()
            self._edges = (image, z, Edges(source.grey(part_at(image, index, source.shape[-2:]))))
        return self._edges[2]

    def lean(self, edges: Edges, z: int) -> float:
        """Whether the selected line is an edge that gets brighter downwards: by what is there."""
        line = self.borders.heights[self.borders.selected, z]
        return edges.lean(np.arange(len(line)), line)

    # ------------------------------------------------------------------ the mouse

    def _place(self, event: Any) -> tuple[float, float]:
        """Column and row under the mouse, within the B-scan."""
        row, column = np.asarray(self.layer.world_to_data(event.position))[-2:]
        width = self.borders.heights.shape[2]
        return (
            float(np.clip(column, 0, width - 1)),
            float(np.clip(row, -0.5, self.borders.rows - 0.5)),
        )

    def _on_press(self, _layer: Vectors, event: Any) -> Iterator[None]:
        if event.button != 1 or not self.layer.visible:
            return
        if not self.seen():
            return
        if self.tool in ("wire", "knots"):
            self._click(self._place(event))
            yield
        elif self.tool == "draw":
            yield from self._draw(event)
        elif self.tool == "drag":
            yield from self._drag(event)

    def _draw(self, event: Any) -> Iterator[None]:
        z, before = self.bscan, self.borders.plane(self.bscan)
        rub = "Shift" in event.modifiers
        points = [self._place(event)]
        yield
        while event.type == "mouse_move":
            points.append(self._place(event))
            self.borders.preview(z, self._with(before, _stroke(points, rub)))
            yield
        if len(points) > 1:  # a click alone would leave a spike
            self._keep(z, before, _stroke(points, rub))

    def _drag(self, event: Any) -> Iterator[None]:
        borders, z = self.borders, self.bscan
        before = borders.plane(z)
        column, row = self._place(event)
        at = round(column)
        heights = before[:, at]
        if not np.isfinite(heights).any():
            self.say("No line is there to be dragged: draw one first (D).")
            return
        borders.select(int(np.nanargmin(np.abs(heights - row))))
        line = before[borders.selected]
        off = float(line[at]) - row  # it does not jump to the mouse
        stretch = None
        yield
        while event.type == "mouse_move":
            stretch = dragged(line, at, self._place(event)[1] + off, self.reach)
            borders.preview(z, self._with(before, stretch))
            yield
        if stretch is not None:
            self._keep(z, before, stretch)

    def _with(self, plane: NDArray[np.float32], stretch: Stretch) -> NDArray[np.float32]:
        return moved(plane, self.borders.selected, stretch, self.others)

    def _keep(self, z: int, before: NDArray[np.float32], stretch: Stretch) -> None:
        """Make a step of what was shown so far."""
        after = self._with(before, stretch)
        self.borders.heights[:, z] = before
        self.borders.stretch = (z, stretch.first, stretch.first + len(stretch.heights))
        if not self.borders.put({z: after}):
            self.borders.shown.emit()

    # ------------------------------------------------------------------ clicks that belong together

    def _click(self, place: tuple[float, float]) -> None:
        here = (self.bscan, self.borders.selected)
        if here != self._clicked_on:
            self.end_clicks()
        self._clicked_on = here
        if not self._clicks:
            self._before = self.borders.plane(here[0])
        stretch = self._from_last(place)
        self._clicks.append(place)
        if stretch is not None:
            first = round(min(column for column, _ in self._clicks))
            last = round(max(column for column, _ in self._clicks))
            plane = self._before if self.tool == "knots" else self.borders.plane(here[0])
            if plane is not None and self.borders.put({here[0]: self._with(plane, stretch)}):
                self.borders.stretch = (here[0], first, last + 1)
        self.drawing.wire = None
        self.drawing.draw()

    def _from_last(self, place: tuple[float, float]) -> Stretch | None:
        """What a click there makes of the clicks so far."""
        if not self._clicks:
            return None
        if self.tool == "knots":
            return through_knots([*self._clicks, place])
        try:
            edges = self.edges(self.bscan)
        except Exception as error:  # a lazy image's reader raises anything
            self.say(f"There are no edges to follow: {explain(error)}")
            edges = None
        if edges is None:
            return drawn([self._clicks[-1], place])
        return along_edge(edges, self._clicks[-1], place, lean=self._lean_of_clicks(edges))

    def _lean_of_clicks(self, edges: Edges) -> float:
        """By the line so far where it is more than a few columns long, else by the clicks."""
        line = self.borders.heights[self.borders.selected, self.bscan]
        if np.isfinite(line).sum() >= 20:
            return self.lean(edges, self.bscan)
        columns, rows = np.array(self._clicks).T
        return edges.lean(np.rint(columns).astype(int), rows)

    def _on_move(self, _layer: Vectors, event: Any) -> None:
        if not self._clicks or self.tool != "wire" or not shows_bscans(self.viewer):
            return
        if (self.bscan, self.borders.selected) != self._clicked_on:
            self.end_clicks()
            return
        stretch = self._from_last(self._place(event))
        if stretch is not None:
            columns = stretch.first + np.arange(len(stretch.heights), dtype=np.float32)
            self.drawing.wire = np.stack([columns, stretch.heights], axis=1)
            self.drawing.draw()

    def end_clicks(self) -> None:
        """The next click begins anew."""
        self._clicks, self._clicked_on, self._before = [], (-1, -1), None
        if self.drawing.wire is not None:
            self.drawing.wire = None
            self.drawing.draw()


def _stroke(points: list[tuple[float, float]], rub: bool) -> Stretch:
    stretch = drawn(points)
    if rub:
        return Stretch(stretch.first, np.full_like(stretch.heights, np.nan))
    return stretch
