"""What a person does to a line in one B-scan: pure functions from heights to heights.

A tool gives the new heights of a `Stretch` of columns; `moved` puts them into the B-scan's lines
and sees to it that no two cross.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stretch", "dragged", "drawn", "moved", "smoothed", "through_knots"]


class Stretch(NamedTuple):
    """Heights of one line from a column on.

    Attributes
    ----------
    first : int
        Column of the first height.
    heights : array of float32, (n,)
        In px; NaN takes the line away.
    """

    first: int
    heights: NDArray[np.float32]


def moved(
    heights: NDArray[np.float32],
    line: int,
    stretch: Stretch,
    others: Literal["push", "stop"] = "push",
) -> NDArray[np.float32]:
    """Replace a stretch of one line; lines that it would cross give way or stop it.

    Parameters
    ----------
    heights : array of float32, (lines, W)
        Of one B-scan. It is left as it is.
    line : int
        Which one is moved.
    stretch : Stretch
        What lies outside the B-scan is left out.
    others : {"push", "stop"}
        Whether the other lines are pushed along, or the moved one ends where it meets them.

    Returns
    -------
    array of float32, (lines, W)
        Other columns are as they were. A line that is not there stays so, and stops nothing.
    """
    if others not in ("push", "stop"):
        raise ValueError(f"others = {others!r}: lines that are met push or stop")
    begin, end = max(stretch.first, 0), min(stretch.first + len(stretch.heights), heights.shape[1])
    out = heights.copy()
    if end <= begin:
        return out
    new = np.asarray(stretch.heights, np.float32)[begin - stretch.first : end - stretch.first]
    above, below = out[:line, begin:end], out[line + 1 :, begin:end]
    if others == "stop":
        if len(above):
            new = np.where(np.isnan(new), new, np.fmax(new, np.fmax.reduce(above)))
        if len(below):
            new = np.where(np.isnan(new), new, np.fmin(new, np.fmin.reduce(below)))
    else:
        there = ~np.isnan(new)
        np.minimum(above, new, out=above, where=there)
        np.maximum(below, new, out=below, where=there)
    out[line, begin:end] = new
    return out


def drawn(points: NDArray[np.floating] | list[tuple[float, float]]) -> Stretch:
    """What the mouse drew: a height for each column that it passed.

    Parameters
    ----------
    points : (N, 2) of float
        Column and row, in the order of drawing. Where the mouse went back, the later counts.
    """
    path = np.asarray(points, np.float64).reshape(-1, 2)
    columns = np.rint(path[:, 0]).astype(int)
    first = int(columns.min())
    heights = np.full(int(columns.max()) - first + 1, np.nan, np.float32)
    heights[columns[0] - first] = path[0, 1]
    for (one, start), (other, end), a, b in zip(
        path[:-1], path[1:], columns[:-1], columns[1:], strict=True
    ):
        if a == b:
            heights[b - first] = end
            continue
        at = np.arange(min(a, b), max(a, b) + 1)  # straight in between
        share = np.clip((at - one) / (other - one), 0, 1)
        heights[at - first] = (1 - share) * start + share * end  # exact at both ends
    return Stretch(first, heights)


def through_knots(knots: NDArray[np.floating] | list[tuple[float, float]]) -> Stretch:
    """A spline through knots, from the first to the last of them.

    Parameters
    ----------
    knots : (N, 2) of float
        Column and row, in any order; of two in one column the later counts.

    Returns
    -------
    Stretch
        Piecewise cubic and monotone between knots (PCHIP), so that it never swings past them.
    """
    at = {round(float(column)): float(row) for column, row in knots}
    columns = sorted(at)
    if len(columns) == 1:
        return Stretch(columns[0], np.array([at[columns[0]]], np.float32))
    from scipy.interpolate import PchipInterpolator  # SciPy is slow to load

    spline = PchipInterpolator(columns, [at[column] for column in columns])
    steps = np.arange(columns[0], columns[-1] + 1)
    return Stretch(columns[0], spline(steps).astype(np.float32))


def dragged(line: NDArray[np.float32], column: int, row: float, reach: int) -> Stretch:
    """A line that is taken at one column and pulled to a row; its shape goes along.

    Parameters
    ----------
    line : array of float32, (W,)
    column : int
        Where it is taken; it must be there.
    row : float
        Where that column's height comes to lie.
    reach : int
        Columns to each side after which the line stays as it was. What is added in between is the
        cubic spline that is flat at the knot and at both ends.
    """
    reach = max(int(reach), 1)
    begin, end = max(column - reach + 1, 0), min(column + reach, len(line))
    away = np.abs(np.arange(begin, end) - column) / reach
    bump = 1 - away**2 * (3 - 2 * away)
    return Stretch(begin, (line[begin:end] + (row - line[column]) * bump).astype(np.float32))


def smoothed(line: NDArray[np.float32], begin: int, end: int, sigma: float) -> Stretch:
    """The columns `begin` to `end` (exclusive) of a line, smoothed by a Gaussian.

    Parameters
    ----------
    line : array of float32, (W,)
    sigma : float
        In columns. Heights beyond the stretch count; NaN does not and stays.
    """
    from scipy.ndimage import gaussian_filter1d

    there = np.isfinite(line)
    known = np.where(there, line, 0).astype(np.float64)
    weight = gaussian_filter1d(there.astype(np.float64), sigma, mode="nearest")
    total = gaussian_filter1d(known, sigma, mode="nearest")
    mean = np.divide(total, weight, out=np.full(len(line), np.nan), where=there)
    return Stretch(begin, mean[begin:end].astype(np.float32))
