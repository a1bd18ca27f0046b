"""The nearest edge along a line, and the edge between two points: a path of least cost.

From column to column the path goes up or down a few rows at most, so a dynamic programme over the
columns finds the best of all paths in one sweep. That is what scikit-image's
``route_through_array`` searches with a heap, but it could turn back, knows no steepest slope and
took 3 to 6 times as long (windows of 60 x 200 and 120 x 1536 pixels, one core).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spad.borders.edits import Stretch

__all__ = ["Edges", "along_edge", "snapped"]

SIGMA_PX = (2.0, 5.0)
"""Over what the gradient is smoothed: rows, columns. Speckle has no direction, a border has."""
SMOOTH_PX = 2.0
"""Columns over which a path that was found is smoothed: it goes by rows, a border does not."""
STEEPEST = 3
"""Rows a column."""
STEP_COST = 0.2
"""Of a row up or down; a column off the edge costs at most 1."""
NEAR_COST = 0.1
"""Of a column as far from the line as it may come: of two like edges the nearer one."""
CHORD_COST, CHORD_PX = 0.8, 5.0
"""Of a column so far or farther from the straight line between two clicks."""
FAR = np.float32(1e4)
MARGIN_PX = 20
"""So far above and below both ends a path may run."""


class Edges:
    """The gradient along the columns of a B-scan, by which its borders are found.

    Parameters
    ----------
    image : array, (H, W)
        Grey values of any real dtype; what is not finite counts as 0.
    """

    def __init__(self, image: NDArray[np.generic]) -> None:
        from scipy.ndimage import gaussian_filter  # SciPy is slow to load

        grey = np.asarray(image, np.float32)
        grey = np.where(np.isfinite(grey), grey, np.float32(0))
        self.rise: NDArray[np.float32] = gaussian_filter(
            grey, SIGMA_PX, order=(1, 0), mode="nearest", truncate=3
        )

    def lean(self, columns: NDArray[np.int64], rows: NDArray[np.floating]) -> float:
        """How much brighter it gets downwards at these places on average; negative: darker.

        Parameters
        ----------
        columns : array of int, (n,)
        rows : array of float, (n,)
            NaN and columns outside are left out; 0 where nothing is left.
        """
        height, width = self.rise.shape
        there = np.isfinite(rows) & (columns >= 0) & (columns < width)
        if not there.any():
            return 0.0
        at = np.clip(np.rint(rows[there]), 1, height - 2).astype(int)
        return float(np.mean([self.rise[at + d, columns[there]] for d in (-1, 0, 1)]))

    def refined(self, rows: NDArray[np.int64], first: int, sign: float) -> NDArray[np.float32]:
        """Rows of a path from a column on, to a part of a pixel: tops of parabolas, smoothed."""
        from scipy.ndimage import gaussian_filter1d

        columns = np.arange(first, first + len(rows))
        inner = np.clip(rows, 1, len(self.rise) - 2)
        above, here, below = (sign * self.rise[inner + d, columns] for d in (-1, 0, 1))
        bend = above - 2 * here + below
        peak = (bend < 0) & (here >= above) & (here >= below) & (inner == rows)
        shift = np.divide(above - below, 2 * bend, out=np.zeros(len(rows), np.float32), where=peak)
        sigma = min(SMOOTH_PX, len(rows) / 20)  # a short path is mostly its two ends
        path = (rows + shift).astype(np.float32)
        return np.asarray(gaussian_filter1d(path, sigma, mode="nearest"))


def snapped(
    edges: Edges,
    line: NDArray[np.float32],
    begin: int,
    end: int,
    within_px: int,
    *,
    lean: float = 0.0,
) -> Stretch:
    """Move a stretch of a line to the nearest edge, which may get brighter or darker downwards.

    Parameters
    ----------
    edges : Edges
    line : array of float32, (W,)
    begin, end : int
        Columns, `end` exclusive; what is not in the B-scan is left out.
    within_px : int
        Rows up or down that a height may move at most.
    lean : float, optional
        What `Edges.lean` says of the line where it is right: positive for an edge that gets
        brighter downwards, negative for one darker. Without it the better of both is taken.

    Returns
    -------
    Stretch
        NaN stays NaN; each run of columns in between has a path of its own.
    """
    begin, end = max(begin, 0), min(end, len(line), edges.rise.shape[1])
    out = line[begin:end].astype(np.float32)
    there = np.isfinite(out)
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    for start, stop in bounds.reshape(-1, 2):
        found = _snapped_run(edges, out[start:stop], begin + start, within_px, lean)
        out[start:stop] = np.clip(found, out[start:stop] - within_px, out[start:stop] + within_px)
    return Stretch(begin, out)


def _snapped_run(
    edges: Edges, line: NDArray[np.float32], first: int, within_px: int, lean: float
) -> NDArray[np.float32]:
    columns = np.arange(first, first + len(line))
    low = max(math.floor(line.min()) - within_px, 0)
    high = min(math.ceil(line.max()) + within_px + 1, len(edges.rise))
    if low >= high:
        return line
    off = np.abs(np.arange(low, high, dtype=np.float32)[:, None] - line)
    price = np.where(off <= within_px, NEAR_COST * off / max(within_px, 1), FAR)
    rise = edges.rise[low:high, columns]
    near = off <= within_px
    strong = np.percentile(np.abs(rise[near]), 98) if near.any() else 0.0
    signs = (1.0, -1.0) if lean == 0 else (float(np.sign(lean)),)
    found = [(*_least(_cost(sign * rise, float(strong)) + price, STEEPEST), sign) for sign in signs]
    path, _, sign = min(found, key=lambda one: one[1])
    return edges.refined(path + low, first, sign)


def along_edge(
    edges: Edges,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    ends_px: int = 3,
    lean: float = 0.0,
) -> Stretch:
    """The edge that leads from one point to another (a live wire).

    Parameters
    ----------
    edges : Edges
    start, end : (column, row)
        In either order.
    ends_px : int
        So far the path may begin above or below a point, at a price: a click need not hit.
    lean : float, optional
        As for `snapped`; without it what the edge does at the two points.

    Returns
    -------
    Stretch
        From the one column to the other.
    """
    (first, top), (last, bottom) = sorted((round(c), float(r)) for c, r in (start, end))
    height, width = edges.rise.shape
    first, last = max(min(first, width - 1), 0), max(min(last, width - 1), 0)
    top, bottom = (min(max(row, 0.0), height - 1.0) for row in (top, bottom))
    lean = lean or edges.lean(np.array([first, last]), np.array([top, bottom]))
    sign = 1.0 if lean >= 0 else -1.0
    low = max(math.floor(min(top, bottom)) - MARGIN_PX, 0)
    high = min(math.ceil(max(top, bottom)) + MARGIN_PX + 1, height)
    rise = sign * edges.rise[low:high, first : last + 1]
    cost = _cost(rise, float(np.percentile(rise, 98)))
    rows = np.arange(low, high)
    chord = np.linspace(top, bottom, last - first + 1)
    cost += CHORD_COST * np.minimum(np.abs(rows[:, None] - chord) / CHORD_PX, 1) ** 2
    for column, row in ((0, top), (-1, bottom)):
        off = np.abs(rows - row)
        cost[:, column] += np.where(off <= max(ends_px, 0.5), 0.3 * off, FAR)
    needed = math.ceil((abs(bottom - top) + 1) / max(last - first, 1))
    path, _ = _least(cost, max(STEEPEST, needed))
    return Stretch(first, edges.refined(path + low, first, sign))


def _cost(rise: NDArray[np.float32], strong: float) -> NDArray[np.float32]:
    """Cost of each pixel: 0 where it gets brighter as strongly as `strong`, 1 where it does not."""
    if strong <= 0:
        return np.ones_like(rise)
    return np.asarray(1 - np.clip(rise / np.float32(strong), 0, 1), np.float32)


def _least(cost: NDArray[np.float32], steepest: int) -> tuple[NDArray[np.int64], float]:
    """Row of the cheapest path in each column, and what it costs.

    Parameters
    ----------
    cost : array of float32, (rows, columns)
    steepest : int
        Rows that it may go up or down from a column to the next.
    """
    rows, columns = cost.shape
    steepest = min(steepest, rows - 1)
    price = (STEP_COST * np.abs(np.arange(-steepest, steepest + 1))).astype(np.float32)
    came = np.empty((columns, rows), np.int64)
    padded = np.full(rows + 2 * steepest, np.inf, np.float32)
    inner = padded[steepest : steepest + rows]
    reach = sliding_window_view(padded, 2 * steepest + 1)  # (rows, steps), of what comes before
    each = np.arange(rows)
    inner[:] = cost[:, 0]
    for column in range(1, columns):
        total = reach + price
        best = total.argmin(1)
        came[column] = best
        inner[:] = total[each, best] + cost[:, column]
    path = np.empty(columns, np.int64)
    path[-1] = inner.argmin()
    least = float(inner[path[-1]])
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + came[column, path[column]] - steepest
    return path, least
