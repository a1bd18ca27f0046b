"""An annotator's edits in a run (docs/method.md, section 10): checked, held, put back in the end.

``clamp`` fixes pixels, ``region`` bounds what may change, and the chains restart from ``start``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE

__all__ = ["check_edits", "held_pixels", "restore_edits"]


def check_edits(
    shape: tuple[int, ...], num_classes: int, **edits: NDArray[Any] | None
) -> dict[str, NDArray[Any]]:
    """The edits that are given, checked against the image's shape and the model's classes."""
    given = {name: np.asarray(edit) for name, edit in edits.items() if edit is not None}
    if "region" in given and "start" not in given:
        raise ValueError(
            "a region is given without start, the label map to keep outside; give both"
        )
    for name, edit in given.items():
        wanted = np.bool_ if name == "region" else np.uint8
        if edit.shape != shape or edit.dtype != wanted:
            raise ValueError(
                f"{name} has shape {edit.shape} and type {edit.dtype}; this image asks for "
                f"{shape} and {np.dtype(wanted)}"
            )
        if name != "region":
            values = np.unique(edit)
            allowed = values < num_classes
            if name == "clamp":
                allowed |= values == IGNORE
            if not allowed.all():
                raise ValueError(
                    f"{name} holds the values {values[~allowed].tolist()}; the model has classes "
                    f"0..{num_classes - 1}" + (" (and 255 for free)" if name == "clamp" else "")
                )
    return given


def held_pixels(fixed: dict[str, NDArray[Any]]) -> NDArray[np.uint8] | None:
    """What must come out as it is: fixed pixels, and the start outside the region; 255 is free."""
    if "clamp" not in fixed and "region" not in fixed:
        return None
    shape = next(iter(fixed.values())).shape
    held = fixed["clamp"] if "clamp" in fixed else np.full(shape, IGNORE, np.uint8)
    if "region" in fixed:
        # Outside the region nothing changes, not even towards a clamp.
        held = np.where(fixed["region"], held, fixed["start"])
    return held


def restore_edits(
    fixed: dict[str, NDArray[Any]],
    labels: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    uncertainty: NDArray[np.float16],
) -> None:
    """Put fixed pixels back on the image's own grid, where scaling may have moved them."""
    if (held := held_pixels(fixed)) is not None:
        where = held != IGNORE
        labels[where] = held[where]
        samples[:, where] = held[where]
        uncertainty[where] = 0
