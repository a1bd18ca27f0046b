"""What is read from layers, and how classes look in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from napari.layers.base import Layer

    from spad.checkpoint import LabelClass

__all__ = [
    "class_features",
    "colormap",
    "is_label_map",
    "leading_index",
    "level_0",
    "placement",
    "segmented",
    "spacing_mm",
    "structure_names",
]


def leading_index(layer: Layer, viewer: ViewerModel) -> tuple[int, ...]:
    """Place of the B-scan on screen on the leading axes of `layer`, within its bounds."""
    point = np.asarray(layer.world_to_data(viewer.dims.point))[: layer.ndim - 2]
    shape = np.asarray(level_0(layer).shape[: layer.ndim - 2])
    index = np.clip(np.round(point), 0, np.maximum(shape - 1, 0)).astype(int)
    return tuple(int(i) for i in index)


def is_label_map(layer: Layer) -> bool:
    """Whether a layer holds labels, and does not only help to see (by hand, an overlay)."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and layer.metadata.get("role") != "aid"


def level_0(layer: Any) -> Any:
    """Full-resolution data of a layer."""
    return layer.data[0] if layer.multiscale else layer.data


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
        if not unit.is_compatible_with("mm"):
            return None
        out.append(abs(float(scale)) * float((1 * unit).to("mm").magnitude))
    return tuple(out) if all(math.isfinite(s) and s > 0 for s in out) else None


def colormap(classes: Sequence[LabelClass]) -> Any:
    """Colours of the classes; background clear; values that are no class glare in magenta."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, Any] = {None: "magenta", 0: "transparent"}
    colors |= {c.value: np.array([*c.color, 255]) / 255 for c in classes if c.value != 0}
    return DirectLabelColormap(color_dict=colors)


def class_features(classes: Sequence[LabelClass]) -> dict[str, list[Any]]:
    """Layer features that put the structure's name into the status bar."""
    return {"index": [c.value for c in classes], "name": [c.name for c in classes]}


def structure_names(layer: Labels) -> dict[int, str]:
    """Names by value, from the layer's features; empty where it has none."""
    features = layer.features
    if not {"index", "name"} <= set(features.columns):
        return {}
    return {
        int(i): str(n)
        for i, n in zip(features["index"], features["name"], strict=True)
        if isinstance(n, str) and n
    }


def segmented(layer: Labels) -> set[tuple[int, ...]] | None:
    """Places of the B-scans that a model has filled; None for a layer that no model made."""
    if "spad" not in layer.metadata:
        return None
    return {tuple(run["bscan"]) for run in layer.metadata["spad"]["provenance"]}
