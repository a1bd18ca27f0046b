"""A structure of a label map made larger, smaller, rid of specks, or filled; others stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "SPECK_MM2",
    "SPECK_PX",
    "changed_by",
    "drop_doubtful",
    "filled",
    "grown",
    "shrunk",
    "speck_px",
    "without_specks",
]

SPECK_MM2 = 0.0005
"""A part of a structure below this area is a speck: a disc of 25 µm across."""
SPECK_PX = 12
"""The same where the spacing is not known."""
_EIGHT = np.ones((3, 3), bool)

LabelMap = NDArray[np.uint8]


def speck_px(spacing_mm: tuple[float, float] | None) -> float:
    """How many pixels a speck has at most, by the spacing (row, column) of a B-scan."""
    return SPECK_PX if spacing_mm is None else SPECK_MM2 / (spacing_mm[0] * spacing_mm[1])


def changed_by(
    tool: Callable[[LabelMap, int], LabelMap], labels: LabelMap, value: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], LabelMap]:
    """Pixels that a tool changes; quick, since it looks around the structure alone.

    Parameters
    ----------
    tool : callable
        Of this file.
    labels : array of uint8, shape (H, W)
    value : int
        The structure's.

    Returns
    -------
    rows, columns : arrays of int
    values : array of uint8
        What they become.
    """
    own = labels == value
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    if not rows.size:
        none = np.empty(0, np.intp)
        return none, none, np.empty(0, labels.dtype)
    first = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    part = labels[first[0] : rows[-1] + 2, first[1] : columns[-1] + 2]
    after = tool(part, value)
    where = np.nonzero(after != part)
    return where[0] + first[0], where[1] + first[1], after[where]


def grown(labels: LabelMap, value: int) -> LabelMap:
    """Let a structure grow by one pixel into the background.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
    value : int
        The structure's.

    Returns
    -------
    array of uint8, shape (H, W)
        A new one.
    """
    around = ndimage.binary_dilation(labels == value) & (labels == 0)
    return np.where(around, value, labels).astype(labels.dtype)


def shrunk(labels: LabelMap, value: int) -> LabelMap:
    """Take one pixel off a structure where it meets the background; as of :func:`grown`."""
    rim = ndimage.binary_dilation(labels == 0) & (labels == value)
    return np.where(rim, 0, labels).astype(labels.dtype)


def without_specks(labels: LabelMap, value: int, least_px: float = SPECK_PX) -> LabelMap:
    """Give parts of a structure below `least_px` pixels to what surrounds them.

    Pixels that touch at a corner are of one part. See :func:`grown`.
    """
    parts, count = ndimage.label(labels == value, _EIGHT)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    out = labels.copy()
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        if sizes[number] >= least_px:
            continue
        wide = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        speck = parts[wide] == number
        around = labels[wide][ndimage.binary_dilation(speck, _EIGHT) & ~speck]
        out[wide][speck] = np.bincount(around).argmax() if around.size else 0
    return out


def filled(labels: LabelMap, value: int) -> LabelMap:
    """Fill the background that a structure encloses; see :func:`grown`."""
    holes = ndimage.binary_fill_holes(labels == value) & (labels == 0)
    return np.where(holes, value, labels).astype(labels.dtype)


def drop_doubtful(labels: LabelMap, planes: Iterable[NDArray[Any]], peak: float | None) -> None:
    """Make background, in place, each part in which its structure nowhere reaches the peak.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
    planes : K arrays of float, shape (H, W)
        The classes' probabilities, background first.
    peak : float or None
        Of a model's card; None changes nothing.
    """
    if peak is None:
        return
    for value, plane in enumerate(planes):
        if value and (own := labels == value).any():
            parts, count = ndimage.label(own, _EIGHT)
            kept = np.zeros(count + 1, bool)
            kept[parts[own & (plane >= peak)]] = True
            labels[own & ~kept[parts]] = 0
