"""A structure that is a band, edited as its two lines: what they say is written into its labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_spad.borders.line_model import Borders
from napari_spad.desk import Desk, Result
from spad.borders import Lines, band_lines, followed, with_band

__all__ = ["Band", "lines_of_band"]


def lines_of_band(result: Result, value: int, name: str) -> Lines:
    """Top and bottom of a structure of a result, as lines."""
    labels = result.layer.data.reshape(-1, *result.layer.data.shape[-2:])
    return Lines((f"{name} top", f"{name} bottom"), band_lines(labels, value))


class Band:
    """Keeps two lines and a structure's pixels the same.

    An edit of the lines changes the labels as one undo step, and its pixels count as painted by
    hand: sampling around edits holds them. Locked structures stay. What is painted, undone or
    sampled in the labels moves the lines.

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
        if self._following or layer not in self.desk.viewer.layers:
            return
        if self.value in locked:
            self.desk.say("The structure is locked: its lines moved, its labels did not.")
            return
        places: list[tuple[Any, ...]] = []
        values = []
        for z in bscans:
            now = layer.data[self._index(z)]
            new = with_band(now, self.value, self.borders.plane(z))
            where = np.nonzero((new != now) & ~np.isin(now, list(locked)))
            places.append((*(np.full(len(where[0]), i) for i in self._index(z)), *where))
            values.append(new[where])
        index = tuple(np.concatenate(axis) for axis in zip(*places, strict=True))
        if len(index[0]):
            self._writing = True
            try:
                layer.data_setitem(index, np.concatenate(values))
            finally:
                self._writing = False

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
        if new is not plane:
            self.borders.follow(z, new)
