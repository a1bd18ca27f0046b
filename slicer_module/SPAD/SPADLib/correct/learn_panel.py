"""The rows “Teach the model”: it learns from what is corrected, and drafts the others anew."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import qt
from numpy.typing import NDArray

from spad.annotation import duration
from spad.cases import file_stem
from spad.worker import (
    Drafts,
    Worker,
    WorkerError,
    copy_model,
    lessons_of,
    not_learnt,
    prune,
    saved_models,
    shows_structure,
)
from SPADLib.correct.lesson import (
    Lesson,
    Outcome,
    draft_anew,
    label_maps,
    learning,
    learnt_folder,
    lesson,
)
from SPADLib.desk import Desk, RunBox
from SPADLib.host import one_shot_timer, python_program
from SPADLib.scene import Change, Result, open_image
from SPADLib.segment import SegmentPanel

__all__ = ["LearnPanel"]

PAUSE_MS = 100
"""After Accept: the next B-scan comes on screen first."""
HURTS = "Learning has not helped here: you may go back."
AS_I_ACCEPT = "SPAD/learnAsIAccept"


@dataclass(frozen=True)
class _Step:
    """One lesson: the model before it, the one that learnt, and what changed."""

    before: str
    model: Path
    changed: list[Change]


@dataclass
class _Taught:
    """What one result has taught so far; `whole`: in the last lesson, of what was accepted."""

    lessons: list[_Step] = field(default_factory=list)
    whole: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    drafts: Drafts = field(default_factory=Drafts)
    line: str = ""

    @property
    def text(self) -> str:
        said = (self.line, self.drafts.told, HURTS if self.drafts.hurts else "")
        return " ".join(filter(None, said))


class LearnPanel:
    """Works on the rows in which a model learns.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    runs : RunBox
    form : SegmentPanel
        Its choices (model, device, samples, seed) hold here too.
    """

    def __init__(self, desk: Desk, ui: Any, runs: RunBox, form: SegmentPanel) -> None:
        self.desk, self.ui, self.runs, self.form = desk, ui, runs, form
        self._worker: Worker | None = None
        self._taught: dict[str, _Taught] = {}
        self._warmed = self._waiting = False
        self._pause = one_shot_timer(PAUSE_MS, self._on_pause)
        ui.learnCheck.setChecked(desk.settings.get(AS_I_ACCEPT) == "yes")
        ui.learnCheck.toggled.connect(self._on_as_i_accept)
        for button, call in (
            (ui.learnButton, self.learn),
            (ui.goBackButton, self.go_back),
            (ui.keepModelButton, self.keep),
        ):
            button.clicked.connect(lambda *_, call=call: desk.guarded(call))
        desk.on("edited", self._warm_up)
        desk.on("reviewed", self._on_reviewed)
        desk.on("busy", self._on_busy)
        for what in ("result", "parameters"):
            desk.on(what, self._show)
        self._show()

    def stop(self) -> None:
        """Learn nothing, and end the process that does."""
        self._pause.stop()
        if self._worker is not None:
            self._worker.close()
        self._worker, self._warmed, self._waiting = None, False, False
        self._taught.clear()

    # ------------------------------------------------------------------ the process that learns

    def _process(self) -> Worker:
        if self._worker is None:  # python-real itself, as Slicer's own CLIs in Python: see there
            self._worker = Worker(python_program("python-real", "PythonSlicer"))
        return self._worker

    def _warm_up(self) -> None:
        """Start the process at the first correction: PyTorch is there when Learn is pressed."""
        result = self.desk.result
        if self._warmed or result is None:
            return
        labels = self.desk.labels
        if not (result.accepted(labels) or result.by_hand(labels).any()):
            return
        self._warmed = True
        try:
            device = self.form.models.asked
            self._process().warm_up(self._model(result), device)
        except (WorkerError, ValueError, OSError):
            pass  # told where it is needed: when Learn is pressed

    def _model(self, result: Result) -> Path:
        """The model that the result was first made with, from which every lesson starts."""
        made = result.provenance
        by = made[0].get("checkpoint", {}) if made else {}
        path = self.form.models.made_by(str(by.get("sha256")), saved_models(learnt_folder()))
        if path is None:
            raise ValueError(
                f"The model that made “{result.segmentation.GetName()}”, {by.get('name', '?')}, is "
                "not at hand: open its checkpoint file under Segment, or segment anew with the "
                "model that is chosen"
            )
        return path

    # ------------------------------------------------------------------ learning

    def learn(self) -> None:
        """Learn from what is accepted and painted, and draft the other B-scans anew."""
        self._begin(self._lesson())

    def _lesson(self) -> Lesson:
        result = self.desk.need_result()
        p, model = self.desk.parameters, self._model(result)
        known = self.desk.engine.read_card(model).classes
        device = self.form.models.asked
        return lesson(result, open_image(result), model, device, known=known, seed=p.seed)

    def _begin(self, taught: Lesson) -> None:
        result = self.desk.need_result()
        ask = self.form.request(range(result.depth))
        run = learning(self._process(), taught, self.desk.engine, ask, open_image(result))
        self._warmed = True
        self.runs.start(
            self._followed(run),
            [result.segmentation, result.volume],
            lambda outcome: self._take(result, taught, outcome),
        )

    def _followed(self, run: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """A run; whoever cancels it wants none after it."""
        ended = False
        try:
            yield from run
            ended = True
        finally:
            self._waiting &= ended

    def _take(self, result: Result, taught: Lesson, outcome: Outcome) -> str:
        state = self._taught.setdefault(result.segmentation.GetID(), _Taught())
        self.desk.tell("writing")  # once: one press, one step back
        changed, anew = draft_anew(result, outcome, state.drafts, taught.known)
        before, model = self.desk.parameters.checkpoint, outcome.learnt.out
        maps = list(zip(taught.bscans, taught.plan.label_maps, strict=True))
        state.whole = dict(maps[: taught.plan.accepted])
        state.lessons.append(_Step(before, model, changed))
        self.form.models.open(model)
        used = (model, taught.plan.checkpoint, Path(before))
        self.form.models.forget(prune(learnt_folder(), used))
        self.desk.history.add(result, changed)
        stay = (result.segmented | set(taught.bscans)) - anew
        state.line = self._told(taught, outcome, len(anew), len(stay)) + _left_out(result)
        self.desk.tell_written(result)
        self._show()
        return state.line

    def _told(self, taught: Lesson, outcome: Outcome, anew: int, stay: int) -> str:
        learnt = outcome.learnt
        said = [
            f"Learnt from {taught.told} in {duration(learnt.seconds)}",
            f"{anew} B-scan{' is' if anew == 1 else 's are'} drafted anew",
            f"{stay} {'stays' if stay == 1 else 'stay'}: accepted or by hand",
        ]
        if learnt.guard is not None:
            then, now = (f"{dice:.2f}".removeprefix("0") for dice in learnt.guard)
            said.append(f"on B-scans of earlier cases: Dice {then} before, {now} now")
        return "; ".join([*said, *learnt.said]) + "."

    # ------------------------------------------------------------------ as I accept

    def _on_as_i_accept(self, on: bool) -> None:
        self.desk.settings[AS_I_ACCEPT] = "yes" if on else "no"

    def _on_reviewed(self) -> None:
        result = self.desk.result
        if result is None:
            return
        labels = result.labels()
        accepted = result.accepted(labels)
        state = self._taught.get(result.segmentation.GetID())
        if state is not None:
            for z in accepted:
                state.drafts.accept(z, labels[z])
        self._show()
        self._warm_up()
        if self.ui.learnCheck.isChecked() and self.desk.bscan() in accepted:
            self._pause.start()

    def _on_pause(self) -> None:
        if self.runs.busy:
            self._waiting = True
        elif self.desk.result is not None:
            self.desk.guarded(self._learn_on)

    def _learn_on(self) -> None:
        taught = self._lesson()
        # Else there is no draft that could become better, or the next one may show a structure.
        if taught.anew and shows_structure(taught.plan.label_maps):
            self._begin(taught)

    def _on_busy(self) -> None:
        if self._waiting and not self.runs.busy:
            self._waiting = False
            self._pause.start()
        self._show()

    # ------------------------------------------------------------------ back, and kept

    def _now(self) -> _Taught | None:
        result = None if self.desk.parameters is None else self.desk.result
        return None if result is None else self._taught.get(result.segmentation.GetID())

    def _last(self) -> _Step:
        state = self._now()
        if state is None or not state.lessons:
            raise ValueError("Nothing was learnt from this segmentation yet: press Learn first")
        return state.lessons[-1]

    def go_back(self) -> None:
        """Choose the model from before learning, and take the drafts of the lessons back.

        What a person accepted or painted since stays.
        """
        self._last()
        result = self.desk.need_result()
        state = self._taught[result.segmentation.GetID()]
        before = state.lessons[0].before
        if not self.form.models.knows(before):  # one that had learnt, and went
            before = str(self._model(result))
            self.form.models.open(Path(before))
        del self._taught[result.segmentation.GetID()]
        self.desk.parameters.checkpoint = before
        accepted, back = result.accepted(), 0
        self.desk.tell("writing")
        for step in reversed(state.lessons):
            if self.desk.history.drop(step.changed):
                back += result.take_back([c for c in step.changed if c.bscan not in accepted])
        self.desk.tell_written(result)
        self.desk.say(f"Back to {Path(before).stem}: {back:,} pixels are as before.")
        self._show()

    def keep(self) -> None:
        """Ask for a file, and keep the model that has learnt in it."""
        model, result = self._last().model, self.desk.need_result()
        taught = self._taught[result.segmentation.GetID()].whole
        name = f"{file_stem(self.desk.engine.read_card(model).name, 'model')}.safetensors"
        path = qt.QFileDialog.getSaveFileName(
            self.ui.keepModelButton, "Keep the model", name, "Checkpoints (*.safetensors)"
        )
        if path:
            kept = copy_model(model, Path(str(path)))
            self.form.models.open(kept)
            lessons = lessons_of(kept)
            beside = f", and the images that it learnt from in {lessons.name}"
            said = f"Kept: {kept}{beside if lessons.is_file() else ''}"
            maps, accepted = label_maps(result)
            if new := not_learnt({z: maps[z] for z in accepted & set(maps)}, taught):
                said += f". {new} Press Learn, and keep it again"
            self.desk.say(said)

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        ui, state = self.ui, self._now()
        ready = self.desk.parameters is not None and self.desk.result is not None
        text = "" if state is None else state.text
        learnt = state is not None and bool(state.lessons)
        ui.learnLabel.setText(self.desk.worded(text))
        ui.learnLabel.setVisible(bool(text))
        hurts = state is not None and state.drafts.hurts
        ui.goBackButton.setText("Go back to the model before" if hurts else "Go back")
        ui.learnCheck.setEnabled(ready)
        ui.learnButton.setEnabled(ready and not self.runs.busy)
        for button in (ui.goBackButton, ui.keepModelButton):
            button.setVisible(learnt)
            button.setEnabled(learnt and not self.runs.busy)


def _left_out(result: Result) -> str:
    """Say which segments are no structures, and so were not learnt."""
    inner = result.segmentation.GetSegmentation()
    names = ", ".join(f"“{inner.GetSegment(s).GetName()}”" for s in result.own_segments)
    return f" Not learnt, as no structures: {names}. Add a structure… takes them in." * bool(names)
