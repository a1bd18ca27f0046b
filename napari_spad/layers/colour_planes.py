"""Three or four planes: B-scans, or the colours of one picture, stored channel by channel.

Nobody can tell from the pixels, so the person is asked; the answer is kept in the layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_spad.layers.geometry import bscan_sizes, level_0

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["as_bscans", "as_colours", "may_be_colours"]

_BSCAN = "B-scan"


def may_be_colours(layer: Any) -> bool:
    """Whether an image layer (3|4, H, W) says nothing of what its planes are.

    It does by an axis that was named, or that has a spacing.
    """
    if layer.ndim < 3 or layer.rgb or int(level_0(layer).shape[-3]) not in (3, 4):
        return False
    named = not str(layer.axis_labels[-3]).startswith("-")  # napari's own are numbers
    return not named and layer.scale[-3] == 1 and not bscan_sizes(layer)


def as_bscans(layer: Image) -> None:
    """Keep in a layer that its planes are B-scans."""
    layer.axis_labels = (*layer.axis_labels[:-3], _BSCAN, "row", "column")


def as_colours(layer: Image, viewer: ViewerModel) -> Image:
    """Put an image in colour in the place of a layer whose planes are its channels."""
    place = viewer.layers.index(layer)
    made = type(layer)(
        np.moveaxis(level_0(layer), -3, -1),
        rgb=True,
        name=layer.name,
        scale=(*layer.scale[:-3], *layer.scale[-2:]),
        translate=(*layer.translate[:-3], *layer.translate[-2:]),
        metadata=dict(layer.metadata),
    )
    viewer.layers.insert(place, made)
    viewer.layers.remove(layer)
    made.name = layer.name
    return made
