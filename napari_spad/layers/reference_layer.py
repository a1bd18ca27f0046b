"""How a reference looks: named, coloured, and drawn as outlines."""

from __future__ import annotations

from typing import Any

from napari_spad.layers.structures import class_features, colormap

__all__ = ["outline", "reference_settings"]


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
