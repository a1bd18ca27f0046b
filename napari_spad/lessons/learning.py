"""Lessons of a result: the run, the new model taken into use, new drafts, and the way back."""

from __future__ import annotations

import os.path
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import (
    Desk,
    Finished,
    Request,
    Result,
    explain,
    model_file,
    model_tag,
    setting,
)
from napari_spad.layers import Part
from napari_spad.lessons.kept_model import BadName, keep_model
from napari_spad.lessons.taught import LessonRequest, Taught, is_open
from napari_spad.segment import SegmentPanel
from spad.worker import (
    Drafts,
    Learnt,
    WorkerError,
    new_path,
    not_learnt,
    prune,
    shows_structure,
)

__all__ = ["Learning", "Lessons"]

NOTHING = (
    "There is nothing to learn from yet: accept a B-scan that is right (A), or paint where one is "
    "wrong."
)


@dataclass
class Lessons:
    """What came of a result's lessons.

    Parameters
    ----------
    drafts : Drafts
        What the drafts needed until they were accepted, before learning and now.
    told : str
        The last lesson, in words.
    whole : mapping of tuple to array of uint8, shape (H, W)
        The label maps of the B-scans that it learnt from whole.
    """

    drafts: Drafts = field(default_factory=Drafts)
    told: str = ""
    whole: Mapping[tuple[int, ...], NDArray[np.uint8]] = field(default_factory=dict)


@dataclass
class _Drafted:
    """How far new drafts are."""

    new: int = 0
    stay: int = 0
    learnt: Learnt | None = None


class Learning(QObject):
    """Learns from what a person corrected, in a process of its own, and drafts the rest anew.

    Parameters
    ----------
    desk : Desk
    form : SegmentPanel
        Its choices (device, samples, seed) hold here too; the new model is chosen in it.
    make_worker : callable
        Gives a `Worker`, which is started when a result is first corrected or accepted.
    """

    changed = Signal()
    """What there is to show of the result at work."""

    def __init__(self, desk: Desk, form: SegmentPanel, make_worker: Callable[[], Any]) -> None:
        super().__init__()
        self.desk, self.form, self.worker = desk, form, make_worker()
        self._lessons: WeakKeyDictionary[Result, Lessons] = WeakKeyDictionary()
        self._due: Result | None = None
        self._closed = False
        desk.edited.connect(self._on_edited)
        desk.bscan_accepted.connect(self._on_accepted)
        desk.busy_changed.connect(self._on_busy)

    def lessons(self, result: Result) -> Lessons:
        """What came of a result's lessons."""
        return self._lessons.setdefault(result, Lessons())

    def not_learnt(self) -> str:
        """What the model at work has not learnt of what is accepted, in words; else nothing."""
        result = self.desk.result
        if result is None or not (lessons := self.lessons(result)).told:
            return ""
        return not_learnt(Taught.of(self.desk, result).accepted, lessons.whole)

    # ------------------------------------------------------------------ a lesson

    def learn(self) -> None:
        """Learn from the result at work, and draft anew what is a model's in it."""
        result = self._at_work()
        if result is None:
            return
        taught = Taught.of(self.desk, result)
        if taught.parts:
            self._learn(result, taught)
        else:
            self.desk.say(NOTHING, result)

    def _at_work(self) -> Result | None:
        if self.desk.busy:
            self.desk.say("A run is going on: wait for it, or cancel it.")
        elif self.desk.result is None:
            self.desk.say("There is no segmentation yet: press Segment first.")
        else:
            return self.desk.result
        return None

    def _learn(self, result: Result, taught: Taught) -> None:
        self._due = None
        try:
            request = self._request(result, taught)
        except Exception as error:
            self.desk.fail(error)
            return
        done = _Drafted()
        known = len(self.desk.engine.read_card(request.checkpoint).classes)

        def on_part(event: Learnt | Finished) -> None:
            if result not in self.desk.results:
                self.desk.stop("stopped: the result's layer was removed")
            elif isinstance(event, Learnt):
                done.learnt = event
                self._take_model(result, request, event)
                request.anew[:] = self._open_parts(result)
                done.stay = self._segmented_here(result) - len(request.anew)
            else:
                self._take_draft(result, event, done, known)

        def on_end(complete: bool) -> str:
            if done.learnt is None:
                return "" if complete else "cancelled; the model is as it was"
            told = f"learnt from {taught.told} in {done.learnt.seconds:.0f} s; {_told(done)}"
            told = told if complete or self.desk.stopped else f"{told}; the rest was cancelled"
            if (guard := done.learnt.guard) is not None:
                before, after = (f"{dice:.2f}".removeprefix("0") for dice in guard)
                told += f"; on B-scans of earlier cases: Dice {before} before, {after} now"
            self.lessons(result).told = "; ".join([told, *done.learnt.said])
            self.lessons(result).whole = taught.accepted
            self.changed.emit()
            return self.desk.about(result) + told

        self.desk.run(request, on_part, on_end)

    def _request(self, result: Result, taught: Taught) -> LessonRequest:
        from spad.annotation import refuse_other_structures

        origin = self._origin(result)
        theirs = self.desk.engine.read_card(origin).classes
        known, new = result.classes[: len(theirs)], result.classes[len(theirs) :]
        model = f"the model “{origin.stem}”"
        refuse_other_structures(result.layer.name, known, theirs, model=model)
        return LessonRequest(
            checkpoint=origin,
            source=result.open_image(),
            **self.form.choices(),
            worker=self.worker,
            taught=taught,
            out=new_path(self.desk.folder / "learnt", origin.stem),
            classes=(*theirs, *new) if new else None,
            anew=self._open_parts(result),
        )

    def _origin(self, result: Result) -> Path:
        """The model that the result was first made with, else the one that is chosen."""
        origin = model_file(result.origin or result.model)
        if os.path.isfile(origin):
            return origin
        chosen = self.form.model.checkpoint
        if chosen is None:
            raise ValueError(f"the model {origin} is not there any more: choose one in “Segment”")
        return chosen

    def _open_parts(self, result: Result) -> list[Part]:
        """What to draft anew, from the B-scan on screen outwards."""
        parts = result.open_image().parts
        return [part for part in parts if is_open(self.desk, result, part)]

    def _segmented_here(self, result: Result) -> int:
        """How many B-scans of the stack on screen a model has segmented."""
        return sum(part.index in result.packed for part in result.open_image().parts)

    def _take_model(self, result: Result, request: LessonRequest, learnt: Learnt) -> None:
        old = model_file(result.model)
        result.origin = model_tag(request.checkpoint)
        result.model = model_tag(learnt.out)
        self.form.use(learnt.out, instead_of=self._temporary(old))
        tags = [tag for r in self.desk.results for tag in (r.model, r.origin)]
        prune(learnt.out.parent, [model_file(tag) for tag in tags])
        self._tell(result)

    def _temporary(self, path: Path) -> Path | None:
        """A learnt model that was not kept under a name leaves the list for its successor."""
        return path if path.parent == self.desk.folder / "learnt" else None

    def _take_draft(
        self, result: Result, event: Finished, done: _Drafted, known: int = 256
    ) -> None:
        part, drafts = event.part, self.lessons(result).drafts
        if not is_open(self.desk, result, part):  # corrected or accepted meanwhile
            done.stay += 1
            return
        before = np.array(result.layer.data[part.region])
        result.put(event, undoable=True)
        if done.learnt is not None:
            drafts.put(part.index, before, np.asarray(event.segmentation.labels), known)
        done.new += 1
        self.desk.written.emit(result, part.index)

    # ------------------------------------------------------------------ the way back

    def can_go_back(self, result: Result | None) -> bool:
        """Whether a result has a model from before learning."""
        return result is not None and bool(result.origin)

    def go_back(self) -> None:
        """Take the model from before learning again, and draft anew what is a model's.

        Where the image does not fit the result any more, nothing is drafted.
        """
        result = self._at_work()
        if result is None or not self.can_go_back(result):
            return
        origin, done = model_file(result.origin), _Drafted()
        try:
            tag = model_tag(origin)
        except Exception as error:
            self.desk.fail(error)
            return
        told = f"back to “{origin.stem}”"
        try:
            source = result.open_image()
            source.parts = tuple(self._open_parts(result))
            done.stay = self._segmented_here(result) - len(source.parts)
            why_not = "" if source.parts else "; no B-scan is to be drafted anew"
        except Exception as error:
            why_not = f"; no B-scan is drafted anew: {explain(error)}"
        self.form.use(origin, instead_of=self._temporary(model_file(result.model)))
        result.model, result.origin = tag, ""
        self.lessons(result).drafts.forget()
        self.lessons(result).told = told + why_not
        self._tell(result)
        if why_not:
            self.desk.say(told + why_not, result)
            return
        request = Request(checkpoint=origin, source=source, **self.form.choices())

        def on_part(event: Finished) -> None:
            if result in self.desk.results:
                self._take_draft(result, event, done)
            else:
                self.desk.stop("stopped: the result's layer was removed")

        def on_end(complete: bool) -> str:
            rest = "" if complete else "; the rest was cancelled"
            self.lessons(result).told = f"{told}; {_told(done)}{rest}"
            self.changed.emit()
            return self.desk.about(result) + self.lessons(result).told

        self.desk.run(request, on_part, on_end)

    def keep(self, name: str) -> str:
        """Keep the model that has learnt under a name, and choose it; give why it cannot be one."""
        result = self._at_work()
        if result is None or not self.can_go_back(result):
            return ""
        learnt = model_file(result.model)
        try:
            kept = keep_model(learnt, self.desk.folder / "models", name)
        except BadName as error:
            return str(error)
        except Exception as error:
            self.desk.fail(error)
            return ""
        result.model = model_tag(kept)
        self.form.use(kept, instead_of=self._temporary(learnt))
        self.desk.say(f"“{kept.stem}” is kept, and chosen: the next case may start from it")
        self._tell(result)
        return ""

    def _tell(self, result: Result) -> None:
        self.desk.result_described.emit(result)
        self.changed.emit()

    # ------------------------------------------------------------------ as the person works

    @property
    def as_i_accept(self) -> bool:
        """Whether a lesson follows each B-scan that is accepted."""
        return setting(self.desk.settings, "learn_as_i_accept", False)

    def _on_edited(self, result: Result, _edit: Any) -> None:
        self._warm_up(result)

    def _on_accepted(self, result: Result, place: tuple[int, ...]) -> None:
        labels = np.asarray(result.layer.data[result.part(place).region])
        if self.lessons(result).drafts.accept(place, labels):
            self.changed.emit()
        if self.as_i_accept:
            self._due = result
            QTimer.singleShot(0, self._learn_if_due)  # after what accepting does besides
        self._warm_up(result)

    def _on_busy(self, busy: bool) -> None:
        if not busy and self._due is not None:
            QTimer.singleShot(0, self._learn_if_due)

    def _learn_if_due(self) -> None:
        """A lesson in the background; once after the run that is going on, if one is."""
        result = self._due
        if result is None or self.desk.busy or self._closed:
            return
        self._due = None
        if result in self.desk.results and self._open_parts(result):
            taught = Taught.of(self.desk, result)
            if shows_structure(taught.label_maps):  # else the next one may
                self._learn(result, taught)

    def _warm_up(self, result: Result) -> None:
        """Start the worker, so that it has loaded what it needs when it is asked."""
        if self.worker.running or self._closed or self.desk.busy:
            return
        origin = model_file(result.origin or result.model)
        if os.path.isfile(origin):
            job = (origin, self.form.model.device)
            threading.Thread(target=self._start_worker, args=job, daemon=True).start()

    def _start_worker(self, origin: Path, device: str) -> None:
        try:
            self.worker.warm_up(origin, device)
        except WorkerError:
            return  # told when it is asked
        if self._closed:
            self.worker.close()

    def disconnect_viewer(self) -> None:
        """End the process."""
        self._closed, self._due = True, None
        self.worker.close()


def _told(done: _Drafted) -> str:
    new = f"{done.new} B-scan{'s are' if done.new != 1 else ' is'} drafted anew"
    stay = f"{done.stay} stay{'s' if done.stay == 1 else ''}: accepted or by hand"
    return f"{new}; {stay}" if done.stay else new
