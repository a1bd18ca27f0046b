"""A brush that paints only on the side of an edge on which its stroke began."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["EdgeBrush"]

_BLUR_PX = 1.5
_CLEAR = 0.72
"""Share of the grey values' variance that two sides must explain to be an edge; of noise alone,
which is Gaussian, they explain 2/pi = 0.64."""
_AROUND = 2.5
"""Of the brush's radius: so far around it an edge is looked for."""
_LEAST_PX = 8


class EdgeBrush:
    """A stroke on one B-scan. What is dark where it begins stays on the dark side, and so on.

    Parameters
    ----------
    image : array of real dtype, shape (H, W)
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self._smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), _BLUR_PX)
        self._painted = np.zeros(self._smooth.shape, bool)
        self._dark: bool | None = None  # the side; None while there was no edge to choose one by
        self._edge = 0.0

    def dab(
        self, at: tuple[float, float], radii: tuple[float, float]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pixels under the brush on the stroke's side that are connected to the stroke.

        Parameters
        ----------
        at : (row, column)
        radii : (row, column)
            Of the brush, pixels.

        Returns
        -------
        rows, columns : arrays of int
            None of them if the brush has come to the other side altogether.
        """
        rows, columns, apart = self._window(at, radii)
        under = apart <= 1
        if not under.any():
            return np.empty(0, np.intp), np.empty(0, np.intp)
        values, painted = self._smooth[rows, columns], self._painted[rows, columns]
        centre = np.unravel_index(int(apart.argmin()), apart.shape)
        threshold, explained = _two_sides(values.ravel())
        if explained >= _CLEAR:
            self._edge = threshold
            if self._dark is None:
                self._dark = bool(values[centre] <= threshold)
        if self._dark is not None:
            under &= (values <= self._edge) == self._dark
        parts, count = ndimage.label(under)
        kept = np.zeros(count + 1, bool)
        kept[parts[centre]] = True
        kept[parts[painted]] = True
        kept[0] = False
        found = ndimage.binary_fill_holes(kept[parts])
        painted |= found
        inside = np.nonzero(found)
        return inside[0] + rows.start, inside[1] + columns.start

    def _window(
        self, at: tuple[float, float], radii: tuple[float, float]
    ) -> tuple[slice, slice, NDArray[np.float64]]:
        """Rows and columns around a place, and how many radii each pixel lies from it."""
        spans, ways = [], []
        for i, radius, size in zip(at, radii, self._smooth.shape, strict=True):
            reach = max(_AROUND * radius, _LEAST_PX)
            first, last = max(int(np.floor(i - reach)), 0), min(int(np.ceil(i + reach)) + 1, size)
            spans.append(slice(first, max(first, last)))
            ways.append((np.arange(spans[-1].start, spans[-1].stop) - i) / max(radius, 0.5))
        return spans[0], spans[1], np.hypot(ways[0][:, None], ways[1])


def _two_sides(values: NDArray[np.float32]) -> tuple[float, float]:
    """The threshold that parts values best, and the share of their variance that it explains."""
    ordered = np.sort(values).astype(np.float64)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    total, spread = ordered.sum(), float(ordered.var())
    if len(ordered) < 2 or spread < 1e-12:
        return float(ordered[-1]), 0.0
    apart = below / count - (total - below) / (len(ordered) - count)
    between = count * (len(ordered) - count) * np.square(apart) / len(ordered) ** 2
    best = int(between.argmax())
    return float(ordered[best]), float(between[best]) / spread
