"""Edits of lines, B-scan by B-scan: taken back, and followed by the labels between them. No Qt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spad.borders import moved, put_in_order, shift_between, shifted, with_band
from SPADLib.desk import Desk
from SPADLib.lines.curves import Curves
from SPADLib.lines.line_set import LineSet
from SPADLib.scene import array_of

__all__ = ["Editing"]

MOST_STEPS = 200


class Editing:
    """Changes lines, and with a band's lines its segmentation.

    What the lines of a band change there counts as painted by hand.

    Parameters
    ----------
    desk : Desk
    lines : LineSet
    """

    def __init__(self, desk: Desk, lines: LineSet) -> None:
        self.desk, self.lines = desk, lines
        self._steps: list[tuple[int, NDArray[np.float32]]] = []

    def pulled(self, bscan: int, curves: Curves) -> bool:
        """Take over what curves say of a B-scan; lines that are met are pushed along."""
        plane = self.lines.plane(bscan)
        for line, stretch in curves.stretches():
            plane = moved(plane, line, stretch)
        return self.change(bscan, plane)

    def change(self, bscan: int, plane: NDArray[np.float32]) -> bool:
        """Take new heights of a B-scan, (lines, W), as one step; whether any is another."""
        before = self.lines.plane(bscan)
        if not self._put(bscan, plane):
            return False
        self._steps = [*self._steps[-MOST_STEPS + 1 :], (bscan, before)]
        return True

    def undo(self) -> int | None:
        """Take the last step back that is still to be seen; its B-scan, or None."""
        while self._steps:
            bscan, before = self._steps.pop()
            if self._put(bscan, before):
                return bscan
        return None

    def _put(self, bscan: int, plane: NDArray[np.float32]) -> bool:
        before = self.lines.plane(bscan)
        if not self.lines.put(bscan, plane):
            return False
        result, band = self.desk.result, self.lines.band
        if result is not None and band is not None:
            now, new = np.array(result.labels()[bscan]), self.lines.plane(bscan)
            other = ~((new == before) | (np.isnan(new) & np.isnan(before))).all(0)
            labels = with_band(now, band[1], new, columns=other)
            if not np.array_equal(labels, now):
                self.desk.tell("writing")  # a step of its own in the Segment Editor
                result.put(bscan, labels)
        self.desk.tell("lines")
        return True

    def copy(self, bscan: int) -> tuple[int, tuple[int, int]]:
        """Take lines that a B-scan lacks from the nearest one that has them.

        Returns
        -------
        (B-scan, (rows, columns))
            Which, and by what the eye had moved between both.

        Raises
        ------
        ValueError
            It lacks none, or no other has them.
        """
        there = np.asarray(np.isfinite(self.lines.heights).any(2))  # (lines, Z)
        lacks = ~there[:, bscan]
        if not lacks.any():
            raise ValueError(f"All lines are on B-scan {bscan + 1}: pull their points")
        others = np.flatnonzero(there[lacks].any(0))
        if not len(others):
            raise ValueError("No B-scan has lines to be copied")
        source = int(min(others, key=lambda z: abs(int(z) - bscan)))
        volume = self.lines.volume
        stack = self.lines.layout.stack(array_of(volume))
        first, second = (np.asarray(stack[z], np.float32) for z in (source, bscan))
        if first.ndim == 3:
            first, second = first.mean(2), second.mean(2)
        shift = shift_between(first, second)
        plane = self.lines.plane(bscan)
        theirs = shifted(self.lines.plane(source), shift)
        for line in np.flatnonzero(lacks):
            plane[line] = theirs[line]
        self.change(bscan, put_in_order(plane))
        return source, shift
