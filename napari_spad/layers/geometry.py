"""Where a layer lies: its B-scan on screen, its spacing, its placement."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers.base import Layer

__all__ = [
    "FROM_LAYER",
    "are_square",
    "bscan_sizes",
    "is_straight",
    "leading_index",
    "lengths_mm",
    "level_0",
    "placement",
    "spacing_mm",
    "turned_view",
]

FROM_LAYER = "from the layer's scale"
"""How lengths are derived of which nobody else told."""
SLANT = 1e-3
"""So much of a pixel's length may an axis lean over; what readers round is less."""


def leading_index(layer: Layer, viewer: ViewerModel) -> tuple[int, ...]:
    """Place of the B-scan on screen on the leading axes of `layer`, within its bounds."""
    point = np.asarray(layer.world_to_data(viewer.dims.point))[: layer.ndim - 2]
    shape = np.asarray(level_0(layer).shape[: layer.ndim - 2])
    index = np.clip(np.round(point), 0, np.maximum(shape - 1, 0)).astype(int)
    return tuple(int(i) for i in index)


def turned_view(viewer: ViewerModel) -> str:
    """Why the canvas shows no one B-scan to do something on, in words; mostly empty."""
    dims = viewer.dims
    if dims.ndisplay == 2 and set(dims.displayed) == set(range(dims.ndim)[-2:]):
        return ""
    return (
        "No B-scan is on screen, but their stack from another side or in 3-D: turn the view "
        "back first (2D/3D and the roll of axes, below the list of layers)."
    )


def level_0(layer: Any) -> Any:
    """Full-resolution data of a layer."""
    return layer.data[0] if layer.multiscale else layer.data


def bscan_sizes(layer: Any) -> list[tuple[int, int]]:
    """Height and width of each B-scan of a padded stack, by its place on the last leading axis.

    Empty for other layers, and where its metadata ``bscan_sizes`` are no such thing: others write
    there too.
    """
    found = layer.metadata.get("bscan_sizes")
    if found is None:
        return []
    try:
        shape = level_0(layer).shape
        *_, depth, height, width = shape[:-1] if getattr(layer, "rgb", False) else shape
        sizes = [(int(h), int(w)) for h, w in found]
    except (AttributeError, TypeError, ValueError):
        return []
    inside = all(0 < h <= height and 0 < w <= width for h, w in sizes)
    return sizes if inside and len(sizes) == depth else []


def placement(layer: Layer) -> dict[str, Any]:
    """Where a layer lies, in JSON values that another layer takes as its settings."""
    arrays = {key: getattr(layer, key) for key in ("scale", "translate", "rotate", "shear")}
    arrays["affine"] = layer.affine.affine_matrix
    return {key: np.asarray(value).tolist() for key, value in arrays.items()} | {
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }


def lengths_mm(layer: Layer, axes: int) -> list[float]:
    """Spacing of the last `axes` axes in mm; NaN where a unit is no length, or the scale is 0."""
    pairs = zip(layer.units[-axes:], layer.scale[-axes:], strict=True)
    return [abs(float(step)) * _mm(unit) or math.nan for unit, step in pairs]


def spacing_mm(layer: Layer, axes: int) -> tuple[float, ...] | None:
    """Spacing of the last `axes` axes in mm.

    None where the layer's units are no lengths, or its pixels have no one size (`is_straight`).
    """
    out = lengths_mm(layer, axes)
    return tuple(out) if all(map(math.isfinite, out)) and is_straight(layer) else None


def is_straight(layer: Layer) -> bool:
    """Whether a layer is moved and turned at most, so that its scale is the size of a pixel.

    False where shear or an affine transform slants or stretches its pixels.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    ends = [layer.data_to_world(one) for one in np.eye(layer.ndim)]
    return are_square(np.asarray(ends) - origin, np.abs(layer.scale))


def are_square(steps: NDArray[Any], lengths: NDArray[Any]) -> bool:
    """Whether steps from pixel to pixel, a row an axis, have these lengths and right angles."""
    unit = steps / np.where(lengths, lengths, 1)[:, None]
    return bool(np.abs(unit @ unit.T - np.eye(len(unit))).max() < SLANT)


@lru_cache
def _mm(unit: Any) -> float:
    """Millimetres of a unit, NaN of one that is no length: pint takes longer than a stroke may."""
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else math.nan
