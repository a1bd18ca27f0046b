"""Edits of lines, B-scan by B-scan: taken back, and followed by the labels between them. No Qt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spad.borders import held_beside, moved, put_in_order, shift_between, shifted, with_band
from spad.cases import luminance
from SPADLib.desk import Desk, numbered
from SPADLib.lines.curves import Curves
from SPADLib.lines.line_set import LineSet
from SPADLib.scene import Change, array_of

__all__ = ["Editing"]

MOST_STEPS = 200


class Editing:
    """Changes lines, and with a band's lines its segmentation.

    What the lines of a band change there counts as painted by hand, and so do the pixels just above
    and below a line that was moved: sampling around edits holds them, and with them the line.

    Parameters
    ----------
    desk : Desk
    lines : LineSet
    """

    def __init__(self, desk: Desk, lines: LineSet) -> None:
        self.desk, self.lines = desk, lines
        self._steps: list[tuple[int, NDArray[np.float32], Change | None]] = []

    def pulled(self, bscan: int, curves: Curves) -> bool:
        """Take over what curves say of a B-scan; lines that are met are pushed along."""
        plane = self.lines.plane(bscan)
        for line, stretch in curves.stretches():
            plane = moved(plane, line, stretch)
        return self.change(bscan, plane)

    def change(self, bscan: int, plane: NDArray[np.float32]) -> bool:
        """Take new heights of a B-scan, (lines, W), as one step; whether any is another."""
        before = self.lines.plane(bscan)
        if not self.lines.put(bscan, plane):
            return False
        change = self._label(bscan, before)
        self._steps = [*self._steps[-MOST_STEPS + 1 :], (bscan, before, change)]
        self.desk.tell("lines")
        return True

    def undo(self) -> int | None:
        """Take the last step back that is still to be seen; its B-scan, or None."""
        while self._steps:
            bscan, before, change = self._steps.pop()
            seen = self.lines.put(bscan, before)
            if change is not None and (result := self.desk.result) is not None:
                self.desk.tell("writing")
                seen |= result.take_back([change]) > 0
            if seen:
                self.desk.tell("lines")
                return bscan
        return None

    def _label(self, bscan: int, before: NDArray[np.float32]) -> Change | None:
        """Let the labels of a band follow its lines, which were elsewhere before."""
        result, band = self.desk.result, self.lines.band
        if result is None or band is None:
            return None
        now, plane = np.array(result.labels()[bscan]), self.lines.plane(bscan)
        other = ~((plane == before) | (np.isnan(plane) & np.isnan(before))).all(0)
        labels = with_band(now, band[1], plane, columns=other)
        self.desk.tell("writing")  # a step of its own in the Segment Editor
        return result.put(bscan, labels, held_beside(before, plane, len(now)))

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
            raise ValueError(f"All lines are on B-scan {numbered(bscan)}: pull their points")
        others = np.flatnonzero(there[lacks].any(0))
        if not len(others):
            raise ValueError("No B-scan has lines to be copied")
        source = int(min(others, key=lambda z: abs(int(z) - bscan)))
        volume = self.lines.volume
        stack = self.lines.layout.stack(array_of(volume))
        first, second = (np.asarray(stack[z], np.float32) for z in (source, bscan))
        if first.ndim == 3:
            first, second = luminance(first), luminance(second)
        shift = shift_between(first, second)
        plane = self.lines.plane(bscan)
        theirs = shifted(self.lines.plane(source), shift)
        for line in np.flatnonzero(lacks):
            plane[line] = theirs[line]
        self.change(bscan, put_in_order(plane))
        return source, shift
