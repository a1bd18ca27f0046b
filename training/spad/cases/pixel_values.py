"""What pixel values stand for: grey values of colours, and those that say “no value”."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["luminance", "without_empty"]

_WEIGHTS = (0.299, 0.587, 0.114)
_NO_VALUE = 3.39e38, 3.41e38
"""Around float32's largest number, which Heidelberg (and others, negative) write for no value."""


def luminance(image: NDArray[Any]) -> NDArray[Any]:
    """Grey values (Rec. 601) of an image whose last axis is RGB(A).

    Parameters
    ----------
    image : array of any real dtype, shape (..., 3|4)

    Returns
    -------
    array, shape (...)
        float32 of float32 and of up to 16 bits, else float64.
    """
    wide = image.dtype.itemsize > 2  # 32-bit integers and floats keep their detail
    dtype = np.dtype(np.float64 if wide else np.float32)
    grey: NDArray[Any] = np.asarray(image[..., :3], dtype=dtype) @ np.array(_WEIGHTS, dtype=dtype)
    return grey.astype(np.float32) if image.dtype == np.float32 else grey


def without_empty(pixels: NDArray[Any], *, inverted: bool = False) -> NDArray[Any]:
    """Give pixels without a value (±3.4e38) that of the darkest one.

    Parameters
    ----------
    pixels : array of any real dtype
    inverted : bool
        High values are dark.

    Returns
    -------
    array of the same dtype and shape
        The same array where all pixels have a value, or none has.
    """
    if pixels.dtype.kind != "f" or pixels.dtype.itemsize < 4:
        return pixels
    size = np.abs(pixels)
    with np.errstate(over="ignore"):  # the upper bound is infinity to float32
        empty = (size > _NO_VALUE[0]) & (size < _NO_VALUE[1])
    if not empty.any() or empty.all():
        return pixels
    known = pixels[~empty]
    return np.where(empty, known.max() if inverted else known.min(), pixels)
