"""A run in the worker, as a server hands it on: an image and edits in, a segmentation out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.inference import Step, drained

if TYPE_CHECKING:
    from spad.inference import Segmenter

__all__ = ["segment"]

OPTIONS = (
    "samples", "steps", "seed", "t0", "rgb", "inverted", "probability", "first_slice", "current",
)  # fmt: skip
EDITS = ("clamp", "region", "start")


def segment(
    model: Segmenter,
    content: dict[str, Any],
    arrays: Sequence[NDArray[Any]],
    tell: Callable[[Step], None],
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Segment what a message brings.

    Returns
    -------
    content : dict
    arrays : list of arrays
        Those of the segmentation that `content` names.
    """
    image, unreadable, *edits = arrays
    options = {k: v for k, v in content["options"].items() if k in OPTIONS}
    options |= {k: e for k, e in zip(content["edits"], edits, strict=True) if k in EDITS}
    spacing = content["spacing_mm"]
    steps = model.steps(
        _Sent(image, unreadable) if content["lazy"] else image,
        None if spacing is None else tuple(spacing),
        **options,
    )
    made = drained(steps, tell)
    names = ["labels", "samples", "uncertainty"]
    names += ["probability"] if made.probability is not None else []
    answer = {"kind": "segmentation", "names": names, "provenance": made.provenance}
    return answer, [getattr(made, name) for name in names]


class _Sent:
    """A stack that is lazy at the desk: of its slices, some could not be read there."""

    def __init__(self, image: NDArray[Any], unreadable: NDArray[Any]) -> None:
        self.shape, self.dtype = image.shape, image.dtype
        self._image, self._unreadable = image, unreadable

    def __getitem__(self, z: int) -> NDArray[Any]:
        if self._unreadable[z]:
            raise OSError("its file, at the desk")
        return np.asarray(self._image[z])
