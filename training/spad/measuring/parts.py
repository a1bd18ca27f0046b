"""How many separate parts each structure has, kept up to date B-scan by B-scan.

Pixels of a structure hang together where they touch in a B-scan, corners included, or lie at the
same place in neighbouring ones. That is `scipy.ndimage.label` with such a neighbourhood, but of
runs of pixels, so that a stroke costs one B-scan and not the stack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of one value along the rows of a B-scan, in order, and the part of each in it."""

    begin: NDArray[np.int64]  # row * (width + 2) + column
    end: NDArray[np.int64]  # past the last
    value: NDArray[np.uint8]
    part: NDArray[np.int64]

    @property
    def parts(self) -> int:
        return int(self.part.max()) + 1 if len(self.part) else 0


class Parts:
    """Parts of a label map.

    Parameters
    ----------
    labels : array of uint8, shape (Z, H, W)
    values : sequence of int
        Those of the structures; other values are not looked at.
    """

    def __init__(self, labels: NDArray[np.uint8], values: tuple[int, ...]) -> None:
        self._values = values
        self._runs = [_runs(one, values) for one in labels]
        self._links = [
            _touching(a, b, 0) for a, b in zip(self._runs[:-1], self._runs[1:], strict=True)
        ]

    def update(self, z: int, labels: NDArray[np.uint8]) -> None:
        """Take a B-scan, (H, W), that has changed."""
        self._runs[z] = _runs(labels, self._values)
        for at in (z - 1, z):
            if 0 <= at < len(self._links):
                self._links[at] = _touching(self._runs[at], self._runs[at + 1], 0)

    def counts(self) -> dict[int, int]:
        """Number of parts of each value in the stack."""
        starts = np.concatenate([[0], np.cumsum([r.parts for r in self._runs])])
        none = np.empty(0, np.int64)
        here, there = [none], [none]
        for z, (a, b) in enumerate(self._links):
            here.append(starts[z] + self._runs[z].part[a])
            there.append(starts[z + 1] + self._runs[z + 1].part[b])
        number = int(starts[-1])
        whole = _joined(np.stack([np.concatenate(here), np.concatenate(there)]), number)
        values = np.zeros(number, np.uint8)
        for start, runs in zip(starts, self._runs, strict=False):
            values[start + runs.part] = runs.value
        found = {}
        for value in self._values:
            found[value] = len(np.unique(whole[values == value]))
        return found


def _runs(labels: NDArray[np.uint8], values: tuple[int, ...]) -> _Runs:
    used = np.flatnonzero(labels.any(1))
    top, bottom = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    width = labels.shape[1]
    wanted = np.zeros(256, np.uint8)
    wanted[list(values)] = values
    rows = np.zeros((bottom - top, width + 2), np.uint8)  # a gap: no row runs into the next
    rows[:, 1:-1] = wanted[labels[top:bottom]]
    flat = rows.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.append(changes, len(flat))[1:]
    value = flat[changes]
    some = value > 0
    above_it = top * (width + 2)
    begin, end, value = changes[some] + above_it, ends[some] + above_it, value[some]
    alone = _Runs(begin, end, value, np.arange(len(begin)))
    above, below = _touching(alone, alone, width + 2, 1)
    return _Runs(begin, end, value, _joined(np.stack([above, below]), len(begin)))


def _touching(
    first: _Runs, second: _Runs, further: int, corner: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs of one value that overlap once those of the first are shifted on."""
    low = np.searchsorted(second.end, first.begin + further - corner, "right")
    high = np.searchsorted(second.begin, first.end + further + corner, "left")
    number = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(first.begin)), number)
    other = (
        np.arange(len(one)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(low, number)
    )
    same = first.value[one] == second.value[other]
    return one[same], other[same]


def _joined(pairs: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Number of the part of each of a few things that are joined in pairs."""
    if not pairs.shape[1]:
        return np.arange(number)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # With 64-bit indices SciPy 1.11 prints an error, and gives -9999 for each.
    ends = tuple(pairs.astype(np.int32))
    graph = coo_array((np.ones(pairs.shape[1], np.uint8), ends), (number, number))
    part: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return part
