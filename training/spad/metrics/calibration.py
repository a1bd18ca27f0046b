"""Whether probabilities come true: histograms of confidence against outcome, and their error.

Histograms add up over images, as confusion matrices do, so that memory stays flat. The expected
calibration error (ECE) is Guo et al., ICML 2017, equation 3, for the most probable class, and
Nixon et al., CVPR Workshops 2019, section 3.1, class by class. Easy background makes any model look
calibrated, so both are also worth looking at along the contours alone (:func:`contour_band`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.checkpoint import IGNORE

__all__ = ["calibration_error", "calibration_histogram", "contour_band"]

Float64 = NDArray[np.float64]


def calibration_histogram(
    probability: NDArray[Any],
    reference: NDArray[np.uint8],
    *,
    where: NDArray[np.bool_] | None = None,
    bins: int = 15,
) -> Float64:
    """Sort pixels by confidence into bins of equal width.

    Parameters
    ----------
    probability : array of float, shape (K, *S)
        Of each class, in 0..1.
    reference : array of uint8, shape S
        Class values; ignored pixels (255) are left out.
    where : array of bool, shape S, optional
        Count only there.
    bins : int
        Guo et al. use 15.

    Returns
    -------
    array of float64, shape (K + 1, bins, 3)
        For each class, and in row K for the most probable class of each pixel: the number of
        pixels, the sum of the confidence, the number of pixels where it came true.

    Raises
    ------
    ValueError
        Shapes that do not fit each other.
    """
    k, shape = len(probability), probability.shape[1:]
    if reference.shape != shape or (where is not None and where.shape != shape):
        raise ValueError(
            f"probabilities of shape {probability.shape}, reference of {reference.shape}; give "
            "(K, H, W) and (H, W), bring them to one grid first"
        )
    counted = reference != IGNORE
    if where is not None:
        counted &= where
    p, truth = probability[:, counted].astype(np.float64), reference[counted]
    top = p.argmax(0)
    rows = [(p[i], truth == i) for i in range(k)]
    rows.append((np.take_along_axis(p, top[None], 0)[0], truth == top))
    out = np.empty((k + 1, bins, 3))
    for row, (confidence, right) in zip(out, rows, strict=True):
        # Bin b holds b / bins < confidence <= (b + 1) / bins, as in Guo et al.; bin 0 holds 0 too.
        index = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.intp)
        for i, weights in enumerate((None, confidence, right)):
            row[:, i] = np.bincount(index, weights, minlength=bins)
    return out


def calibration_error(histogram: Float64) -> Float64:
    """ECE: mean distance of confidence and outcome, weighted by the pixels in each bin.

    Parameters
    ----------
    histogram : array of float64, shape (..., bins, 3)
        A sum of :func:`calibration_histogram`.

    Returns
    -------
    array of float64, shape (...)
        In 0..1; NaN where there are no pixels. Of a whole histogram: K class-wise errors, whose
        mean is Nixon's static calibration error, and last Guo's ECE of the most probable class.
    """
    pixels, confidence, right = np.moveaxis(histogram, -1, 0)
    total = pixels.sum(-1)
    # method, Eq. 30
    gap = np.abs(right - confidence).sum(-1)
    error: Float64 = np.divide(gap, total, out=np.full(total.shape, np.nan), where=total > 0)
    return error


def contour_band(labels: NDArray[np.uint8], radius_px: int = 2) -> NDArray[np.bool_]:
    """Pixels near a contour, on both of its sides.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        Class values; ignored pixels (255) neither have a contour nor make one.
    radius_px : int
        A pixel counts if the square of side ``2 radius_px + 1`` around it holds another class.

    Returns
    -------
    array of bool, shape (H, W)
    """
    size = 2 * radius_px + 1
    known = labels != IGNORE
    # Ignored pixels are the least of the one and the greatest of the other, so never seen.
    highest = ndimage.maximum_filter(np.where(known, labels, 0), size, mode="nearest")
    lowest = ndimage.minimum_filter(labels, size, mode="nearest")
    return np.asarray(known & ((highest > labels) | (lowest < labels)))
