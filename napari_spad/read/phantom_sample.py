"""Sample data: a procedural OCT stack with its reference."""

from __future__ import annotations

from napari_spad.layers import reference_settings
from napari_spad.read.opened_layers import AXES, LayerData

__all__ = ["phantom_stack"]


def phantom_stack(seed: int = 7, shape: tuple[int, int, int] = (16, 496, 768)) -> list[LayerData]:
    """Return an image layer and its reference labels, scaled in mm.

    Parameters
    ----------
    seed : int, optional
        Another seed, another eye.
    shape : (B-scans, rows, columns), optional
        By default as many pixels as a device's B-scan has.
    """
    from spad.checkpoint import label_classes
    from spad.phantom import CLASS_NAMES, stack

    phantom = stack(seed, shape=shape)
    classes = label_classes(CLASS_NAMES)
    placed = {"scale": phantom.spacing_mm, "units": ("mm",) * 3, "axis_labels": AXES}
    return [
        (phantom.image, {"name": "phantom OCT", "colormap": "gray", **placed}, "image"),
        (phantom.labels, reference_settings("reference", classes) | placed, "labels"),
    ]
