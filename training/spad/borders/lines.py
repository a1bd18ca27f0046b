"""Ordered lines over a stack of B-scans: a name and one height a column each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LINE_COLORS", "LONGEST_NAME", "Lines", "in_order", "put_in_order", "thickness_mm"]

LINE_COLORS = (
    "#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#ffffff",
)  # fmt: skip
"""By number, round and round, alike in every host: Okabe and Ito's, the brightest first."""
LONGEST_NAME = 60
MOST = 255
"""Lines, for each has an area below it; a vendor tells of at most a dozen."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Borders of layers, from top to bottom.

    Parameters
    ----------
    names : tuple of str
        Of the lines, the uppermost first; each once.
    heights : array of float32, shape (lines, Z, W)
        Row of each line in each column of each B-scan, in px: 3.0 is the centre of the fourth row,
        2.5 the edge above it. NaN where the line is not there.

    Raises
    ------
    ValueError
        Names and heights that do not fit, a name that is empty, too long or there twice, infinite
        heights. That lines cross is no error here, for files of vendors and readers have such
        slips: see `in_order`.
    """

    names: tuple[str, ...]
    heights: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        heights = np.asarray(self.heights, np.float32)
        object.__setattr__(self, "heights", heights)
        if heights.ndim != 3 or len(heights) != len(self.names):
            raise ValueError(
                f"heights of shape {heights.shape} for {len(self.names)} lines; give (lines, Z, W)"
            )
        if len(self.names) > MOST:
            raise ValueError(
                f"{len(self.names)} lines; at most {MOST} are taken, so leave some out"
            )
        for name in self.names:
            if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(
                    f"a line is called {name[:80]!r}; a name has 1 to {LONGEST_NAME} printable "
                    "characters"
                )
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise ValueError(f"two lines are called {sorted(twice)[0]!r}; rename one")
        if np.isinf(heights).any():
            raise ValueError("a line has infinite heights; NaN says that it is not there")

    @classmethod
    def of(cls, heights: Mapping[str, NDArray[np.floating]]) -> Lines:
        """Lines by name, (Z, W) each, in whatever order; sorted by their mean height.

        Lines that are nowhere are left out; heights that are not finite become NaN.
        """
        there = {
            name: np.where(np.isfinite(rows), rows, np.nan).astype(np.float32)
            for name, rows in heights.items()
            if np.isfinite(rows).any()
        }
        names = sorted(there, key=lambda name: float(np.nanmean(there[name])))
        if not names:
            return cls((), np.empty((0, 0, 0), np.float32))
        return cls(tuple(names), np.stack([there[name] for name in names]))

    @classmethod
    def nowhere(cls, names: tuple[str, ...], bscans: int, width: int) -> Lines:
        """Lines that are to be drawn yet: all NaN."""
        return cls(names, np.full((len(names), bscans, width), np.nan, np.float32))


def in_order(heights: NDArray[np.float32]) -> bool:
    """Whether no line, (lines, ...), lies above one that comes before it; NaN is no place."""
    return bool(np.array_equal(heights, put_in_order(heights), equal_nan=True))


def put_in_order(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let no line cross: where one lies above an earlier one, it comes to lie on it.

    Parameters
    ----------
    heights : array of float32, shape (lines, ...)

    Returns
    -------
    array of float32, the same shape
        NaN stays NaN.
    """
    lowest = np.fmax.accumulate(heights, axis=0) if len(heights) else heights
    return np.where(np.isnan(heights), np.float32(np.nan), lowest)


def thickness_mm(
    upper: NDArray[np.float32], lower: NDArray[np.float32], row_mm: float
) -> NDArray[np.float32]:
    """Distance of two lines along the columns.

    Parameters
    ----------
    upper, lower : array of float32, (Z, W)
        Heights in px.
    row_mm : float
        Height of a pixel.

    Returns
    -------
    array of float32, (Z, W)
        In mm; NaN where one of them is not there, or the lower one lies above the upper one: how
        thick is then not known, and less than nothing would make a mean smaller without a word.

    Raises
    ------
    ValueError
        A height of a pixel that cannot be.
    """
    if not 0 < row_mm < np.inf:
        raise ValueError(f"row_mm = {row_mm}: a pixel's height is more than 0 mm; set the scale")
    gap = lower - upper
    return np.where(gap < 0, np.float32(np.nan), gap * np.float32(row_mm)).astype(np.float32)
