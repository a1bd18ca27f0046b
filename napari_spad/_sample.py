"""Sample data: a procedural OCT stack with its reference."""

from __future__ import annotations

from typing import Any

from napari_spad._layers import class_features, colormap
from napari_spad._read_layers import AXES, LayerData

__all__ = ["phantom_stack"]


def phantom_stack(seed: int = 7) -> list[LayerData]:
    """Return an image layer and its reference labels, 16 B-scans of 256x384, scaled in mm.

    Parameters
    ----------
    seed : int, optional
        Another seed, another eye.
    """
    from spad.labels import label_classes
    from spad.phantom import CLASS_NAMES, stack

    phantom = stack(seed)
    classes = label_classes(CLASS_NAMES)
    placed = {"scale": phantom.spacing_mm, "units": ("mm",) * 3, "axis_labels": AXES}
    return [
        (phantom.image, {"name": "phantom OCT", "colormap": "gray", **placed}, "image"),
        (phantom.labels, reference_settings("reference", classes) | placed, "labels"),
    ]


def reference_settings(name: str, classes: Any) -> dict[str, Any]:
    """Layer settings of a reference: named and coloured.

    That it is drawn as outlines cannot be said in layer data; the dock sees to it (`outline`).
    """
    return {
        "name": name,
        "colormap": colormap(classes),
        "features": class_features(classes),
        "metadata": {"role": "reference"},
        "opacity": 1.0,
    }


def outline(layer: Any) -> None:
    """Draw a reference as outlines, so that it does not hide the image or the segmentation."""
    if layer.metadata.get("role") == "reference" and layer.contour == 0:
        layer.contour = 1
