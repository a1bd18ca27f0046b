"""Filling from a pixel to the edge around it, in grey values or in a model's probability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["flooded", "to_the_edge"]

_BLUR_PX = 1.5
_LEVELS = np.linspace(0.03, 0.6, 20)
"""Tolerances that are tried, as shares of the range of grey values."""
_LARGEST = 0.2
"""Of the image; what is larger has run out."""
_LEAK, _LEAST_PX = 2.0, 60
"""So many times as large from one tolerance to the next is run out too; of so many pixels on."""


def flooded(values: NDArray[Any], at: tuple[int, int], tolerance: float) -> NDArray[np.bool_]:
    """What is connected to a pixel (by its four neighbours) and differs no more from its value.

    Parameters
    ----------
    values : array of real dtype, shape (H, W)
    at : (row, column)
    tolerance : float
        In the unit of `values`.

    Returns
    -------
    array of bool, shape (H, W)

    Raises
    ------
    ValueError
        The pixel lies outside.
    """
    if not all(0 <= i < n for i, n in zip(at, values.shape, strict=True)):
        raise ValueError(f"pixel {at} lies outside the image of {values.shape}: take one inside")
    values = np.asarray(values, np.float32)
    near = np.abs(values - values[at]) <= tolerance
    near[at] = True  # also where it is NaN, which differs from all, itself included
    parts, _ = ndimage.label(near)
    found: NDArray[np.bool_] = parts == parts[at]
    return found


def to_the_edge(
    image: NDArray[Any], at: tuple[int, int], *, tolerance: float | None = None
) -> NDArray[np.bool_]:
    """Fill from a pixel to the edge around it, holes included.

    Parameters
    ----------
    image : array of real dtype, shape (H, W)
        NaN and infinity are as dark as the darkest.
    at : (row, column)
    tolerance : float, optional
        How far grey values may differ from the pixel's, as a share of their range (their 2nd to
        98th percentile); the one at whose border the image is steepest, if None.

    Returns
    -------
    array of bool, shape (H, W)

    Raises
    ------
    ValueError
        The pixel lies outside.
    """
    grey = np.asarray(image, np.float32)
    known = np.isfinite(grey)
    grey = np.where(known, grey, grey.min(where=known, initial=np.inf) if known.any() else 0)
    smooth = ndimage.gaussian_filter(grey, _BLUR_PX)
    low, high = np.percentile(smooth, [2, 98])
    smooth /= max(float(high - low), 1e-6)
    if tolerance is not None:
        return _without_holes(flooded(smooth, at, tolerance))
    steep = ndimage.gaussian_gradient_magnitude(smooth, 1.0)
    best, before, chosen = -1.0, 0, flooded(smooth, at, float(_LEVELS[0]))
    for level in _LEVELS:
        found = _without_holes(flooded(smooth, at, float(level)))
        size = int(found.sum())
        if size > _LARGEST * found.size or (before >= _LEAST_PX and size > _LEAK * before):
            break
        before = size
        border = found & ~ndimage.binary_erosion(found)
        if (slope := float(steep[border].mean())) > best:
            best, chosen = slope, found
    return chosen


def _without_holes(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    (box,) = ndimage.find_objects(region.astype(np.int8))
    region[box] = ndimage.binary_fill_holes(region[box])
    return region
