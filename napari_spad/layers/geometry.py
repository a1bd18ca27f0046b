"""Where a layer lies: its B-scan on screen, its spacing, its placement."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers.base import Layer

__all__ = ["bscan_sizes", "leading_index", "level_0", "placement", "spacing_mm"]


def leading_index(layer: Layer, viewer: ViewerModel) -> tuple[int, ...]:
    """Place of the B-scan on screen on the leading axes of `layer`, within its bounds."""
    point = np.asarray(layer.world_to_data(viewer.dims.point))[: layer.ndim - 2]
    shape = np.asarray(level_0(layer).shape[: layer.ndim - 2])
    index = np.clip(np.round(point), 0, np.maximum(shape - 1, 0)).astype(int)
    return tuple(int(i) for i in index)


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
        *_, depth, height, width = shape[:-1] if layer.rgb else shape
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


def spacing_mm(layer: Layer, axes: int) -> tuple[float, ...] | None:
    """Spacing of the last `axes` axes in mm; None where the layer's units are no lengths."""
    out = []
    for unit, scale in zip(layer.units[-axes:], layer.scale[-axes:], strict=True):
        if (mm := _in_mm(unit)) is None:
            return None
        out.append(abs(float(scale)) * mm)
    return tuple(out) if all(math.isfinite(s) and s > 0 for s in out) else None


@lru_cache  # pint takes milliseconds, and a drag asks at each move of the mouse
def _in_mm(unit: Any) -> float | None:
    """Millimetres of a unit; None where it is no length."""
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else None
