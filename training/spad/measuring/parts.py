"""How many separate parts each structure has, kept up to date B-scan by B-scan.

Pixels of a structure hang together where they touch in a B-scan, corners included, or lie at the
same place in neighbouring ones. That is `scipy.ndimage.label` with such a neighbourhood, but of
runs of pixels, so that a stroke costs one B-scan and not the stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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

    def kinds(self) -> NDArray[np.uint8]:
        """Value of each part."""
        out = np.zeros(int(self.part.max(initial=-1)) + 1, np.uint8)
        out[self.part] = self.value
        return out


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
        self._kinds = [one.kinds() for one in self._runs]
        self._links = [_linked(a, b) for a, b in pairwise(self._runs)]

    def update(self, z: int, labels: NDArray[np.uint8]) -> None:
        """Take a B-scan, (H, W), that has changed."""
        self._runs[z] = _runs(labels, self._values)
        self._kinds[z] = self._runs[z].kinds()
        for at in (z - 1, z):
            if 0 <= at < len(self._links):
                self._links[at] = _linked(self._runs[at], self._runs[at + 1])

    def counts(self) -> dict[int, int]:
        """Number of parts of each value in the stack."""
        starts = np.cumsum([0, *(len(one) for one in self._kinds)])
        values = np.concatenate(self._kinds)
        pairs = [np.empty((2, 0), np.int64)]
        pairs += [link + starts[z : z + 2, None] for z, link in enumerate(self._links)]
        whole = _joined(np.concatenate(pairs, 1), len(values))
        return {value: len(np.unique(whole[values == value])) for value in self._values}


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


def _linked(first: _Runs, second: _Runs) -> NDArray[np.int64]:
    """Pairs of parts that lie on each other in neighbouring B-scans, each once: (2, n)."""
    here, there = _touching(first, second, 0)
    pairs = np.stack([first.part[here], second.part[there]])
    return np.unique(pairs, axis=1) if pairs.size else pairs


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
