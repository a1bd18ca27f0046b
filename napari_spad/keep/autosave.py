"""Autosave: every edit is on the disk within a second, written by a worker thread.

Painting, undo, redo and what a model writes mark B-scans; soon after the first mark a worker
looks at the marked ones and writes those that changed. It reads the layer's own array: should a
stroke come meanwhile, its B-scan is marked again, and so written again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.borders import KeptLines, TrackedLines
from napari_spad.desk import Desk, FunctionWorker, Result, explain
from napari_spad.keep.tracked_layer import SaveJob, TrackedLayer, now, places_of
from napari_spad.layers import Edit, is_label_map
from spad.autosave import AutosavedLayer, Session
from spad.cases import file_error

__all__ = ["Autosave"]

WAIT_MS = 250
"""From the first mark to its save, which takes a worker 4 to 11 ms of processor time a B-scan."""
RETRY_MS = 10_000
"""After a disk was full or read-only."""

Index = tuple[int, ...]


_OPEN: set[Autosave] = set()
"""Kept alive until they are shut down, whatever becomes of the widgets."""


class Autosave(QObject):
    """Saves the label layers of a viewer: results at once, others from the first stroke on.

    Parameters
    ----------
    desk : Desk
    """

    saved = Signal()
    """All that was marked is on the disk; `when` says since when."""
    trouble_changed = Signal(str)
    """Why nothing can be saved at the moment; empty when it can again."""
    kept_changed = Signal()
    """A layer that was removed from the viewer is saved."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.viewer = desk, desk.viewer
        self.root = desk.folder / "autosave"
        self.session = Session(self.root)
        self.when: float | None = None
        self.trouble = self._refused = ""  # the latter of a layer that tells nothing to write
        self.tracked: dict[int, TrackedLayer] = {}
        self.removed: list[TrackedLayer | TrackedLines] = []
        self._gone: list[TrackedLayer] = []  # removed from the viewer, their last save to come
        self._running: list[SaveJob] = []
        self._busy = Lock()
        self.lines = KeptLines(desk, self.session, self._busy)
        self.lines.removed.connect(self._on_lines_removed)
        self._worker: FunctionWorker | None = None
        self._timer = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._timer.timeout.connect(self._save)
        desk.written.connect(self._on_written)
        desk.edited.connect(self._on_edited)
        desk.result_described.connect(self._on_described)
        desk.result_added.connect(self._on_result)
        events = self.viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        for layer in self.viewer.layers:
            self._listen(layer)
        for result in desk.results:
            self._on_result(result)
        _OPEN.add(self)

    # ------------------------------------------------------------------ what is to be saved

    def track(self, layer: Labels, saved: AutosavedLayer | None = None) -> TrackedLayer:
        """Save this layer from now on; `saved` is where it was read back from."""
        tracked = self.tracked.get(id(layer))
        if tracked is None:
            new, saved = saved is None, saved or self.session.new_layer()
            tracked = TrackedLayer(layer, saved, layer.data.shape, layer.data.dtype.str)
            tracked.all_dirty = new  # also what nobody has touched yet
            self.tracked[id(layer)] = tracked
            for event in _described(layer):
                event.connect(self._on_header)
        self._mark()
        return tracked

    def hand_over(self, layer: Labels, result: Result) -> None:
        """Save a result where a layer was saved until now."""
        old = self.tracked.pop(id(layer))
        new = self.track(result.layer, old.saved)
        new.result, new.all_dirty = result, True

    def forget_removed(self, saved: AutosavedLayer) -> bool:
        """Take a layer from the list of removed ones; returns whether it was there."""
        before = len(self.removed)
        self.removed = [w for w in self.removed if w.saved.folder != saved.folder]
        return len(self.removed) < before

    def exported(self, layer: Labels) -> None:
        """Note that the user saved this layer: a crash need not offer it."""
        if (tracked := self.tracked.get(id(layer))) is not None:
            tracked.exported, tracked.header_dirty = now(), True
            self._mark()

    def _listen(self, layer: Any) -> None:
        if is_label_map(layer):
            layer.events.paint.connect(self._on_paint)
            layer.events.data.connect(self._on_data)
            layer.events.set_data.connect(self._on_set_data)

    def _ignore(self, layer: Any) -> None:
        layer.events.paint.disconnect(self._on_paint)
        layer.events.data.disconnect(self._on_data)
        layer.events.set_data.disconnect(self._on_set_data)

    def _on_inserted(self, event: Any) -> None:
        self._listen(event.value)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if not is_label_map(layer):
            return
        self._ignore(layer)
        tracked = self.tracked.pop(id(layer), None)
        if tracked is None:
            return
        tracked.removed, tracked.header_dirty = now(), True
        self._gone.append(tracked)
        self._timer.start(0)

    def _on_lines_removed(self, lines: TrackedLines) -> None:
        self.removed.append(lines)
        self.kept_changed.emit()

    def _on_result(self, result: Result) -> None:
        if result.layer in self.viewer.layers:
            new = id(result.layer) not in self.tracked
            tracked = self.track(result.layer)
            tracked.result, tracked.all_dirty = result, True
            if new:
                tracked.from_model |= set(result.packed)

    def _on_written(self, result: Result, index: Index) -> None:
        tracked = self.track(result.layer)
        tracked.result = result
        tracked.dirty.add(tuple(index))
        tracked.from_model.add(tuple(index))
        self._edited(tracked)

    def _on_described(self, result: Result) -> None:
        tracked = self.track(result.layer)
        tracked.result, tracked.header_dirty = result, True
        self._edited(tracked)

    def _on_edited(self, result: Result, edit: Edit) -> None:
        tracked = self.track(result.layer)
        tracked.result = result
        tracked.dirty.update(edit.bscans)
        if edit.by_model:  # `Result.written` followed
            tracked.from_model.update(edit.bscans)
        self._edited(tracked)

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        if layer.multiscale or not isinstance(layer.data, np.ndarray) or layer.data.ndim < 2:
            return
        tracked = self.track(layer)
        for atom in event.value:
            tracked.dirty |= places_of(atom, layer.data.shape)
        self._edited(tracked)

    def _on_data(self, event: Any) -> None:
        tracked = self.tracked.get(id(event.source))
        if tracked is not None:
            tracked.all_dirty = True
            self._edited(tracked)

    def _on_set_data(self, event: Any) -> None:
        """Undo and redo say no more than this; those of results the desk tells of."""
        tracked = self.tracked.get(id(event.source))
        if tracked is not None and tracked.result is None and not tracked.all_dirty:
            tracked.all_dirty = True
            self._mark()

    def _edited(self, tracked: TrackedLayer) -> None:
        tracked.edited()
        self._mark()

    def _on_header(self, event: Any) -> None:
        tracked = self.tracked.get(id(event.source))
        if tracked is not None:
            tracked.header_dirty = True
            self._mark()

    def _mark(self) -> None:
        # Not started anew by each stroke: steady painting is saved too.
        if not self._timer.isActive() and self._worker is None:
            self._timer.start(RETRY_MS if self.trouble else WAIT_MS)

    # ------------------------------------------------------------------ saving

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        waiting = self._worker is not None or any(w.waiting for w in self._all())
        return waiting or self.lines.waiting

    def _all(self) -> list[TrackedLayer]:
        return [*self._gone, *self.tracked.values()]

    def _save(self) -> None:
        if self._worker is not None:
            return
        if not (jobs := self._jobs()):
            if self._refused:
                self._on_saved(("", []))
        else:
            self._running = jobs
            self._worker = FunctionWorker(_save, self._busy, self.session, jobs)
            self._worker.returned.connect(self._on_saved)
            self._worker.start()

    def _jobs(self) -> list[SaveJob]:
        """Take the marks off, and say what is to be written."""
        jobs = []
        for tracked in [w for w in self._all() if w.waiting]:
            if tracked.layer.data.shape != tracked.shape and not tracked.removed:
                # Other data were put into the layer: what was there stays, as if it were removed.
                old = replace(tracked, removed=now(), all_dirty=False, header_dirty=True)
                old.dirty, old.from_model = set(), set()
                self._gone.append(old)
                jobs.append(old.take_job())
                tracked.header_dirty = True
                tracked.saved, tracked.shape = self.session.new_layer(), tracked.layer.data.shape
                tracked.dtype = tracked.layer.data.dtype.str
                tracked.all_dirty, tracked.from_model = True, set()
            try:
                jobs.append(tracked.take_job())
            except Exception as error:  # others write into its metadata; it costs no other layer
                why = file_error(error)
                self._refused = (
                    f"“{tracked.layer.name}” cannot be autosaved ({why}): save it by File › Save "
                    "Selected Layers"
                )
        return jobs

    def _on_saved(self, failed: tuple[str, list[SaveJob]]) -> None:
        error, left = failed[0] or self._refused, failed[1]
        self._worker, self._running, self._refused = None, [], ""
        for job in left:
            job.mark_again()
        if error != self.trouble:
            self.trouble = error
            self.trouble_changed.emit(error)
        if not error:
            self.when = time.time()
            done = [w for w in self._gone if not w.waiting]
            self._gone = [w for w in self._gone if w.waiting]
            if done:
                self.removed += done
                self.kept_changed.emit()
        if any(w.waiting for w in self._all()):
            self._timer.start(RETRY_MS if error else WAIT_MS)
        else:
            self.saved.emit()

    def flush(self) -> str:
        """Save what is not on the disk yet, now; returns what went wrong."""
        self._timer.stop()
        for job in self._running:  # its report may come too late
            job.mark_again()
        failed = _save(self._busy, self.session, self._jobs())  # waits for the worker's save
        self._on_saved(failed)
        if failed[1] and not failed[0]:  # all of it anew
            self._on_saved(_save(self._busy, self.session, self._jobs()))
        self._timer.stop()
        return self.trouble

    def unsaved(self) -> str:
        """Save what waits; what is on no disk then, and why. What was exported is on one."""
        error, lines = self.flush(), self.lines.flush()
        names = [w.layer.name for w in self.tracked.values() if w.waiting and not w.exported]
        said = [f"“{name}” cannot be autosaved ({error})" for name in names if error]
        return "; ".join([*said, f"lines cannot be autosaved ({lines})"] if lines else said)

    def shut_down(self) -> None:
        """Save the rest; let go of viewer and folder. A second call does nothing."""
        if self not in _OPEN:
            return
        _OPEN.discard(self)
        self.blockSignals(True)  # nobody is to start anything on the last news
        errors = self.flush(), self.lines.shut_down()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        for layer in self.viewer.layers:
            if is_label_map(layer):
                self._ignore(layer)
        for tracked in self.tracked.values():
            for event in _described(tracked.layer):
                event.disconnect(self._on_header)
        self.session.close(properly=not any(errors))


def _described(layer: Labels) -> tuple[Any, ...]:
    """Events of what a layer's header says."""
    return layer.events.name, layer.events.scale, layer.events.units


def _save(busy: Lock, session: Session, jobs: list[SaveJob]) -> tuple[str, list[SaveJob]]:
    """Write; returns what went wrong first, and which jobs are to be done again."""
    wrong, again = "", []
    with busy:
        for job in jobs:
            try:
                session.begin()
                if not job.write():
                    again.append(job)
            except Exception as error:
                # An exception that left the worker would be shown as a traceback.
                wrong = wrong or explain(error)
                again.append(job)
    return wrong, again
