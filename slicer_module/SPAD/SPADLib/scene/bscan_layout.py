"""How the B-scans lie in a volume: which axis numbers them, and which way up they are.

A volume's array has the axes (k, j, i), as `slicer.util.arrayFromVolume` gives it; the engine wants
a stack (B-scan, row, column). What the model gets is what the slice view shows: columns run to the
patient's left (to posterior in sagittal planes), rows to posterior (axial) or inferior. Arrays
only: no VTK in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "Layout", "guess"]

AXES = "kji"
"""Names of the axes of a volume's array, in their order."""
_APART = 1.5
"""B-scans are so much farther apart than pixels, at least, where spacing alone tells their axis."""
_COLUMNS = ((1, -1), (0, -1), (0, -1))
"""RAS axis and sign that columns run to, by the RAS axis that B-scans are stacked along."""
_ROWS = ((2, -1), (2, -1), (1, -1))
"""And rows."""


@dataclass(frozen=True)
class Layout:
    """How a stack of B-scans is read from a volume's array.

    Parameters
    ----------
    axis : int
        Of the array (k, j, i): it numbers the B-scans.
    turned : bool
        The later of the two other axes runs down the rows, instead of across the columns.
    upside_down : bool
        Rows run from the axis' end to its start.
    mirrored : bool
        So do columns.
    """

    axis: int = 0
    turned: bool = False
    upside_down: bool = False
    mirrored: bool = False

    @property
    def code(self) -> str:
        """The layout as text, such as "k" or "jTUM"; `of` reads it."""
        flags = ((self.turned, "T"), (self.upside_down, "U"), (self.mirrored, "M"))
        return AXES[self.axis] + "".join(letter for on, letter in flags if on)

    @classmethod
    def of(cls, code: str) -> Layout:
        """Read what `code` wrote.

        Raises
        ------
        ValueError
            It is no layout.
        """
        if not code or code[0] not in AXES or set(code[1:]) - set("TUM"):
            raise ValueError(
                f"{code!r} is no layout of B-scans; write one of k, j, i, then T (turned), "
                "U (upside down), M (mirrored) as needed"
            )
        return cls(AXES.index(code[0]), "T" in code[1:], "U" in code[1:], "M" in code[1:])

    def rotated(self) -> Layout:
        """The same B-scans, turned by a quarter clockwise."""
        return replace(
            self,
            turned=not self.turned,
            upside_down=self.mirrored,
            mirrored=not self.upside_down,
        )

    def stack(self, array: NDArray[Any]) -> NDArray[Any]:
        """View a volume's array (K, J, I) or (K, J, I, C) as B-scans (Z, H, W) or (Z, H, W, C)."""
        out = np.moveaxis(array, self.axis, 0)
        if self.turned:
            out = out.swapaxes(1, 2)
        return out[:, :: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]

    def volume(self, stack: NDArray[Any]) -> NDArray[Any]:
        """View B-scans as the volume's array: what `stack` undid."""
        out = stack[:, :: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]
        if self.turned:
            out = out.swapaxes(1, 2)
        return np.moveaxis(out, 0, self.axis)

    def order(self, kji: Sequence[Any]) -> tuple[Any, Any, Any]:
        """What belongs to axes (k, j, i), such as spacing, in the order (B-scan, row, column)."""
        rest = [kji[a] for a in range(3) if a != self.axis]
        if self.turned:
            rest.reverse()
        return kji[self.axis], rest[0], rest[1]

    def index(self, place: Sequence[float], shape: Sequence[int]) -> tuple[float, float, float]:
        """Indices (k, j, i) of (B-scan, row, column) in an array of `shape` (K, J, I)."""
        z, row, column = place
        _, rows, columns = self.order(shape)
        row = rows - 1 - row if self.upside_down else row
        column = columns - 1 - column if self.mirrored else column
        rest = (column, row) if self.turned else (row, column)
        out = list(rest)
        out.insert(self.axis, z)
        return out[0], out[1], out[2]

    def place(self, index: Sequence[float], shape: Sequence[int]) -> tuple[float, float, float]:
        """Give (B-scan, row, column) of the indices (k, j, i): what `index` undid."""
        z, row, column = self.order(index)
        _, rows, columns = self.order(shape)
        return (
            z,
            rows - 1 - row if self.upside_down else row,
            columns - 1 - column if self.mirrored else column,
        )


def guess(
    shape: Sequence[int],
    spacing: Sequence[float],
    directions: NDArray[np.float64],
    *,
    stacked: bool = False,
) -> tuple[Layout, str]:
    """Guess how the B-scans lie in a volume.

    Parameters
    ----------
    shape, spacing : of the array, (k, j, i)
    directions : array, (3, 3)
        A row an axis (k, j, i): the unit vector of its step in RAS.
    stacked : bool
        The B-scans are known to lie along k.

    Returns
    -------
    layout : Layout
    why : str
        A clause for the panel, such as "19 along k, farthest apart".
    """
    axis, why = (0, f"{shape[0]} along k, as read") if stacked else _axis(shape, spacing)
    along = int(np.abs(directions[axis]).argmax())
    first, second = (a for a in range(3) if a != axis)
    across, down = _COLUMNS[along], _ROWS[along]
    straight = abs(directions[second, across[0]]) + abs(directions[first, down[0]])
    crossed = abs(directions[first, across[0]]) + abs(directions[second, down[0]])
    turned = bool(crossed > straight + 1e-6)
    row_axis, column_axis = (second, first) if turned else (first, second)
    return (
        Layout(
            axis,
            turned,
            bool(directions[row_axis, down[0]] * down[1] < -1e-6),
            bool(directions[column_axis, across[0]] * across[1] < -1e-6),
        ),
        why,
    )


def _axis(shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, str]:
    single = [a for a in range(3) if shape[a] == 1]
    if single:
        return single[0], "a single B-scan"
    widest = int(np.argmax(spacing))
    others = max(spacing[a] for a in range(3) if a != widest)
    if spacing[widest] >= _APART * others:
        return widest, f"{shape[widest]} along {AXES[widest]}, where pixels are farthest apart"
    fewest = int(np.argmin(shape))
    if shape[fewest] < min(shape[a] for a in range(3) if a != fewest):
        return fewest, f"{shape[fewest]} along {AXES[fewest]}, the shortest axis"
    return 0, f"{shape[0]} along k, as stored"
