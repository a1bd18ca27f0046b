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

__all__ = ["LEAST_DIP_UM", "pit", "propose_fovea", "vitreous_border"]

LEAST_DIP_UM = 12.0
"""A shallower dip is no fovea."""
_NEAR_MM, _AROUND_MM = 0.15, 0.8
_ROWS, _COLUMNS = 2, 4  # averaged, against speckle


def propose_fovea(image: NDArray[Any], spacing_mm: Sequence[float]) -> tuple[float, float] | None:
    """Where the fovea probably is.

    Parameters
    ----------
    image : array of real, shape (Z, H, W)
        Vitreous above.
    spacing_mm : (between B-scans, row, column)

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
    rows = vitreous_border(image)
    across = np.arange(rows.shape[1])
    for line in rows:  # level each B-scan; the middle of the slopes is little moved by the pit
        step = max(1, len(line) // 4)
        slope = np.median((line[step:] - line[:-step]) / step)
        line -= slope * across
        line -= np.median(line)
    return pit(-rows * spacing_mm[1] * 1000, (spacing_mm[0], spacing_mm[2]))


def vitreous_border(image: NDArray[Any]) -> NDArray[np.float64]:
    """Row at which each column first turns bright, float64 (Z, W).

    Parameters
    ----------
    image : array of real, shape (Z, H, W)
    """
    from scipy import ndimage

    deep, height, width = image.shape
    down, along = min(_ROWS, height), min(_COLUMNS, width)
    out = np.empty((deep, width))
    middles = (np.arange(width // along) + 0.5) * along - 0.5
    for z, one in enumerate(image):
        cut = one[: height // down * down, : width // along * along]
        small = cut.reshape(height // down, down, -1, along).mean((1, 3), dtype=np.float64)
        smooth = ndimage.gaussian_filter(small, (2, 1.5))
        dark, bright = np.percentile(smooth, (20, 97))
        border = (smooth > dark + 0.35 * (bright - dark)).argmax(0) * float(down)
        border = ndimage.median_filter(border, 7, mode="nearest")
        out[z] = np.interp(np.arange(width), middles, border)
    return out


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
