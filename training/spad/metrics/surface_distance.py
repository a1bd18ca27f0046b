"""HD95, the distance between the surfaces of a structure in two label maps.

A structure in neither map has none, one in a single map has inf (docs/method.md, section 8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import refuse_masked

__all__ = ["hd95"]


def hd95(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float] | None = None,
) -> float:
    """Hausdorff distance at the 95th percentile, as MONAI defines it (method, Eq. 26).

    The larger of the two directed 95th percentiles of the distances from the surface pixels of one
    mask to the nearest surface pixel of the other. A surface pixel has a neighbour (4 in 2-D, 6 in
    3-D) outside the mask; so do those at the image's frame.

    Parameters
    ----------
    prediction, reference : array of bool, shape (H, W) or (Z, H, W)
        One structure in each.
    spacing : sequence of float, optional
        Of the pixels, by axis.

    Returns
    -------
    float
        In the unit of `spacing`, else in pixels. NaN if both masks are empty, inf if one is.

    Raises
    ------
    ValueError
        Shapes differ, masks are not boolean or masked arrays, or `spacing` does not fit.
    """
    from scipy.spatial import cKDTree  # slow to load: a front end's start must not wait for it

    for one in (prediction, reference):
        refuse_masked("a structure", one)
    masks = np.asarray(prediction), np.asarray(reference)
    shape = masks[0].shape
    if masks[1].shape != shape or len(shape) not in (2, 3):
        raise ValueError(
            f"masks of shapes {shape} and {masks[1].shape}; give two alike, 2-D or 3-D"
        )
    if any(m.dtype != np.bool_ for m in masks):
        raise ValueError("masks are not boolean; compare the label maps with a class value first")
    scale = np.ones(len(shape)) if spacing is None else np.asarray(spacing, np.float64)
    if scale.shape != (len(shape),) or not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"spacing {spacing} is not {len(shape)} positive numbers, one an axis")
    union = masks[0] | masks[1]
    if not union.any():
        return math.nan
    box = _bounding_box(union)
    first, second = (np.argwhere(_surface(m[box])) * scale for m in masks)
    if not (len(first) and len(second)):
        return math.inf
    directed = (cKDTree(b).query(a)[0] for a, b in ((first, second), (second, first)))
    return float(max(np.percentile(distances, 95) for distances in directed))


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box that holds a non-empty mask."""
    box = []
    for axis in range(mask.ndim):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(held[0], held[-1] + 1))
    return tuple(box)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it: mask minus erosion, by shifts."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return mask & ~inside
