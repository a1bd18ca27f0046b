"""Where a prediction and its reference differ: what to show, and where to look first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE

__all__ = ["ANOTHER", "MISSING", "TOO_MUCH", "difference_map", "largest_disagreement"]

TOO_MUCH, MISSING, ANOTHER = 1, 2, 3
"""Only the prediction has a structure there; only the reference; each has another one."""


def difference_map(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    value: int | None = None,
    *,
    ignore: int | None = IGNORE,
) -> NDArray[np.uint8]:
    """False positives and false negatives of one structure, or of all.

    Parameters
    ----------
    prediction, reference : array of uint8
        Class maps of the same shape.
    value : int, optional
        The structure; all of them by default, and `ANOTHER` where both have one, but not the same.
    ignore : int or None
        Where the reference has this value there is no difference.

    Returns
    -------
    ndarray of uint8
        0, `TOO_MUCH` (false positive), `MISSING` (false negative) or `ANOTHER`.
    """
    if prediction.shape != reference.shape:
        raise ValueError(
            f"prediction of shape {prediction.shape} and reference of shape {reference.shape} do "
            "not match; bring them to one grid"
        )
    ours, theirs = ((m != 0 if value is None else m == value) for m in (prediction, reference))
    out: NDArray[np.uint8] = (ours & ~theirs) * np.uint8(TOO_MUCH) + (theirs & ~ours) * np.uint8(
        MISSING
    )
    if value is None:
        out[ours & theirs & (prediction != reference)] = ANOTHER
    if ignore is not None:
        out[reference == ignore] = 0
    return out


def largest_disagreement(difference: NDArray[np.uint8]) -> tuple[slice, ...] | None:
    """Box around the largest connected patch of one kind of difference.

    Parameters
    ----------
    difference : array of uint8
        From `difference_map`. Pixels that touch at a corner are connected.

    Returns
    -------
    tuple of slice, or None
        One an axis; None where nothing differs.
    """
    from scipy import ndimage  # a front end that only draws need not load it

    best, box = 0, None
    for kind in (TOO_MUCH, MISSING, ANOTHER):
        patches, count = ndimage.label(difference == kind, np.ones((3,) * difference.ndim))
        if not count:
            continue
        sizes = np.bincount(patches.ravel())[1:]
        if sizes.max() > best:
            best, box = int(sizes.max()), ndimage.find_objects(patches)[int(sizes.argmax())]
    return box
