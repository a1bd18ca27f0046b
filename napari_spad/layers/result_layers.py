"""The layers of a result: the segmentation, its uncertainty, and what is by hand in it.

They lie where the image lies, and are named and numbered alike. Each is made by itself: napari
takes its time for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers.geometry import bscan_sizes
from napari_spad.layers.structures import class_features, colormap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_spad.layers.image_source import Source
    from spad.checkpoint import LabelClass

__all__ = [
    "by_hand_layer",
    "hand_colormap",
    "hidden_aids",
    "result_names",
    "segmentation_layer",
    "uncertainty_layer",
]


FACTS = ("scale", "eye", "fovea", "first")
"""What measurements rest on; exports of the labels tell it too."""


def uncertainty_colormap() -> Any:
    """Clear where the chains agree, through cyan to white where they do not.

    Colour-blind people too can tell cyan from every structure (orange they cannot tell from IRF).
    """
    from napari.utils.colormaps import Colormap

    stops = [[0, 1, 1, 0], [0.3, 1, 1, 0.55], [0.6, 1, 1, 0.9], [0.9, 1, 1, 1]]
    return Colormap(stops, name="SPAD uncertainty")


def hand_colormap() -> Any:
    """White outlines of what a person painted."""
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict={None: "white", 0: "transparent", 1: "white"})


def segmentation_layer(
    source: Source, name: str, classes: Sequence[LabelClass], mask: NDArray[np.uint8]
) -> Labels:
    """Make the layer of a result's labels, empty; `mask` is 1 where a person painted."""
    from napari.layers import Labels

    from spad.checkpoint import NOTICE

    sizes = bscan_sizes(source.layer)
    return Labels(
        np.zeros(source.shape, np.uint8),
        name=name,
        colormap=colormap(classes),
        features=class_features(classes),
        metadata={
            "spad": {
                "notice": NOTICE,
                "image": source.name,
                "classes": [c.as_json() for c in classes],
                "provenance": [],
                "by_hand": mask,
                **({"bscan_sizes": sizes} if len(set(sizes)) > 1 else {}),
            },
            **{k: v for k, v in source.layer.metadata.items() if k in FACTS},
        },
        opacity=0.5,
        **source.placement,
    )


def uncertainty_layer(source: Source, name: str, uncertainty: NDArray[np.float16]) -> Image:
    """Make the layer of a result's uncertainty, which shows this array."""
    from napari.layers import Image

    return Image(
        uncertainty,
        name=name,
        visible=False,
        colormap=uncertainty_colormap(),
        contrast_limits=(0, 0.5),
        blending="translucent_no_depth",
        metadata={"spad": {"uncertainty_of": source.name}},
        opacity=0.5,
        **source.placement,
    )


def by_hand_layer(source: Source, name: str, mask: NDArray[np.uint8]) -> Labels:
    """Make the layer that outlines what a person painted: where this array is 1."""
    from napari.layers import Labels

    layer = Labels(
        mask,
        name=name,
        colormap=hand_colormap(),
        features={"index": [0, 1], "name": ["", "by hand"]},
        metadata={"role": "aid", "by_hand_of": source.name},
        opacity=0.9,
        **source.placement,
    )
    layer.contour = 1
    layer.editable = False  # it follows the strokes in the labels
    return layer


def result_names(viewer: ViewerModel, image: str) -> tuple[str, str, str]:
    """Names for the labels of a result, its uncertainty and what is by hand, numbered alike."""
    number, suffix = 1, ""
    while f"{image} – SPAD{suffix}" in viewer.layers:
        number += 1
        suffix = f" {number}"
    kinds = ("SPAD", "uncertainty", "by hand")
    labels, uncertainty, by_hand = (f"{image} – {kind}{suffix}" for kind in kinds)
    return labels, uncertainty, by_hand


def hidden_aids(layer: Any) -> list[Callable[[], object]]:
    """Hide what napari draws of a label layer's brush and polygon; what shows each again.

    To make these takes nearly as long as the layer itself; napari makes them when they are shown.
    """
    found = getattr(layer, "_overlays", {})  # no public name leads there
    aids = [found[name] for name in ("polygon", "brush_stroke") if name in found]
    for one in aids:
        one.visible = False
    return [partial(setattr, one, "visible", True) for one in aids]
