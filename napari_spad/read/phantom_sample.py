"""Sample data: a procedural OCT stack with its reference."""

from __future__ import annotations

from napari_spad.layers import reference_settings
from napari_spad.read.opened_layers import LayerData, image_layer, placed
from spad.measuring import Scale

__all__ = ["phantom_stack"]

MODEL = "oct-phantom"
"""What the image is for: the panel *Segment* proposes it."""


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
    scale = Scale.of(phantom.spacing_mm, "derived", "from what was drawn")
    return [
        image_layer(phantom.image, "phantom OCT", scale, metadata={"model": MODEL}),
        (phantom.labels, reference_settings("reference", classes) | placed(scale, 3), "labels"),
    ]
