"""Lines of one B-scan carried to another, and lines between two, after a rigid shift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["interpolated", "shift_between", "shifted"]

Shift = tuple[float, float]
"""Rows and columns by which a second B-scan lies further down and to the right than a first."""
LARGEST_PX = (60, 20)
"""Rows and columns; a larger shift is not looked for."""


def shift_between(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[int, int]:
    """By what one B-scan is shifted against another: eyes move between two scans.

    Parameters
    ----------
    first, second : array, (H, W)
        Grey values.

    Returns
    -------
    (rows, columns)
        What is at row r and column c of `first` is at (r + rows, c + columns) of `second`. By the
        largest cross-correlation of the edges along the columns.

    Raises
    ------
    ValueError
        Two shapes.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"B-scans of {first.shape} and {second.shape}; give two of one shape")
    from scipy import fft
    from scipy.ndimage import gaussian_filter

    def edges(image: NDArray[np.generic]) -> NDArray[np.float32]:
        grey = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        found = gaussian_filter(grey, 2, order=(1, 0), mode="nearest", truncate=3)
        return np.asarray(found, np.float32)

    size = [
        fft.next_fast_len(n + m, real=True) for n, m in zip(first.shape, LARGEST_PX, strict=True)
    ]
    spectra = [fft.rfft2(edges(image), size) for image in (first, second)]
    alike = fft.irfft2(spectra[0].conj() * spectra[1], size)
    rows, columns = (
        np.arange(-min(m, n - 1), min(m, n - 1) + 1)
        for m, n in zip(LARGEST_PX, first.shape, strict=True)
    )
    near = alike[np.ix_(rows, columns)]
    row, column = np.unravel_index(near.argmax(), near.shape)
    return int(rows[row]), int(columns[column])


def shifted(heights: NDArray[np.float32], shift: Shift) -> NDArray[np.float32]:
    """Lines, (lines, W), as they lie in a B-scan shifted by (rows, columns); NaN beside them."""
    rows, columns = shift
    width = heights.shape[-1]
    at = np.arange(width) - columns
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)
    inside = (at >= 0) & (at <= width - 1)
    left, right = (heights[..., np.clip(low + d, 0, width - 1)] for d in (0, 1))
    # A neighbour without weight may be NaN.
    mixed = np.where(share > 0, left + share * (right - left), left)
    return np.where(inside, mixed + np.float32(rows), np.float32(np.nan)).astype(np.float32)


def interpolated(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    share: float,
    shift: Shift = (0.0, 0.0),
) -> NDArray[np.float32]:
    """Lines of a B-scan that lies between two.

    Parameters
    ----------
    first, second : array of float32, (lines, W)
        Heights in px, NaN where a line is not there.
    share : float in 0..1
        How far from the first to the second it lies.
    shift : (rows, columns)
        Of the second against the first, as `shift_between` tells; the eye is taken to have moved
        evenly.

    Returns
    -------
    array of float32, (lines, W)
        Column by column. Where only one of the two B-scans has a line, the nearer one says whether
        it is there, and both at half way say that it is. Lines do not cross where they do not in
        both.

    Raises
    ------
    ValueError
        Two shapes, or a share outside 0..1.
    """
    from spad.borders.lines import put_in_order

    if first.shape != second.shape:
        raise ValueError(f"lines of {first.shape} and {second.shape}; give two of one shape")
    if not 0 <= share <= 1:
        raise ValueError(f"share = {share}: what lies between two B-scans is at 0 to 1")
    rows, columns = shift
    one = shifted(first, (share * rows, share * columns))
    other = shifted(second, ((share - 1) * rows, (share - 1) * columns))
    mean = one + np.float32(share) * (other - one)
    alone_one = np.isfinite(one) & np.isnan(other) & (share <= 0.5)
    alone_other = np.isfinite(other) & np.isnan(one) & (share >= 0.5)
    found = np.where(alone_one, one, np.where(alone_other, other, mean))
    return put_in_order(found.astype(np.float32))
