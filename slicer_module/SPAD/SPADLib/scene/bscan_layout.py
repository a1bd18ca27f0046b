"""How the B-scans lie in a volume: which axis numbers them, and which way up they are.

A volume's array has the axes (k, j, i), as `slicer.util.arrayFromVolume` gives it; the engine wants
a stack (B-scan, row, column). What the model gets is what the slice view shows: columns run to the
patient's left (to posterior in sagittal planes), rows to posterior (axial) or inferior. Arrays
only: no VTK in here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spad.cases import AXES, Layout

__all__ = ["guess"]

_APART = 1.5
"""B-scans are so much farther apart than pixels, at least, where spacing alone tells their axis."""
_COLUMNS = ((1, -1), (0, -1), (0, -1))
"""RAS axis and sign that columns run to, by the RAS axis that B-scans are stacked along."""
_ROWS = ((2, -1), (2, -1), (1, -1))
"""And rows."""


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
