"""Lines from label maps, and label maps from lines.

The rule: a pixel's row is the height of its centre, and a row r lies between two lines where
``upper <= r < lower``. The border of a structure is the edge between two pixels, half a row above
its first and below its last one. So label map, lines and label map are the same in every column in
which the structure is one run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spad.borders.lines import Lines

__all__ = ["areas", "band_lines", "followed", "held_beside", "with_band"]

HELD_PX = 2
"""Rows above and below a moved line that say where it is; past a single one a sampler may go."""


def band_lines(labels: NDArray[np.integer], value: int) -> NDArray[np.float32]:
    """Top and bottom of a structure in each column.

    Parameters
    ----------
    labels : array of int, shape (..., H, W)
    value : int
        Of the structure.

    Returns
    -------
    array of float32, shape (2, ..., W)
        Half a row above its uppermost and below its lowest pixel: holes, and what lies between two
        parts, are passed over. NaN in a column without it.
    """
    band = labels == value
    height = band.shape[-2]
    there = band.any(-2)
    top = band.argmax(-2) - 0.5
    bottom = height - 0.5 - band[..., ::-1, :].argmax(-2)
    return np.where(there, np.stack([top, bottom]), np.nan).astype(np.float32)


def areas(lines: Lines, height: int, values: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Label the areas between each line and the next one below it.

    Parameters
    ----------
    lines : Lines
    height : int
        Rows of the label map.
    values : sequence of int, optional
        Class value of each area, 0 to 255, one less than there are lines; by default 1, 2, ...

    Returns
    -------
    array of uint8, shape (Z, height, W)
        0 above and below all lines, and where one of an area's two lines is not there. Where lines
        cross, the upper area counts.

    Raises
    ------
    ValueError
        Another number of values.
    """
    gaps = max(len(lines.names) - 1, 0)
    values = range(1, gaps + 1) if values is None else values
    if len(values) != gaps or not all(0 <= value <= 255 for value in values):
        raise ValueError(
            f"class values {list(values)} for {gaps} areas between {len(lines.names)} lines; give "
            "one of 0 to 255 for each"
        )
    _, bscans, width = lines.heights.shape
    labels = np.zeros((bscans, height, width), np.uint8)
    for z in range(bscans):
        free = np.ones((height, width), bool)
        for value, upper, lower in zip(
            values, lines.heights[:-1, z], lines.heights[1:, z], strict=True
        ):
            inside = _between(upper, lower, height) & free
            labels[z][inside] = value
            free &= ~inside
    return labels


def with_band(
    labels: NDArray[np.uint8],
    value: int,
    band: NDArray[np.float32],
    *,
    columns: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """A label map, (H, W), in which a structure lies between two lines.

    Parameters
    ----------
    labels : array of uint8, (H, W)
        It is left as it is.
    value : int
        Of the structure.
    band : array of float32, (2, W)
        Its top and bottom; NaN where it is not.
    columns : array of bool, (W,), optional
        Only these change; by default those whose lines are not those that the label map has.

    Returns
    -------
    array of uint8, (H, W)
        What was the structure and lies outside becomes background, 0.
    """
    if columns is None:
        now = band_lines(labels, value)
        columns = ~((now == band) | (np.isnan(now) & np.isnan(band))).all(0)
    inside = _between(band[0], band[1], len(labels))
    new = np.where(inside, np.uint8(value), np.where(labels == value, np.uint8(0), labels))
    return np.where(columns, new, labels)


def followed(
    labels: NDArray[np.uint8], value: int, band: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Top and bottom of a structure after its labels changed.

    Parameters
    ----------
    labels : array of uint8, (H, W)
        As they are now.
    value : int
        Of the structure.
    band : array of float32, (2, W)
        Its lines so far.

    Returns
    -------
    array of float32, (2, W)
        The same heights, to fractions of a pixel, in each column in which they fit the labels;
        those of `band_lines` elsewhere.
    """
    every = np.ones(labels.shape[1], bool)
    fits = (with_band(labels, value, band, columns=every) == labels).all(0)
    return band if fits.all() else np.where(fits, band, band_lines(labels, value))


def held_beside(
    before: NDArray[np.float32], after: NDArray[np.float32], height: int
) -> NDArray[np.bool_]:
    """Pixels that hold lines where a person moved them: what lies above and below each is known.

    Parameters
    ----------
    before, after : array of float32, (lines, W)
        Heights in px.
    height : int
        Rows of the B-scan.

    Returns
    -------
    array of bool, (height, W)
        The two rows above a line and the two below it, in each column in which it was moved.
    """
    rows = np.arange(height, dtype=np.float32)[:, None]
    held = np.zeros((height, after.shape[-1]), bool)
    for was, line in zip(before, after, strict=True):
        there = np.where(line != was, line, np.nan)
        held |= (rows >= there - HELD_PX) & (rows < there + HELD_PX)
    return held


def _between(
    upper: NDArray[np.float32], lower: NDArray[np.float32], height: int
) -> NDArray[np.bool_]:
    rows = np.arange(height, dtype=np.float32)[:, None]
    return (rows >= upper) & (rows < lower)  # comparisons with NaN are false: no line, no area
