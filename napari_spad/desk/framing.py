"""Slider and camera: go to a B-scan, fit each into the canvas, draw rows true or stretched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_spad.layers import bscan_sizes, leading_index

__all__ = ["Framing"]

MARGIN = 1.05
SMALLEST, WANTED, LARGEST, CLOSEST = 0.06, 0.25, 0.7, 8
"""Shares of the canvas that what is jumped to may take, and how much nearer than all of it."""
OLD_FIT = (0.2, 5)
"""So much may fit into a canvas change when a dock takes its room, or a window is maximised."""
FAR = 10
"""So many times as large as the layer before it, one is out of sight, or a dot."""
HOME = 0.95
"""Share of the canvas that all layers take, as napari's Home leaves it."""


class Framing:
    """Moves slider and camera.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Attributes
    ----------
    canvas : callable
        Gives the canvas' (height, width) in the camera's pixels, or None where there is none.
    stretch : float
        How much taller than it is a millimetre of a column is drawn, beside one of a row. It
        changes the view alone; the layers' scale stays.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.canvas: Callable[[], tuple[float, float] | None] = lambda: None
        self._framed: Any = None
        self._fit: Any = None  # the camera as it was when it showed all
        self._size: float | None = None  # of the layer that was active last, in the world
        self.stretch = 1.0
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.dims.events.current_step.connect(self.frame)
        viewer.events.reset_view.connect(self._on_home)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.viewer.dims.events.current_step.disconnect(self.frame)
        self.viewer.events.reset_view.disconnect(self._on_home)
        self.draw_stretched(1.0)

    @property
    def _upright(self) -> bool:
        """Whether rows run down the canvas and columns along it: else a middle is no camera's."""
        dims = self.viewer.dims
        return bool(dims.ndisplay == 2 and dims.order[-2:] == (dims.ndim - 2, dims.ndim - 1))

    @property
    def _camera(self) -> Any:
        return getattr(self.viewer, "scene", self.viewer).camera  # `camera` until napari 0.9

    def draw_stretched(self, stretch: float) -> None:
        """Draw rows so much taller; what is in the middle stays there, and all stays in view."""
        if stretch == self.stretch:
            return
        self.note_fit()
        fitted = self._fit is not None and self._fit == self._state
        along = self._per_axis[1]
        self.stretch = stretch
        with suppress(AttributeError):  # napari has no such switch; vispy's camera has
            self.viewer.window._qt_viewer.canvas.camera._2D_camera.aspect = 1 / stretch
            # napari draws its brush as a circle of the canvas; it paints a circle in mm.
            self.viewer.canvas.overlays._brush_circle.events.visible.connect(
                self._shape_brush, unique=True
            )
        self._shape_brush()
        if fitted:
            self.viewer.reset_view()
        else:
            self._camera.zoom = along / self._shares[1]

    def _shape_brush(self, _event: Any = None) -> None:
        with suppress(AttributeError, KeyError, IndexError):  # it is made when first seen
            visuals = self.viewer.window._qt_viewer.canvas._viewer_overlay_to_visual
            circle = visuals[self.viewer.canvas.overlays._brush_circle][0]
            circle.node.transform.scale = (*self._shares[::-1], 1, 1)

    @property
    def _shares(self) -> NDArray[np.float64]:
        """Row and column, as shares of the camera's zoom."""
        return np.minimum(1, [self.stretch, 1 / self.stretch])

    @property
    def _per_axis(self) -> NDArray[np.float64]:
        """Pixels of the canvas for a unit of the world: (row, column)."""
        return float(self._camera.zoom) * self._shares

    def _on_home(self, _event: Any = None) -> None:
        """Fit what is stretched too; napari knows nothing of it."""
        dims, seen = self.viewer.dims, self.canvas()
        if self.stretch == 1 or seen is None or dims.ndisplay != 2 or not self.viewer.layers:
            return
        low, high = np.asarray(self.viewer.layers.extent.world)[:, list(dims.displayed)]
        size = np.maximum(high - low, 1e-9) * self._shares
        self._camera.zoom = HOME * float((np.array(seen) / size).min())

    def _on_active(self, event: Any) -> None:
        """Fit a layer of quite another size than the last one, as one in px beside one in mm."""
        layer, seen, viewer = event.value, self.canvas(), self.viewer
        if not isinstance(layer, Image | Labels):
            return
        low, high = np.asarray(layer.extent.world)[:, -2:]
        before, self._size = self._size, float((high - low).max())
        alike = not before or not self._size or 1 / FAR < self._size / before < FAR
        grid = getattr(viewer, "canvas", viewer).grid  # `viewer.grid` until napari 0.9
        if alike or seen is None or not self._upright or grid.enabled:
            return
        camera = self._camera
        camera.center = (*camera.center[:-2], *((low + high) / 2))
        size = np.maximum(high - low, 1e-9) * self._shares
        camera.zoom = HOME * float((np.array(seen) / size).min())

    def note_fit(self) -> None:
        """Take note whether the camera is where napari's Home puts it, in whatever canvas that was.

        The zoom does not tell: canvas and camera learn of a new size one after the other. But who
        zooms or pans by hand moves the middle too.
        """
        camera, before = self._camera, self._state
        with camera.events.blocker():
            self.viewer.reset_view()
            fit = self._state
            camera.center, camera.zoom = before
        near = np.abs(np.subtract(fit[0], before[0])).max() * before[1] < 1  # pixel of the canvas
        flat = self.viewer.dims.ndisplay == 2 and len(self.viewer.layers) > 0
        if flat and near and OLD_FIT[0] < fit[1] / before[1] < OLD_FIT[1]:
            self._fit = before

    def fit_again(self) -> None:
        """Show all, in a canvas of another size, unless the camera was moved since `note_fit`."""
        if self._fit is not None and self._fit == self._state:
            self.viewer.reset_view()
            self._fit = self._state

    @property
    def _state(self) -> tuple[tuple[float, ...], float]:
        camera = self._camera
        return tuple(camera.center), float(camera.zoom)

    def go_to(
        self, layer: Any, index: tuple[int, ...], pixel: tuple[float, float] | None = None
    ) -> None:
        """Show a B-scan of a layer; centre one of its pixels, unless all of it is seen anyway."""
        at = np.asarray(layer.data_to_world([*index, *(pixel or (0.0, 0.0))]))
        dims = self.viewer.dims
        first = dims.ndim - layer.ndim
        for axis in range(len(index)):
            dims.set_point(first + axis, float(at[axis]))
        if pixel is None or not self._upright:
            return
        seen, camera = self.canvas(), self._camera
        size = layer.data.shape[-2:]
        if (padded := self._padded()) is not None and padded.data.shape == layer.data.shape:
            size = bscan_sizes(padded)[index[-1]]
        extent = self._extent(layer, index, size)
        if seen is not None and (extent[1] * self._per_axis <= np.array(seen) * 1.02).all():
            at = extent[0]
        camera.center = (*camera.center[:-2], float(at[-2]), float(at[-1]))

    def zoom_to(self, layer: Any, box: Sequence[slice]) -> None:
        """Zoom, where a box of rows and columns is too small to be seen, or does not fit."""
        canvas = self.canvas()
        if canvas is None or not self._upright:
            return
        seen = np.array(canvas)
        scale = np.abs(np.asarray(layer.scale[-2:], float)) * self._shares
        size = np.array([side.stop - side.start for side in box]) * scale
        whole = np.array(layer.data.shape[-2:]) * scale
        share = float((size * self._camera.zoom / seen).max())
        if not SMALLEST <= share <= LARGEST:
            fit = float((seen / whole).min())
            self._camera.zoom = min(float((seen / size).min()) * WANTED, fit * CLOSEST)

    def frame(self, _event: Any = None) -> None:
        """Fit the B-scan on screen into the canvas, where the one before had another size."""
        layer, seen = self._padded(), self.canvas()
        if layer is None or seen is None or not self._upright or len(set(bscan_sizes(layer))) < 2:
            return
        index = leading_index(layer, self.viewer)
        size = bscan_sizes(layer)[index[-1]]
        if (layer, size) == self._framed:
            return
        self._framed = (layer, size)
        middle, extent = self._extent(layer, index, size)
        camera = self._camera
        camera.center = (*camera.center[:-2], float(middle[0]), float(middle[1]))
        camera.zoom = float((np.array(seen) / (extent * self._shares * MARGIN)).min())

    def _padded(self) -> Any:
        """The stack whose B-scans have sizes of their own, the topmost one."""
        layers = reversed(self.viewer.layers)
        return next((la for la in layers if bscan_sizes(la)), None)

    def _extent(
        self, layer: Any, index: tuple[int, ...], size: tuple[int, ...]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Middle and size of a B-scan in the world, (row, column) each."""
        corners = [
            np.asarray(layer.data_to_world([*index, row, column]))[-2:]
            for row in (-0.5, size[0] - 0.5)
            for column in (-0.5, size[1] - 0.5)
        ]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        return (low + high) / 2, high - low
