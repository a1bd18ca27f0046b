"""A structure that is a band, edited as its two lines: what they say is written into its labels."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_spad.borders.line_model import Borders
from napari_spad.desk import Desk, Result
from spad.borders import Lines, band_lines, followed, held_beside, with_band

__all__ = ["Band", "lines_of_band"]

STEPS = 100
"""Heights of a B-scan that are remembered: as many steps napari's labels undo."""


def lines_of_band(result: Result, value: int, name: str) -> Lines:
    """Top and bottom of a structure of a result, as lines."""
    labels = result.layer.data.reshape(-1, *result.layer.data.shape[-2:])
    return Lines((f"{name} top", f"{name} bottom"), band_lines(labels, value))


class Band:
    """Keeps two lines and a structure's pixels the same.

    An edit of the lines changes the labels as one undo step. Its pixels count as painted by hand,
    and so do those just above and below a line that it moved: sampling around edits holds them, and
    with them the line. Locked structures stay. What is painted, undone or sampled in the labels
    moves the lines.

    Parameters
    ----------
    desk : Desk
    borders : Borders
        Of two lines.
    result : Result
    value : int
        Of the structure.
    """

    def __init__(self, desk: Desk, borders: Borders, result: Result, value: int) -> None:
        self.desk, self.borders, self.result, self.value = desk, borders, result, value
        self._writing = self._following = False
        self._heights = borders.heights.copy()  # as they were before an edit
        self._past: dict[int, deque[NDArray[np.float32]]] = defaultdict(
            partial(deque, maxlen=STEPS)
        )
        self._changed: set[tuple[int, ...]] = set()
        # A polygon and a fill are told before they are in the data.
        self._soon = QTimer(singleShot=True, interval=0)
        self._soon.timeout.connect(self._follow)
        borders.changed.connect(self._write)
        desk.edited.connect(self._on_edited)
        desk.written.connect(self._on_written)

    def stop(self) -> None:
        """Leave both as they are from now on."""
        self._soon.stop()
        self.borders.changed.disconnect(self._write)
        self.desk.edited.disconnect(self._on_edited)
        self.desk.written.disconnect(self._on_written)

    def _index(self, z: int) -> tuple[int, ...]:
        return (z,) if self.result.layer.ndim > 2 else ()

    def _write(self, bscans: Sequence[int]) -> None:
        layer, locked = self.result.layer, self.result.locked
        known, self._heights = self._heights, self.borders.heights.copy()
        for z in bscans:
            self._past[z].append(known[:, z].copy())
        if self._following or layer not in self.desk.viewer.layers:
            return
        if self.value in locked:
            self.desk.say("The structure is locked: its lines moved, its labels did not.")
            return
        places, values, beside = [], [], []
        self._writing = True
        try:
            for z in bscans:
                now, plane = layer.data[self._index(z)], self.borders.plane(z)
                new = with_band(now, self.value, plane)
                where = (new != now) & ~np.isin(now, list(locked))
                fits = partial(self._fits, plane=plane)
                if not where.any() or self.result.hand.undo_if(self._index(z), fits):
                    continue
                places.append(self._places(z, where))
                values.append(new[where])
                beside.append(self._places(z, held_beside(known[:, z], plane, len(now))))
            if places:
                index, held = (
                    tuple(np.concatenate(axis) for axis in zip(*some, strict=True))
                    for some in (places, beside)
                )
                with self.result.hand.holding(held):
                    layer.data_setitem(index, np.concatenate(values))
        finally:
            self._writing = False

    def _fits(self, labels: NDArray[np.uint8], plane: NDArray[np.float32]) -> bool:
        # Columns with holes or several parts fit, too, where the lines are their outermost ones.
        return np.array_equal(with_band(labels, self.value, plane), labels)

    def _places(self, z: int, where: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
        """Places in the layer of pixels of a B-scan, an array an axis."""
        found = np.nonzero(where)
        return (*(np.full(len(found[0]), i) for i in self._index(z)), *found)

    def _on_edited(self, result: Result, edit: Any) -> None:
        if result is self.result and not self._writing:
            self._changed.update(edit.bscans)
            self._soon.start()

    def _on_written(self, result: Result, place: tuple[int, ...]) -> None:
        if result is self.result:
            self._changed.add(tuple(place))
            self._soon.start()

    def _follow(self) -> None:
        """Take the lines from the labels in those columns in which they do not fit any more."""
        changed, self._changed = self._changed, set()
        self._following = True
        try:
            for place in changed:
                self._follow_bscan(place)
        finally:
            self._following = False

    def _follow_bscan(self, place: tuple[int, ...]) -> None:
        z = place[-1] if place else 0
        now, plane = self.result.layer.data[self._index(z)], self.borders.plane(z)
        new = followed(now, self.value, plane)
        if new is plane:
            return
        # Labels that were undone know pixels alone: the heights that they had are finer.
        moved = np.flatnonzero(~_alike(new, plane))
        for earlier in reversed(self._past[z]):
            fits = _alike(followed(now[:, moved], self.value, earlier[:, moved]), earlier[:, moved])
            new[:, moved[fits]] = earlier[:, moved[fits]]
            if not (moved := moved[~fits]).size:
                break
        self.borders.follow(z, new)


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Columns in which two lines are the same as two others."""
    same: NDArray[np.bool_] = ((one == other) | (np.isnan(one) & np.isnan(other))).all(0)
    return same
