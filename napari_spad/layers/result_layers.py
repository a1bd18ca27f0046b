"""The layers of a result: the segmentation, its uncertainty, and what is by hand in it.

They lie where the image lies, and are named and numbered alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers.structures import class_features, colormap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_spad.layers.image_source import Source
    from spad.checkpoint import LabelClass

__all__ = ["hand_colormap", "make_result_layers"]


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


def make_result_layers(
    viewer: ViewerModel, source: Source, classes: Sequence[LabelClass], mask: NDArray[np.uint8]
) -> tuple[Image, Labels, Labels]:
    """Make the layers of a result, empty; they are not in the viewer yet.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    source : Source
    classes : sequence of LabelClass
    mask : array of uint8, shape of the source
        1 where a person painted; the layers share it.

    Returns
    -------
    uncertainty : napari.layers.Image
    segmentation, by_hand : napari.layers.Labels
    """
    from napari.layers import Image, Labels

    from spad.checkpoint import NOTICE

    names = _free_names(viewer, source.name)
    uncertainty = Image(
        np.zeros(source.shape, np.float16),
        name=next(names),
        visible=False,
        colormap=uncertainty_colormap(),
        contrast_limits=(0, 0.5),
        blending="translucent_no_depth",
        metadata={"spad": {"uncertainty_of": source.name}},
        opacity=0.5,
        **source.placement,
    )
    segmentation = Labels(
        np.zeros(source.shape, np.uint8),
        name=next(names),
        colormap=colormap(classes),
        features=class_features(classes),
        metadata={
            "spad": {
                "notice": NOTICE,
                "image": source.name,
                "classes": [c.as_json() for c in classes],
                "provenance": [],
                "by_hand": mask,
            },
            **{k: v for k, v in source.layer.metadata.items() if k in FACTS},
        },
        opacity=0.5,
        **source.placement,
    )
    by_hand = Labels(
        mask,
        name=next(names),
        colormap=hand_colormap(),
        features={"index": [0, 1], "name": ["", "by hand"]},
        metadata={"role": "aid", "by_hand_of": source.name},
        opacity=0.9,
        **source.placement,
    )
    by_hand.contour = 1
    return uncertainty, segmentation, by_hand


def _free_names(viewer: ViewerModel, image: str) -> Iterator[str]:
    """Names of the layers of a result, numbered alike where there is one already."""
    number, suffix = 1, ""
    while f"{image} – SPAD{suffix}" in viewer.layers:
        number += 1
        suffix = f" {number}"
    yield f"{image} – uncertainty{suffix}"
    yield f"{image} – SPAD{suffix}"
    yield f"{image} – by hand{suffix}"
