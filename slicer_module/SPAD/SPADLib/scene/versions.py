"""Which proposal belongs to a label map, through the undo and redo of Slicer's Segment Editor.

Its history restores segments, and knows nothing of the proposal beside them. So each write of a
model leaves a mark on the segments, which the history keeps and restores with them: from the mark
it is known which proposal they go with, whatever was painted in between.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SPADLib.scene.structures import structures_of, tag_of

__all__ = ["Change", "Step", "Versions"]

MARK = "SPAD.version"
"""Tag of a result's segments: the last write of a model that they went through."""
KEPT = 64
"""Writes that can be followed back; the Segment Editor keeps 10 states."""


@dataclass(frozen=True)
class Change:
    """Pixels of one B-scan that a model changed, to be taken back.

    Parameters
    ----------
    bscan : int
    where : array of bool, shape (H, W)
    before, after : array of uint8, shape (n,)
        Class values there.
    proposed : array of uint8, shape (n,)
        The proposal there, before.
    """

    bscan: int
    where: NDArray[np.bool_]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    proposed: NDArray[np.uint8]

    @property
    def pixels(self) -> int:
        """How many they are."""
        return len(self.before)


@dataclass(frozen=True)
class Step:
    """How a write changed the proposal of one B-scan.

    Parameters
    ----------
    bscan : int
    where : array of bool, shape (H, W)
    before, after : array of uint8, shape (n,)
        The proposal there.
    """

    bscan: int
    where: NDArray[np.bool_]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


class Versions:
    """The writes of a session into one segmentation, and where among them it is.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    """

    def __init__(self, segmentation: Any) -> None:
        self._segmentation = segmentation
        self._marks = [self._mark()]
        self._steps: list[Sequence[Step]] = []  # from each mark to the one after it
        self._at = 0

    def _mark(self) -> str:
        inner = self._segmentation.GetSegmentation()
        ours = sorted(structures_of(self._segmentation))
        return next(filter(None, (tag_of(inner.GetSegment(s), MARK) for s in ours)), "")

    def written(self, steps: Sequence[Step]) -> None:
        """Mark the segments: a write has changed them, and the proposal by these steps."""
        del self._marks[self._at + 1 :], self._steps[self._at :]
        self._marks.append(uuid.uuid4().hex[:12])
        self._steps.append(steps)
        self._marks, self._steps = self._marks[-KEPT - 1 :], self._steps[-KEPT:]
        self._at = len(self._marks) - 1
        inner = self._segmentation.GetSegmentation()
        for segment in structures_of(self._segmentation):
            inner.GetSegment(segment).SetTag(MARK, self._marks[-1])

    def follow(self, apply: Callable[[int, NDArray[np.bool_], NDArray[np.uint8]], None]) -> bool:
        """Bring the proposal to where the segments are now; whether it was elsewhere.

        Parameters
        ----------
        apply : callable
            Gets a B-scan, pixels (H, W) of it, and what the proposal is there.
        """
        mark = self._mark()
        if mark == self._marks[self._at]:
            return False
        if mark not in self._marks:  # of another session, or further back than is kept
            return False
        to = self._marks.index(mark)
        for n in range(self._at, to):
            for step in self._steps[n]:
                apply(step.bscan, step.where, step.after)
        for n in range(self._at - 1, to - 1, -1):
            for step in reversed(self._steps[n]):
                apply(step.bscan, step.where, step.before)
        self._at = to
        return True
