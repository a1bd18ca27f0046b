"""Lines in napari's list of layers: an empty Vectors layer in the image's place, lines on its node.

Shapes would have to triangulate paths of a thousand points at each move of the mouse, and neither
they nor Vectors are drawn at the same width at every zoom and in pixels that are not square.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Vectors
from numpy.typing import NDArray

from napari_spad.borders.line_model import Borders
from napari_spad.layers import is_image, level_0, placement
from spad.borders import LINE_COLORS, Lines

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "LineDrawing",
    "add_lines",
    "borders_of",
    "bscan_of",
    "color_of",
    "image_of",
    "placed_like",
    "shows_bscans",
]

WIDTH_PX, SELECTED_PX = 2.0, 3.0
KEY = "borders"


def color_of(line: int) -> str:
    """Colour of a line by its number, as a hexadecimal triple."""
    return LINE_COLORS[line % len(LINE_COLORS)]


def borders_of(layer: Any) -> Borders | None:
    """The lines that a layer holds; None for other layers.

    napari gives a duplicate the first one's metadata: it gets lines of its own here.
    """
    found = layer.metadata.get(KEY) if isinstance(layer, Vectors) else None
    if not isinstance(found, Borders):
        return None
    if found.layer not in (layer, None):
        found = layer.metadata[KEY] = deepcopy(found)
    if found.layer is None:
        found.layer = layer
    return found


def add_lines(
    viewer: ViewerModel,
    lines: Lines,
    rows: int,
    name: str,
    placed: dict[str, Any],
    image: Image | str = "",
) -> Vectors:
    """Put lines into the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    lines : Lines
    rows : int
        Of the B-scans.
    name : str
    placed : dict
        Scale, translation and so on of their image, `napari_spad.layers.placement`.
    image : napari.layers.Image or str
        Their image, or its name, where that is known.
    """
    borders = Borders(lines, rows)
    borders.lie_over(image)
    ndim = len(placed["scale"])
    # Empty, and of two axes, it ends napari (SIGSEGV) in 3-D: one vector of no length is in it.
    layer = Vectors(
        np.zeros((1, 2, 2)) if ndim == 2 else None,
        ndim=ndim,
        edge_color="transparent",
        name=name,
        metadata={KEY: borders},
        **placed,
    )
    layer.mouse_pan = False
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    return layer


def bscan_of(layer: Vectors, viewer: ViewerModel) -> int:
    """Number of the B-scan on screen."""
    borders = borders_of(layer)
    if borders is None or layer.ndim < 3:
        return 0
    at = float(np.asarray(layer.world_to_data(viewer.dims.point))[-3])
    return int(np.clip(round(at), 0, borders.bscans - 1))


def image_of(borders: Borders, viewer: ViewerModel) -> Image | None:
    """The image under the lines: that over which they were laid, whatever is called how since.

    Where that is not known, as of lines that were read back, or it was opened anew: the image of
    its size and name, or after which their layer is called ("eye – lines"). Where no name tells,
    the topmost of their size; but lines whose image was taken away go over to no other one.
    """
    shape = (borders.bscans, borders.rows, borders.heights.shape[2])
    fitting = [
        layer
        for layer in reversed(viewer.layers)
        if is_image(layer)
        and (1, *level_0(layer).shape[: layer.ndim])[-max(3, layer.ndim) :] == shape
    ]
    if any(la is borders.image for la in fitting):
        return borders.image
    called = "" if borders.layer is None else borders.layer.name
    named = [la for la in fitting if la.name == borders.image_name]
    if not borders.image_name:
        named = [la for la in fitting if called.startswith(f"{la.name} – ")]
        named.sort(key=lambda la: -len(la.name))  # “eye – late – lines” are not those of “eye”
    if named:
        borders.lie_over(named[0])
    return next(iter(named if named or borders.laid else fitting), None)


def shows_bscans(viewer: ViewerModel) -> bool:
    """Whether the canvas shows B-scans, not their stack from another side or in 3-D."""
    dims = viewer.dims
    return dims.ndisplay == 2 and tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)


def placed_like(image: Any) -> dict[str, Any]:
    """Where lines lie over an image: its placement as settings of another layer."""
    placed = placement(image)
    placed["axis_labels"] = tuple(placed["axis_labels"])
    return placed


class LineDrawing:
    """Lines of one layer on the canvas.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : napari.layers.Vectors
    """

    def __init__(self, viewer: ViewerModel, layer: Vectors) -> None:
        self._viewer, self.layer = viewer, layer
        self.borders = borders_of(layer)
        self.wire: NDArray[np.float32] | None = None  # (n, 2) of column, row: what a click would do
        self._nodes: list[Any] = []
        self._drawn: dict[int, tuple[int, NDArray[np.float32]]] = {}  # what a node shows
        self._some = [False, False]
        if self.borders is not None:
            self.borders.shown.connect(self.draw)
        viewer.dims.events.current_step.connect(self.draw)
        viewer.dims.events.order.connect(self.draw)
        viewer.dims.events.ndisplay.connect(self.draw)
        self.draw()

    def stop(self) -> None:
        """Listen no more."""
        if self.borders is not None:
            self.borders.shown.disconnect(self.draw)
        for event in ("current_step", "order", "ndisplay"):
            getattr(self._viewer.dims.events, event).disconnect(self.draw)
        for node in self._nodes:
            node.parent = None

    def _made(self) -> list[Any]:
        """The two nodes and the wire's; none without a canvas."""
        if not self._nodes:
            with suppress(AttributeError, KeyError):  # a viewer without a window
                from vispy.scene.visuals import Line

                canvas = self._viewer.window._qt_viewer.canvas
                parent = canvas.layer_to_visual[self.layer].node
                # Smoothed, a line takes several times as long where no graphics card draws it.
                self._nodes = [
                    Line(np.zeros((2, 2)), connect="segments", width=w, antialias=a, parent=parent)
                    for w, a in ((WIDTH_PX, False), (SELECTED_PX, True), (WIDTH_PX, False))
                ]
        return self._nodes

    def draw(self, _event: Any = None) -> None:
        """Show the lines of the B-scan on screen."""
        nodes, borders = self._made(), self.borders
        if not nodes or borders is None:
            return
        flat = shows_bscans(self._viewer)
        plane = borders.heights[:, bscan_of(self.layer, self._viewer)]
        others = [line for line in range(len(plane)) if line != borders.selected]
        for node, numbers in enumerate((others, [borders.selected])):
            now = (borders.selected, plane[numbers])
            last, self._drawn[node] = self._drawn.get(node), now
            if last is None or last[0] != now[0] or not np.array_equal(last[1], now[1], True):
                places, colors = _segments(plane, numbers)
                self._some[node] = len(places) > 0
                if self._some[node]:
                    nodes[node].set_data(places, colors)
            nodes[node].visible = flat and self._some[node]
        wire = self.wire if self.wire is not None and len(self.wire) > 1 else None
        nodes[2].visible = flat and wire is not None
        if nodes[2].visible and wire is not None:
            nodes[2].set_data(np.repeat(wire, 2, axis=0)[1:-1], "white")


def _segments(
    plane: NDArray[np.float32], numbers: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of the segments from column to column, (n, 2) of column and row, and their colours."""
    from vispy.color import Color

    places, colors = [np.empty((0, 2), np.float32)], [np.empty((0, 4), np.float32)]
    columns = np.arange(plane.shape[1], dtype=np.float32)
    for line in numbers:
        points = np.stack([columns, plane[line]], axis=1)
        there = np.isfinite(plane[line])
        both = there[:-1] & there[1:]
        ends = np.stack([points[:-1][both], points[1:][both]], axis=1).reshape(-1, 2)
        places.append(ends)
        colors.append(
            np.broadcast_to(Color(color_of(line)).rgba.astype(np.float32), (len(ends), 4))
        )
    return np.concatenate(places), np.concatenate(colors)
