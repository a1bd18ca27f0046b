"""A line as knots with straight lines between them, for hosts whose curves are pulled by points.

What is shown is what one gets: a stretch whose two knots are moved keeps its shape and goes along,
any other becomes the straight line that stands on the screen.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spad.borders.edits import Stretch

__all__ = ["knots_of", "pulled"]

WITHIN_PX = 0.75
"""Steps of a label map are half a pixel off a slope: no knot for each of them."""
STILL_PX = 1e-3
"""Less is no move: it comes of the way to the world and back."""


def knots_of(
    line: NDArray[np.float32], also: Collection[int] = (), *, within_px: float = WITHIN_PX
) -> list[NDArray[np.intp]]:
    """Columns of knots, so few that straight lines between them are near a line.

    Parameters
    ----------
    line : array of float32, (W,)
    also : collection of int
        Columns that are knots in any case.
    within_px : float
        So near, in rows.

    Returns
    -------
    list of array of int
        Of each run of columns in which the line is, from left to right.
    """
    there = np.flatnonzero(np.isfinite(line))
    runs = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1) if len(there) else []
    out = []
    for run in runs:
        first, last = int(run[0]), int(run[-1])
        found = {first, last, *(c for c in also if first < c < last)}
        spans = list(pairwise(sorted(found)))
        while spans:  # after Douglas and Peucker
            a, b = spans.pop()
            off = np.abs(line[a : b + 1] - np.linspace(line[a], line[b], b - a + 1))
            if off.max() > within_px:
                at = a + int(off.argmax())
                found.add(at)
                spans += [(a, at), (at, b)]
        out.append(np.array(sorted(found)))
    return out


def pulled(
    line: NDArray[np.float32], before: NDArray[np.integer], knots: NDArray[np.floating]
) -> Stretch:
    """A run of a line after its knots were moved, added or taken away.

    Parameters
    ----------
    line : array of float32, (W,)
        As it was.
    before : array of int, (n,)
        Columns of the run's knots then.
    knots : array of float, (m, 2)
        Column and row of the knots now, in any order; of two in one column the first counts.

    Returns
    -------
    Stretch
        From the first to the last column that is another, so that no line elsewhere is pushed;
        empty where none is. NaN where the run is not any more, as everywhere without a knot.
    """
    reach = [int(before[0]), int(before[-1])] if len(before) else []
    if not len(knots):
        gone = np.full(reach[1] - reach[0] + 1, np.nan, np.float32) if reach else np.empty(0)
        return Stretch(reach[0] if reach else 0, gone.astype(np.float32))
    order = np.argsort(knots[:, 0], kind="stable")
    at, rows = np.asarray(knots, np.float64)[order].T
    first, last = int(np.ceil(at[0] - 0.5)), int(np.floor(at[-1] + 0.5))
    begin, end = min([first, *reach]), max([last, *reach])
    heights = np.full(end - begin + 1, np.nan, np.float32)
    heights[first - begin : last + 1 - begin] = np.interp(np.arange(first, last + 1), at, rows)
    known = {int(column) for column in before}
    columns = np.rint(at).astype(int)
    as_before = (np.abs(at - columns) < STILL_PX) & np.isin(columns, list(known))
    for n in np.flatnonzero(as_before[:-1] & as_before[1:]):
        a, b = columns[n : n + 2]
        if any(a < column < b for column in known):
            continue
        moves = rows[n : n + 2] - line[[a, b]]
        moves[np.abs(moves) < STILL_PX] = 0
        along = np.linspace(moves[0], moves[1], b - a + 1)
        heights[a - begin : b + 1 - begin] = line[a : b + 1] + along.astype(np.float32)
    inside = slice(max(-begin, 0), len(line) - begin)  # what was pulled beyond the B-scan is lost
    begin, heights = max(begin, 0), heights[inside]
    was = line[begin : begin + len(heights)]
    other = np.flatnonzero(~((heights == was) | (np.isnan(heights) & np.isnan(was))))
    if not len(other):
        return Stretch(begin, heights[:0])
    return Stretch(begin + int(other[0]), heights[other[0] : other[-1] + 1])
