"""Layers of lines on the disk as label layers are: a small file for each B-scan that was edited."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import numpy as np
from napari.layers import Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.borders.line_layers import add_lines, borders_of
from napari_spad.borders.line_model import Borders
from napari_spad.desk import Desk, FunctionWorker, explain
from napari_spad.layers import placement
from spad.borders import Lines, from_bits, to_bits

__all__ = ["KeptLines", "TrackedLines"]

WAIT_MS, RETRY_MS = 250, 10_000
TALLEST = 65_535
"""Rows, where a damaged header does not tell: heights are not to be cut off."""


class Session(Protocol):
    """The autosave folder of a window: that of the room `keep`, which stands above this one."""

    def begin(self) -> None:
        """Make it and lock it, unless that is done."""

    def new_layer(self) -> Any:
        """A folder for one more layer, with `save_header` and `save_bscan`."""


@dataclass
class TrackedLines:
    """A layer of lines that is saved."""

    layer: Vectors
    borders: Borders
    saved: Any  # where to: what `Session.new_layer` gives
    dirty: set[int] = field(default_factory=set)
    header_dirty: bool = True
    removed: str = ""
    image: str = ""  # what its image was called when that was written
    listener: Callable[[Any], None] = lambda _: None


class KeptLines(QObject):
    """Saves the layers of lines of a viewer.

    Parameters
    ----------
    desk : Desk
    session : Session
        Where to.
    busy : Lock
        Held while the session's folder is written to.
    """

    removed = Signal(object)
    """A `TrackedLines` whose layer was taken out of the viewer, and which is saved."""

    def __init__(self, desk: Desk, session: Session, busy: Lock) -> None:
        super().__init__()
        self.desk, self.viewer, self.session = desk, desk.viewer, session
        self.tracked: dict[int, TrackedLines] = {}
        self._gone: list[TrackedLines] = []
        self._busy = busy
        self._worker: FunctionWorker | None = None
        self.trouble = ""
        self._timer = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._timer.timeout.connect(self._save)
        self.viewer.layers.events.inserted.connect(self._on_inserted)
        self.viewer.layers.events.removed.connect(self._on_removed)
        for layer in self.viewer.layers:
            self.track(layer)

    def track(self, layer: Any, saved: Any = None) -> None:
        """Save the lines of a layer from now on; `saved` is where they were read back from."""
        borders = borders_of(layer)
        if borders is None:
            return
        one = self.tracked.get(id(layer))
        if one is None:
            one = TrackedLines(layer, borders, saved or self.session.new_layer())
            self.tracked[id(layer)] = one
            one.dirty.update(range(borders.bscans))

            def mark(bscans: Any, one: TrackedLines = one) -> None:
                one.dirty.update(bscans)
                self._timer.start()

            one.listener = mark
            borders.changed.connect(mark)
            for event in (layer.events.name, layer.events.scale, layer.events.units):
                event.connect(self._on_header)
        self._timer.start()

    def show(self, saved: Any, loaded: Any, placed: dict[str, Any]) -> None:
        """Put lines that were read back into the viewer, and go on saving them there."""
        header = loaded.header
        heights = np.moveaxis(from_bits(loaded.labels), 1, 0)
        lines = Lines(tuple(header["lines"]), heights)
        inserted = self.viewer.layers.events.inserted
        inserted.disconnect(self._on_inserted)  # it would be saved anew elsewhere
        try:
            rows, image = header["rows"] or TALLEST, header["image"]
            layer = add_lines(self.viewer, lines, rows, header["name"], placed, image)
        finally:
            inserted.connect(self._on_inserted)
        borders = borders_of(layer)
        if borders is not None:
            borders.by_hand[...] = loaded.by_hand.any(2).T
        self.track(layer, saved)

    def _on_header(self, event: Any) -> None:
        if (one := self.tracked.get(id(event.source))) is not None:
            one.header_dirty = True
            self._timer.start()

    def _on_inserted(self, event: Any) -> None:
        self.track(event.value)

    def _on_removed(self, event: Any) -> None:
        one = self.tracked.pop(id(event.value), None)
        if one is not None:
            self._ignore(one)
            one.removed, one.header_dirty = time.strftime("%Y-%m-%dT%H:%M:%S"), True
            self._gone.append(one)
            self._timer.start(0)

    # ------------------------------------------------------------------ saving

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return self._worker is not None or any(one.dirty or one.header_dirty for one in self._all())

    def _all(self) -> list[TrackedLines]:
        return [*self._gone, *self.tracked.values()]

    def _save(self) -> None:
        if self._worker is not None:
            self._timer.start()
            return
        if jobs := self._jobs():
            self._worker = FunctionWorker(_write, self._busy, self.session, jobs)
            self._worker.returned.connect(self._on_saved)
            self._worker.start()

    def _jobs(self) -> list[_Job]:
        jobs = []
        for one in self._all():
            one.header_dirty |= one.image != one.borders.image_name
            if one.dirty or one.header_dirty:
                bscans = {
                    z: (to_bits(one.borders.heights[:, z]), one.borders.by_hand[:, z].copy())
                    for z in sorted(one.dirty)
                }
                jobs.append(_Job(one, _header(one) if one.header_dirty else None, bscans))
                one.dirty, one.header_dirty, one.image = set(), False, one.borders.image_name
        return jobs

    def _on_saved(self, answer: tuple[str, list[_Job]]) -> None:
        error, left = answer
        self._worker = None
        for job in left:
            one = job.one
            nothing = not one.saved.described  # is on the disk, or not any more
            one.dirty.update(range(one.borders.bscans) if nothing else job.bscans)
            one.header_dirty |= nothing or job.header is not None
        if error and error != self.trouble:
            self.desk.fail(f"Lines cannot be autosaved: {error}. They stay in the viewer.")
        self.trouble = error
        if not error:
            for one in [o for o in self._gone if not o.header_dirty]:
                self._gone.remove(one)
                self.removed.emit(one)
        if self.waiting:
            self._timer.start(RETRY_MS if error else WAIT_MS)

    def flush(self) -> str:
        """Save what is not on the disk yet, now; returns what went wrong."""
        self._timer.stop()
        failed = _write(self._busy, self.session, self._jobs())
        self._on_saved(failed)
        if failed[1] and not failed[0]:  # all of it anew
            self._on_saved(_write(self._busy, self.session, self._jobs()))
        self._timer.stop()
        return self.trouble

    def shut_down(self) -> str:
        """Save the rest and let go of the viewer; returns what went wrong."""
        self.blockSignals(True)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        said = self.flush()
        for one in self.tracked.values():
            self._ignore(one)
        return said

    def _ignore(self, one: TrackedLines) -> None:
        one.borders.changed.disconnect(one.listener)
        for event in (one.layer.events.name, one.layer.events.scale, one.layer.events.units):
            event.disconnect(self._on_header)


@dataclass(frozen=True)
class _Job:
    one: TrackedLines
    header: dict[str, Any] | None
    bscans: dict[int, tuple[NDArray[np.int32], NDArray[np.bool_]]]


def _write(busy: Lock, session: Session, jobs: list[_Job]) -> tuple[str, list[_Job]]:
    """Write; returns what went wrong first, and which jobs are to be done again."""
    wrong, again = "", []
    with busy:
        for job in jobs:
            try:
                session.begin()
                saved = job.one.saved
                if saved.vanished():
                    again.append(job)
                    continue
                if job.header is not None:
                    saved.save_header(job.header)
                for z, (bits, hand) in job.bscans.items():
                    saved.save_bscan((z,), bits, np.broadcast_to(hand[:, None], bits.shape))
            except Exception as error:  # one that left the worker would be shown as a traceback
                wrong = wrong or explain(error)
                again.append(job)
    return wrong, again


def _header(one: TrackedLines) -> dict[str, Any]:
    lines, bscans, width = one.borders.heights.shape
    return {
        "name": one.layer.name,
        "image": one.borders.image_name,
        "shape": [bscans, lines, width],
        "dtype": "<i4",
        "lines": list(one.borders.names),
        "rows": one.borders.rows,
        "placement": placement(one.layer),
        "removed": one.removed,
    }
