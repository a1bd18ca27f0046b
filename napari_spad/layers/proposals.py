"""What a model said of a B-scan beside its labels: put back with them. No Qt in here."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Exchange", "with_run"]

Runs = Sequence[Mapping[str, Any]]


class Exchange:
    """Puts a B-scan's samples, uncertainty and run back as they are now; then those of then.

    Parameters
    ----------
    result : Result
        Its `packed`, which has this B-scan, and its `runs`.
    index : tuple of int
        The B-scan's place.
    unsure : array of float16, shape (H, W)
        Its part of the result's uncertainty.
    """

    def __init__(self, result: Any, index: tuple[int, ...], unsure: NDArray[np.float16]) -> None:
        self._result, self._index, self._unsure = result, index, unsure
        self._kept = self._now()

    def _now(self) -> tuple[Any, bytes, Mapping[str, Any] | None]:
        runs: Runs = self._result.runs
        run = next((run for run in runs if tuple(run["bscan"]) == self._index), None)
        # As many are kept as there are steps that can be undone.
        unsure = zlib.compress(self._unsure.tobytes(), 1)
        return self._result.packed[self._index], unsure, run

    def __call__(self) -> None:
        """Exchange the two."""
        (packed, unsure, run), self._kept = self._kept, self._now()
        self._result.packed[self._index] = packed
        plane = np.frombuffer(zlib.decompress(unsure), np.float16)
        self._unsure[...] = plane.reshape(self._unsure.shape)
        if run is not None:  # others write into the metadata, too
            self._result.runs = with_run(self._result.runs, run)


def with_run(runs: Runs, new: Mapping[str, Any]) -> Runs:
    """Runs in the order of their B-scans, whichever came first; one in place of an older one."""
    others = [run for run in runs if list(run["bscan"]) != list(new["bscan"])]
    return sorted([*others, new], key=lambda run: list(run["bscan"]))
