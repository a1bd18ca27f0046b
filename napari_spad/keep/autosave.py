"""Autosave: every edit is on the disk within seconds, written by a worker thread.

Painting, undo, redo and what a model writes mark B-scans; a second after the first mark a worker
looks at the marked ones and writes those that changed. It reads the layer's own array: should a
stroke come meanwhile, its B-scan is marked again, and so written again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]
from superqt.utils import FunctionWorker

from napari_spad.desk import Desk, Result, explain
from napari_spad.keep.autosave_folders import Session
from napari_spad.keep.autosaved_layer import AutosavedLayer, ModelPart
from napari_spad.layers import Edit, is_label_map, placement
from napari_spad.write import classes_of

__all__ = ["Autosave", "Watched"]

WAIT_MS = 1000
RETRY_MS = 10_000
"""After a disk was full or read-only."""
HEADER_SECONDS = 30.0
"""What a layer is takes milliseconds to gather: not with each stroke."""

Index = tuple[int, ...]


@dataclass
class Watched:
    """A layer that is saved.

    Parameters
    ----------
    layer : napari.layers.Labels
    saved : AutosavedLayer
        Where to.
    shape, dtype : tuple of int, str
        Of the data that are saved there.
    result : Result or None
        Whose labels these are.
    model : str
        What made them, where they came back without their image and so are no result's.
    removed, exported : str
        When it was removed from the viewer, or saved by the user and not edited since.
    """

    layer: Labels
    saved: AutosavedLayer
    shape: Index
    dtype: str
    result: Result | None = None
    model: str = ""
    dirty: set[Index] = field(default_factory=set)
    from_model: set[Index] = field(default_factory=set)
    all_dirty: bool = False  # what changed is not known
    header_dirty: bool = True
    removed: str = ""
    exported: str = ""
    described: float = 0.0  # when its header was gathered

    @property
    def waiting(self) -> bool:
        """Whether something is to be written, or may be."""
        return bool(self.dirty or self.from_model or self.all_dirty or self.header_dirty)


@dataclass(frozen=True)
class _Job:
    watched: Watched
    header: Mapping[str, Any] | None  # None: as it was
    labels: NDArray[Any]
    by_hand: NDArray[Any] | None
    places: frozenset[Index] | None  # None: all
    model: Mapping[Index, ModelPart]


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
        self.trouble = ""
        self.watched: dict[int, Watched] = {}
        self.removed: list[Watched] = []
        self._gone: list[Watched] = []  # removed from the viewer, their last save to come
        self._running: list[_Job] = []
        self._busy = Lock()
        self._worker: FunctionWorker[Any] | None = None
        self._timer = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._timer.timeout.connect(self._save)
        desk.written.connect(self._on_written)
        desk.edited.connect(self._on_edited)
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

    def watch(self, layer: Labels, saved: AutosavedLayer | None = None) -> Watched:
        """Save this layer from now on; `saved` is where it was read back from."""
        watched = self.watched.get(id(layer))
        if watched is None:
            saved = saved or self.session.new_layer()
            watched = Watched(layer, saved, layer.data.shape, layer.data.dtype.str)
            self.watched[id(layer)] = watched
            layer.events.name.connect(self._on_header)
        self._mark(watched)
        return watched

    def hand_over(self, layer: Labels, result: Result) -> None:
        """Save a result where a layer was saved until now."""
        old = self.watched.pop(id(layer))
        new = self.watch(result.layer, old.saved)
        new.result, new.all_dirty = result, True

    def forget_removed(self, saved: AutosavedLayer) -> bool:
        """Take a layer from the list of removed ones; returns whether it was there."""
        before = len(self.removed)
        self.removed = [w for w in self.removed if w.saved.folder != saved.folder]
        return len(self.removed) < before

    def exported(self, layer: Labels) -> None:
        """Note that the user saved this layer: a crash need not offer it."""
        if (watched := self.watched.get(id(layer))) is not None:
            watched.exported, watched.header_dirty = _now(), True
            self._mark(watched)

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
        watched = self.watched.pop(id(layer), None)
        if watched is None:
            return
        watched.removed, watched.header_dirty = _now(), True
        self._gone.append(watched)
        self._timer.start(0)

    def _on_result(self, result: Result) -> None:
        if result.layer in self.viewer.layers:
            new = id(result.layer) not in self.watched
            watched = self.watch(result.layer)
            watched.result, watched.all_dirty = result, True
            if new:
                watched.from_model |= set(result.packed)

    def _on_written(self, result: Result, index: Index) -> None:
        watched = self.watch(result.layer)
        watched.result = result
        watched.dirty.add(tuple(index))
        watched.from_model.add(tuple(index))
        self._edited(watched)

    def _on_edited(self, result: Result, edit: Edit) -> None:
        watched = self.watch(result.layer)
        watched.result = result
        watched.dirty.update(edit.bscans)
        self._edited(watched)

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        if layer.multiscale or not isinstance(layer.data, np.ndarray) or layer.data.ndim < 2:
            return
        watched = self.watch(layer)
        for atom in event.value:
            watched.dirty |= _places(atom, layer.data.shape)
        self._edited(watched)

    def _on_data(self, event: Any) -> None:
        watched = self.watched.get(id(event.source))
        if watched is not None:
            watched.all_dirty = True
            self._edited(watched)

    def _on_set_data(self, event: Any) -> None:
        """Undo and redo say no more than this; those of results the desk tells of."""
        watched = self.watched.get(id(event.source))
        if watched is not None and watched.result is None and not watched.all_dirty:
            watched.all_dirty = True
            self._mark(watched)

    def _edited(self, watched: Watched) -> None:
        old = time.monotonic() - watched.described > HEADER_SECONDS
        watched.header_dirty |= bool(watched.exported) or old
        watched.exported = ""
        self._mark(watched)

    def _on_header(self, event: Any) -> None:
        watched = self.watched.get(id(event.source))
        if watched is not None:
            watched.header_dirty = True
            self._mark(watched)

    def _mark(self, _watched: Watched) -> None:
        # Not started anew by each stroke: steady painting is saved too.
        if not self._timer.isActive() and self._worker is None:
            self._timer.start(RETRY_MS if self.trouble else WAIT_MS)

    # ------------------------------------------------------------------ saving

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return self._worker is not None or any(w.waiting for w in self._all())

    def _all(self) -> list[Watched]:
        return [*self._gone, *self.watched.values()]

    def _save(self) -> None:
        if self._worker is None and (jobs := self._jobs()):
            self._running = jobs
            self._worker = FunctionWorker(_save, self._busy, self.session, jobs)
            self._worker.returned.connect(self._on_saved)
            self._worker.start()

    def _jobs(self) -> list[_Job]:
        """Take the marks off, and say what is to be written."""
        jobs = []
        for watched in [w for w in self._all() if w.waiting]:
            if watched.layer.data.shape != watched.shape and not watched.removed:
                # Other data were put into the layer: what was there stays, as if it were removed.
                old = replace(watched, removed=_now(), all_dirty=False, header_dirty=True)
                old.dirty, old.from_model = set(), set()
                self._gone.append(old)
                jobs.append(_job(old))
                old.header_dirty = False
                watched.header_dirty = True
                watched.saved, watched.shape = self.session.new_layer(), watched.layer.data.shape
                watched.dtype = watched.layer.data.dtype.str
                watched.all_dirty, watched.from_model = True, set()
            jobs.append(_job(watched))
            watched.dirty, watched.from_model = set(), set()
            watched.all_dirty = watched.header_dirty = False
        return jobs

    def _on_saved(self, failed: tuple[str, list[_Job]]) -> None:
        error, left = failed
        self._worker, self._running = None, []
        self._mark_again(left)
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

    @staticmethod
    def _mark_again(jobs: list[_Job]) -> None:
        for job in jobs:
            watched = job.watched
            watched.header_dirty |= job.header is not None
            watched.all_dirty |= job.places is None
            watched.dirty |= job.places or set()
            watched.from_model |= set(job.model)

    def flush(self) -> str:
        """Save what is not on the disk yet, now; returns what went wrong."""
        self._timer.stop()
        self._mark_again(self._running)  # its report may come too late
        failed = _save(self._busy, self.session, self._jobs())  # waits for the worker's save
        self._on_saved(failed)
        self._timer.stop()
        return failed[0]

    def shut_down(self) -> None:
        """Save the rest; let go of viewer and folder. A second call does nothing."""
        if self not in _OPEN:
            return
        _OPEN.discard(self)
        self.blockSignals(True)  # nobody is to start anything on the last news
        error = self.flush()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        for layer in self.viewer.layers:
            if is_label_map(layer):
                self._ignore(layer)
        for watched in self.watched.values():
            watched.layer.events.name.disconnect(self._on_header)
        self.session.close(properly=not error)


def _save(busy: Lock, session: Session, jobs: list[_Job]) -> tuple[str, list[_Job]]:
    """Write; returns what went wrong, and which jobs are to be done again."""
    with busy:
        for number, job in enumerate(jobs):
            try:
                session.begin()
                _write(job)
            except Exception as error:
                # An exception that left the worker would be shown as a traceback.
                return explain(error), jobs[number:]
    return "", []


def _write(job: _Job) -> None:
    saved = job.watched.saved
    for index, part in job.model.items():
        saved.save_model(index, part)
    places = np.ndindex(*job.labels.shape[:-2]) if job.places is None else sorted(job.places)
    for index in places:
        by_hand = None if job.by_hand is None else job.by_hand[index]
        saved.save_bscan(index, job.labels[index], by_hand)
    if job.header is not None:
        saved.save_header(job.header)


def _job(watched: Watched) -> _Job:
    layer, result = watched.layer, watched.result
    known = layer.metadata.get("spad") or {}
    labels = layer.data
    by_hand = result.hand.mask if result is not None else known.get("by_hand")
    if by_hand is not None and by_hand.shape != labels.shape:
        by_hand = None
    model: dict[Index, ModelPart] = {}
    if result is not None and result.written.shape == labels.shape:
        runs = {tuple(run["bscan"]): run for run in known.get("provenance", ())}
        for index in watched.from_model:
            model[index] = ModelPart(
                result.written[index],
                result.uncertainty.data[index],
                result.packed.get(index),
                runs.get(index, {}),
            )
    places = None if watched.all_dirty else frozenset(watched.dirty)
    header = None
    if watched.header_dirty:
        header, watched.described = _header(watched), time.monotonic()
    return _Job(watched, header, labels, by_hand, places, model)


def _header(watched: Watched) -> dict[str, Any]:
    """What a layer is. Of its metadata only what SPAD put there: the rest may name the patient."""
    layer, result = watched.layer, watched.result
    known = layer.metadata.get("spad") or {}
    looks = {"features": layer.features, "colormap": layer.colormap, "metadata": layer.metadata}
    return {
        "name": layer.name,
        "image": known.get("image", ""),
        "shape": list(watched.shape),
        "dtype": watched.dtype,
        "classes": classes_of(looks, ()),
        "own_colors": hasattr(layer.colormap, "color_dict"),
        "model": watched.model if result is None else result.model,
        "locked": [] if result is None else sorted(result.locked),
        "notice": known.get("notice", ""),
        "annotator": str(layer.metadata.get("annotator", "")),
        "placement": placement(layer),
        "removed": watched.removed,
        "exported": watched.exported,
    }


def _places(atom: Any, shape: tuple[int, ...]) -> set[Index]:
    """B-scans that an atom of napari's history touches."""
    lead = shape[:-2]
    if not lead:
        return {()}
    if hasattr(atom, "slice_key"):
        spans = [range(*s.indices(n)) for s, n in zip(atom.slice_key, lead, strict=False)]
        grid = np.meshgrid(*spans, indexing="ij")
        return set(zip(*(axis.ravel().tolist() for axis in grid), strict=True))
    index = atom[0]
    flat = np.ravel_multi_index(tuple(np.asarray(i).ravel() for i in index[: len(lead)]), lead)
    return {tuple(int(i) for i in np.unravel_index(p, lead)) for p in np.unique(flat)}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
