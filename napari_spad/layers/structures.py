"""A model's structures in label layers: which layers hold them, their names and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.layers.base import Layer

    from spad.checkpoint import LabelClass

__all__ = [
    "class_features",
    "colormap",
    "give_classes",
    "is_image",
    "is_label_map",
    "noted",
    "segmented",
    "structure_names",
]


def is_image(layer: Layer) -> bool:
    """Whether a layer is an image that somebody opened, no map of a result's uncertainty."""
    from napari.layers import Image

    return isinstance(layer, Image) and "spad" not in layer.metadata


def is_label_map(layer: Layer) -> bool:
    """Whether a layer holds labels, and does not only help to see (by hand, an overlay)."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and layer.metadata.get("role") != "aid"


def noted(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What SPAD noted in a layer's metadata, without what makes no sense: others write there too.

    Parameters
    ----------
    metadata : mapping
        Of a layer.

    Returns
    -------
    dict
        Of its entry "spad"; of ``classes`` and ``provenance`` those that say which they are of,
        ``by_hand`` where it is an array.
    """
    found = metadata.get("spad")
    out = dict(found) if isinstance(found, Mapping) else {}
    for key, fits in (("classes", _is_class), ("provenance", _is_run)):
        if isinstance(out.get(key), (list, tuple)):
            out[key] = [one for one in out[key] if isinstance(one, Mapping) and fits(one)]
        else:
            out.pop(key, None)
    if not isinstance(out.get("by_hand"), np.ndarray):
        out.pop("by_hand", None)
    return out


def _is_class(one: Mapping[str, Any]) -> bool:
    return isinstance(one.get("value"), (int, np.integer)) and isinstance(one.get("name"), str)


def _is_run(one: Mapping[str, Any]) -> bool:
    place = one.get("bscan")
    return isinstance(place, (list, tuple)) and all(isinstance(i, (int, np.integer)) for i in place)


def segmented(layer: Labels) -> set[tuple[int, ...]] | None:
    """Places of the B-scans that a model has filled; None for a layer that no model made."""
    runs = noted(layer.metadata).get("provenance")
    return None if runs is None else {tuple(run["bscan"]) for run in runs}


def colormap(classes: Sequence[LabelClass]) -> Any:
    """Colours of the classes; background clear; values that are no class glare in magenta."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, Any] = {None: "magenta", 0: "transparent"}
    colors |= {c.value: np.array([*c.color, 255]) / 255 for c in classes if c.value != 0}
    return DirectLabelColormap(color_dict=colors)


def class_features(classes: Sequence[LabelClass]) -> dict[str, list[Any]]:
    """Layer features that put the structure's name into the status bar."""
    return {"index": [c.value for c in classes], "name": [c.name for c in classes]}


def give_classes(layer: Labels, classes: Sequence[LabelClass]) -> None:
    """Make these the classes of a layer that a model made: names and colours."""
    layer.features = class_features(classes)
    layer.colormap = colormap(classes)


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
