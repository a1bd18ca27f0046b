"""False positives and negatives of the B-scan on screen, as a layer that is only to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.metrics import ANOTHER, MISSING, TOO_MUCH

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

__all__ = ["Differences"]

"""``metadata["role"]`` of the layer: neither a segmentation, nor a reference, nor to be saved."""
COLORS: dict[int | None, str] = {
    None: "transparent", 0: "transparent", TOO_MUCH: "#ff4b00", MISSING: "#4d6dff", ANOTHER: "white"
}  # fmt: skip
"""Told apart with every kind of colour blindness, and not among the structures' colours."""
NAMES = {TOO_MUCH: "too much (false positive)", MISSING: "missing (false negative)",
         ANOTHER: "another structure in the reference"}  # fmt: skip


class Differences:
    """The layer, there while it is wanted.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None

    def show(self, index: tuple[int, ...], found: NDArray[np.uint8], segmentation: Labels) -> None:
        """Show the differences of a B-scan of the segmentation."""
        if self.layer is None or self.layer.data.shape != segmentation.data.shape:
            self.hide()
            self._add(segmentation)
        layer: Any = self.layer
        if not np.array_equal(layer.data[index], found):
            layer.data[index] = found
            layer.refresh(extent=False, thumbnail=False)

    def hide(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _add(self, segmentation: Labels) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        selection = self.viewer.layers.selection
        before, active = set(selection), selection.active
        placement = {
            key: getattr(segmentation, key)
            for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        }
        self.layer = self.viewer.add_labels(
            # Only B-scans that are looked at ever take memory: the rest stays unwritten zeros.
            np.zeros(segmentation.data.shape, np.uint8),
            name="differences (not saved)",
            colormap=DirectLabelColormap(color_dict=COLORS),
            features={"index": [0, *NAMES], "name": ["", *NAMES.values()]},
            metadata={"role": "aid"},
            opacity=0.85,
            **placement,
        )
        self.layer.editable = False
        selection.clear()
        selection.update(before)
        selection.active = active
