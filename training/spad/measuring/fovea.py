"""A proposal for the fovea's place, from the pit in the retina's upper border. A person decides.

In each column the border is where the image first turns bright below the vitreous. Taken against
its own B-scan's slope (B-scans lie at heights of their own), the fovea is where it dips most below
its surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import without_empty

__all__ = ["LEAST_DIP_UM", "pit", "propose_fovea", "vitreous_border"]

LEAST_DIP_UM = 12.0
"""A shallower dip is no fovea."""
_NEAR_MM, _AROUND_MM = 0.15, 0.8
_ROWS, _COLUMNS = 2, 4  # averaged, against speckle


def propose_fovea(
    image: NDArray[Any], spacing_mm: Sequence[float], *, inverted: bool = False
) -> tuple[float, float] | None:
    """Where the fovea probably is.

    Parameters
    ----------
    image : array of real, shape (Z, H, W)
        Vitreous above.
    spacing_mm : (between B-scans, row, column)
    inverted : bool
        High values are dark.

    Returns
    -------
    (B-scan, column) as floats, or None
        None where there is no dip, as under a thick cyst, and for fewer than 3 B-scans.

    Raises
    ------
    ValueError
        No stack, or a spacing that is not three lengths.
    """
    if image.ndim != 3 or len(spacing_mm) != 3 or not all(0 < s < np.inf for s in spacing_mm):
        raise ValueError(
            f"an image of shape {image.shape} and a spacing of {tuple(spacing_mm)}; the fovea is "
            "looked for in a stack (B-scans, rows, columns) with three lengths in mm"
        )
    if len(image) < 3:
        return None
    rows = vitreous_border(image, inverted=inverted)
    across = np.arange(rows.shape[1])
    for line in rows:  # level each B-scan; the middle of the slopes is little moved by the pit
        step = max(1, len(line) // 4)
        slopes = (line[step:] - line[:-step]) / step
        if np.isfinite(slopes).any():
            line -= np.nanmedian(slopes) * across
            line -= np.nanmedian(line)
        else:
            line[:] = np.nan
    return pit(-rows * spacing_mm[1] * 1000, (spacing_mm[0], spacing_mm[2]))


def vitreous_border(image: NDArray[Any], *, inverted: bool = False) -> NDArray[np.float64]:
    """Row at which each column first turns bright, float64 (Z, W); NaN where none does.

    Parameters
    ----------
    image : array of real, shape (Z, H, W)
        Pixels without a value (±3.4e38) are as dark as the darkest.
    inverted : bool
        High values are dark.
    """
    out = np.full((image.shape[0], image.shape[2]), np.nan)
    for z, one in enumerate(image):
        one = without_empty(np.asarray(one), inverted=inverted)
        lit = np.flatnonzero((one != one[0]).any(0))
        if len(lit):  # what lies beside it is of one value: a margin, where the eye had moved
            part = slice(lit[0], lit[-1] + 1)
            out[z, part] = _first_bright(one[:, part], inverted)
    return out


def _first_bright(image: NDArray[Any], inverted: bool) -> NDArray[np.float64]:
    """Do so for one B-scan, (H, W) to (W,)."""
    from scipy import ndimage

    height, width = image.shape
    down, along = min(_ROWS, height), min(_COLUMNS, width)
    cut = image[: height // down * down, : width // along * along]
    small = cut.reshape(height // down, down, -1, along).mean((1, 3), dtype=np.float64)
    smooth = ndimage.gaussian_filter(-small if inverted else small, (2, 1.5))
    dark, bright = np.percentile(smooth, (20, 97))
    retina = smooth > dark + 0.35 * (bright - dark)
    seen = retina.any(0)
    if not seen.any():
        return np.full(width, np.nan)
    middles = (np.arange(width // along) + 0.5) * along - 0.5
    border = np.interp(middles, middles[seen], retina.argmax(0)[seen] * float(down))
    border = ndimage.median_filter(border, 7, mode="nearest")
    columns = np.arange(width)
    there = seen[np.minimum(columns // along, len(seen) - 1)]
    return np.where(there, np.interp(columns, middles, border), np.nan)


def pit(
    heights_um: NDArray[np.floating], spacing_mm: Sequence[float]
) -> tuple[float, float] | None:
    """Where a map dips most below its surroundings: a thickness, or the height of a border.

    Parameters
    ----------
    heights_um : array of float, shape (B-scans, columns)
        NaN where nothing is known.
    spacing_mm : (between B-scans, column)

    Returns
    -------
    (B-scan, column) as floats, or None
        None where nothing dips by `LEAST_DIP_UM`.
    """
    from scipy import ndimage

    known = np.isfinite(heights_um)
    if not known.any():
        return None
    filled = np.where(known, heights_um, 0.0)

    def smooth(mm: float) -> NDArray[np.float64]:
        widths = [mm / s for s in spacing_mm]
        weight = ndimage.gaussian_filter(known.astype(float), widths)
        total = ndimage.gaussian_filter(filled, widths)
        mean: NDArray[np.float64] = total / np.maximum(weight, 1e-6)
        return mean

    dip = np.where(known, smooth(_AROUND_MM) - smooth(_NEAR_MM), -np.inf)
    z, x = np.unravel_index(int(dip.argmax()), dip.shape)
    if dip[z, x] < LEAST_DIP_UM:
        return None
    # The middle of the dip's upper half, so that it lies between B-scans where the pit does.
    halves, _ = ndimage.label(dip > dip[z, x] * 0.7)
    weight = np.where(halves == halves[z, x], dip, 0)
    middle = ndimage.center_of_mass(weight)
    return float(middle[0]), float(middle[1])
