"""How the B-scans lie in a stored volume: which axis numbers them, which way up they are.

A volume's array has the axes (k, j, i), as 3D Slicer gives it and NRRD and NIfTI store it; the
engine wants a stack (B-scan, row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "Layout"]

AXES = "kji"
"""Names of the axes of a volume's array, in their order."""


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
