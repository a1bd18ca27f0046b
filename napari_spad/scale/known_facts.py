"""Which image a layer is of, and what is known of each image of a viewer. No Qt in here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari_spad.desk import Desk
from napari_spad.scale.image_facts import Facts, source_of
from napari_spad.scale.kept_facts import KeptFacts

__all__ = ["KnownFacts"]


class KnownFacts:
    """The facts of the images in a viewer, one of each.

    Parameters
    ----------
    desk : Desk
        Its results know the images that they were made of.
    kept : KeptFacts
    on_told : callable
        Takes an image of which a person said something else.
    """

    def __init__(self, desk: Desk, kept: KeptFacts, on_told: Callable[[Any], None]) -> None:
        self._desk, self._kept, self._on_told = desk, kept, on_told
        self._known: list[Facts] = []

    def of(self, image: Any) -> Facts | None:
        """What is known of an image, or of labels without one; None of none."""
        viewer = self._desk.viewer
        self._known = [f for f in self._known if f.image in viewer.layers]
        if image is None:
            return None
        known = next((f for f in self._known if f.image is image), None)
        if known is None:
            told = partial(self._on_told, image)
            known = Facts(image, viewer, self._kept, told, self._made_of)
            self._known.append(known)
        return known

    def image_of(self, layer: Any) -> Any:
        """The image that labels are of; None where it is not in the viewer."""
        layers = self._desk.viewer.layers
        if (image := self._made_of(layer)) is not None:
            return image if image in layers else None
        return source_of(layer, layers)

    def _made_of(self, layer: Any) -> Any:
        """The image that a layer of a result was made of; None of other layers."""
        result = self._desk.result_of(layer)
        return None if result is None else result.image
