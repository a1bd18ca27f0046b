"""Where a B-scan's pixels lie in its neighbour: one shift of all columns, and each column's rows.

From one B-scan to the next an eye moves, and the retina rises, tilts and bends. To an OCT these are
columns that have gone up or down; so much is found in the images, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

__all__ = ["Alignment", "align"]

_REACH = 0.08
"""Of the height and of the width: so far a shift is looked for."""
_WINDOW = 0.04
"""Of the width: neighbouring columns that decide together (a standard deviation)."""
_BLUR_PX = 1.5


@dataclass(frozen=True)
class Alignment:
    """Where the pixels of one image (row, column) are found in another.

    Parameters
    ----------
    rows : array of float, shape (W,)
        Added to the row; positive where the other image's tissue lies lower.
    column : int
        Added to the column.
    """

    rows: NDArray[np.float32]
    column: int

    def apply(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring the other image's label map, uint8 (H, W), onto this one's pixels."""
        height, width = labels.shape
        columns = np.clip(np.arange(width) + self.column, 0, width - 1)
        rows = np.rint(np.arange(height)[:, None] + self.rows).astype(np.intp)
        inside = (rows >= 0) & (rows < height)
        return np.where(inside, labels[np.clip(rows, 0, height - 1), columns], 0).astype(np.uint8)


def align(image: NDArray[Any], other: NDArray[Any]) -> Alignment:
    """Find where an image's pixels lie in another B-scan of the same eye.

    Parameters
    ----------
    image, other : array of real dtype, shape (H, W)

    Returns
    -------
    Alignment

    Raises
    ------
    ValueError
        The images differ in shape.
    """
    if image.shape != other.shape or image.ndim != 2:
        raise ValueError(
            f"images of shapes {image.shape} and {other.shape} cannot be aligned; give two B-scans "
            "of one size"
        )
    a, b = _plain(image), _plain(other)
    height, width = a.shape
    row, column = _whole_shift(a, b, (round(_REACH * height), round(_REACH * width)))
    columns = np.clip(np.arange(width) + column, 0, width - 1)
    b = b[:, columns]
    shifts = np.arange(-round(_REACH * height / 2), round(_REACH * height / 2) + 1)
    window = max(_WINDOW * width, 2.0)
    costs = np.stack([_cost(a, b, row + s, window) for s in shifts])
    # What is as good either way is not moved away from the whole image's shift.
    costs += 1e-3 * np.abs(shifts)[:, None]
    found = row + shifts[costs.argmin(0)].astype(np.float32)
    smooth = ndimage.median_filter(found, size=2 * round(window / 2) + 1, mode="nearest")
    rows = ndimage.gaussian_filter1d(smooth, window / 2, mode="nearest").astype(np.float32)
    return Alignment(rows, column)


def _plain(image: NDArray[Any]) -> NDArray[np.float32]:
    """Smoothed, of mean 0 and standard deviation 1."""
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), _BLUR_PX)
    return np.asarray((smooth - smooth.mean()) / max(float(smooth.std()), 1e-6))


def _whole_shift(
    a: NDArray[np.float32], b: NDArray[np.float32], reach: tuple[int, int]
) -> tuple[int, int]:
    """The shift (rows, columns) at which two images resemble each other most."""
    size = [fft.next_fast_len(n + 2 * r, real=True) for n, r in zip(a.shape, reach, strict=True)]
    product = np.conj(fft.rfft2(a, size)) * fft.rfft2(b, size)
    likeness = fft.irfft2(product, size)
    near = [np.r_[0 : r + 1, -r:0] for r in reach]
    part = likeness[np.ix_(*near)]
    i, j = np.unravel_index(int(part.argmax()), part.shape)
    return int(near[0][i]), int(near[1][j])


def _cost(
    a: NDArray[np.float32], b: NDArray[np.float32], shift: int, window: float
) -> NDArray[np.float32]:
    """Mean squared difference by column where `b` is moved by so many rows."""
    height = a.shape[0]
    low, high = max(0, -shift), min(height, height - shift)
    apart = np.square(a[low:high] - b[low + shift : high + shift]).mean(0)
    cost: NDArray[np.float32] = ndimage.gaussian_filter1d(apart, window, mode="nearest")
    return cost
