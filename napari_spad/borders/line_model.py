"""The lines of a stack while a person edits them: heights, which line is selected, undo. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from spad.borders import Lines

__all__ = ["Borders"]

MOST_STEPS = 200
Plane = NDArray[np.float32]
_Planes = Mapping[int, tuple[Plane, NDArray[np.bool_]]]


@dataclass(frozen=True)
class _Step:
    """B-scans before and after, and what was by hand there: (lines, W) and (lines,) each."""

    before: _Planes
    after: _Planes


class Borders:
    """Lines that are edited B-scan by B-scan.

    Parameters
    ----------
    lines : Lines
        They are copied.
    rows : int
        Of the B-scans; no line leaves them.

    Attributes
    ----------
    heights : array of float32, (lines, Z, W)
    by_hand : array of bool, (lines, Z)
        Whether a person drew or moved a line there: what lies between two such B-scans can be
        interpolated.
    selected : int
        The line that is drawn.
    stretch : tuple or None
        (B-scan, first column, end) that was edited last: snapping and smoothing keep to it.
    layer : object or None
        The layer that holds them.
    """

    changed = Signal(object)
    """A step was made, taken back or made again: a tuple of the B-scans."""
    shown = Signal()
    """Something looks different: heights while the mouse moves them, the selected line."""

    def __init__(self, lines: Lines, rows: int) -> None:
        self.names, self.rows = lines.names, rows
        self.heights = np.array(lines.heights, np.float32)
        self.by_hand = np.zeros(self.heights.shape[:2], bool)
        self.selected = 0
        self.stretch: tuple[int, int, int] | None = None
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._layer: Callable[[], Any] = _nothing
        self._image: Callable[[], Any] = _nothing
        self._image_name = ""

    def __deepcopy__(self, _memo: Any) -> Borders:
        """Of a layer that is duplicated: lines of its own, and no history."""
        twin = Borders(self.lines, self.rows)
        twin.by_hand[...] = self.by_hand
        twin._image, twin._image_name = self._image, self._image_name
        return twin

    @property
    def layer(self) -> Any:
        """See the class."""
        return self._layer()

    @layer.setter
    def layer(self, layer: Any) -> None:
        self._layer = ref(layer)

    def lie_over(self, image: Any) -> None:
        """Take the image layer that they are lines of; text is the name of one to come."""
        if isinstance(image, str):
            self._image_name = image
        else:
            self._image, self._image_name = ref(image), image.name

    @property
    def image(self) -> Any:
        """The image layer that they were laid over; None where it is not known or is gone."""
        return self._image()

    @property
    def laid(self) -> bool:
        """Whether it is known, or was, over which image layer they lie."""
        return self._image is not _nothing

    @property
    def image_name(self) -> str:
        """What it is called, or was when it was there; empty where nobody knows."""
        if (image := self.image) is not None:
            self._image_name = image.name
        return self._image_name

    @property
    def lines(self) -> Lines:
        """The lines as they are now."""
        return Lines(self.names, self.heights.copy())

    @property
    def bscans(self) -> int:
        """How many B-scans there are."""
        return int(self.heights.shape[1])

    def select(self, line: int) -> None:
        """Choose the line that the tools work on; a number that is none changes nothing."""
        if 0 <= line < len(self.names) and line != self.selected:
            self.selected, self.stretch = line, None
            self.shown.emit()

    def plane(self, z: int) -> Plane:
        """Heights of a B-scan, (lines, W); a copy."""
        plane: Plane = self.heights[:, z].copy()
        return plane

    def preview(self, z: int, plane: Plane) -> None:
        """Show heights that are no step yet, while the mouse moves."""
        self.heights[:, z] = self._inside(plane)
        self.shown.emit()

    def follow(self, z: int, plane: Plane) -> None:
        """Take heights that others have decided on: no step of this history."""
        self.preview(z, plane)
        self.changed.emit((z,))

    def put(self, planes: Mapping[int, Plane], *, by_hand: bool = True) -> bool:
        """Take new heights as one undo step.

        Parameters
        ----------
        planes : mapping of int to array of float32, (lines, W)
            By B-scan.
        by_hand : bool
            Whether a person saw to each of these B-scans.

        Returns
        -------
        bool
            Whether anything changed.
        """
        before, after = {}, {}
        for z, plane in planes.items():
            new = self._inside(plane)
            differs = _differs(new, self.heights[:, z])
            if differs.any():
                hand = self.by_hand[:, z].copy()
                before[z] = (self.plane(z), hand)
                after[z] = (new, (hand | differs.any(1)) if by_hand else hand & ~differs.any(1))
        if not before:
            return False
        self._done = [*self._done[-MOST_STEPS + 1 :], _Step(before, after)]
        self._undone = []
        self._take(before, after)
        return True

    def undo(self) -> tuple[int, ...]:
        """Take the last step back; returns its B-scans, none where there is no step."""
        if not self._done:
            return ()
        self._undone.append(step := self._done.pop())
        return self._take(step.after, step.before)

    def redo(self) -> tuple[int, ...]:
        """Make the last step again that was taken back."""
        if not self._undone:
            return ()
        self._done.append(step := self._undone.pop())
        return self._take(step.before, step.after)

    def _take(self, old: _Planes, new: _Planes) -> tuple[int, ...]:
        """Go from the one to the other; where they are alike, what others decided since stays."""
        for z, (plane, hand) in new.items():
            was, had = old[z]
            moved = _differs(plane, was)
            self.heights[:, z][moved] = plane[moved]
            self.by_hand[:, z][hand != had] = hand[hand != had]
        self.shown.emit()
        self.changed.emit(tuple(new))
        return tuple(new)

    def _inside(self, plane: Plane) -> Plane:
        return np.clip(plane, -0.5, self.rows - 0.5).astype(np.float32)

    def neighbours(self, z: int) -> tuple[int | None, int | None]:
        """Nearest B-scans before and after that have the selected line by hand.

        Where it is not on this one, from wherever: what a file holds was seen to before.
        """
        there = np.isfinite(self.heights[self.selected]).any(1)
        hand = np.flatnonzero(there & (self.by_hand[self.selected] | ~there[z]))
        before, after = hand[hand < z], hand[hand > z]
        return (
            int(before[-1]) if len(before) else None,
            int(after[0]) if len(after) else None,
        )


def _nothing() -> None:
    """What a weak reference gives that refers to nothing yet."""


def _differs(one: Plane, other: Plane) -> NDArray[np.bool_]:
    """Where two B-scans' lines are not the same; NaN is the same as NaN."""
    return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))
