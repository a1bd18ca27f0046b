"""The section “The model's help” of the tab Correct, and Take back in the footer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt

from spad.annotation import left_alone
from SPADLib.correct.alternatives import Alternatives
from SPADLib.correct.around_edits import SCOPES, around_edits, onward, take
from SPADLib.correct.filling import filled, gaps_of
from SPADLib.desk import Desk, Done, RunBox, carried, events, numbered, outlined_png
from SPADLib.host import get
from SPADLib.scene import Change, Result, open_image
from SPADLib.segment import SegmentPanel

__all__ = ["CorrectPanel"]


class CorrectPanel:
    """Works on the rows of the tab Correct in which the model helps.

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
        self._result: Result | None = None
        self._alternatives: Alternatives | None = None
        for scope in SCOPES:
            ui.scopeCombo.addItem(scope)
        for button, call in (
            (ui.resampleButton, self.resample),
            (ui.carryBackButton, lambda: self.carry(-1)),
            (ui.carryButton, lambda: self.carry(1)),
            (ui.fillButton, self.fill),
            (ui.fillAllButton, lambda: self.fill(everywhere=True)),
            (ui.smallerButton, lambda: self.flip(-1)),
            (ui.largerButton, lambda: self.flip(1)),
            (ui.takeButton, self.take_alternative),
            (ui.takeBackButton, self.take_back),
        ):
            button.clicked.connect(lambda *_, call=call: desk.guarded(call))
        ui.structureCombo.currentIndexChanged.connect(lambda *_: self._leave_alternative())
        ui.scopeCombo.currentIndexChanged.connect(lambda *_: self._show_roi())
        desk.on("result", self.refresh)
        desk.on("parameters", self.refresh)
        desk.on("structures", self._offer_structures)
        desk.on("written", self._leave_alternative)
        desk.on("edited", self._on_edited)
        desk.on("view", self._leave_alternative)
        desk.on("busy", self._enable)
        self._show_roi()
        self._enable()

    def refresh(self) -> None:
        """Follow the result at work."""
        result = self.desk.result
        if result is not self._result:
            self.stop()
            self._result = result
            self._offer_structures()
        self.ui.scopeCombo.setItemText(0, self.desk.worded(SCOPES[0]))
        self._enable()

    def _offer_structures(self) -> None:
        combo = self.ui.structureCombo
        for one in () if self._result is None else self._result.classes[1 + get(combo, "count") :]:
            combo.addItem(one.name, one.value)

    def stop(self) -> None:
        """Correct nothing."""
        self._result = self._alternatives = None
        self.ui.structureCombo.clear()
        self.ui.alternativeLabel.setText("")

    def _on_edited(self) -> None:
        self._leave_alternative()
        self.refresh()  # the volume may have gone

    def _show_roi(self) -> None:
        inside = get(self.ui.scopeCombo, "currentIndex") == len(SCOPES) - 1
        for widget in (self.ui.roiSelector, self.ui.roiLabel):
            widget.setVisible(inside)

    def _card(self, result: Result) -> Any:
        """The chosen model's card; ValueError where it is not for this result."""
        card = self.form.models.card()
        if card is None:
            raise ValueError("No model is chosen: pick one, or open a checkpoint file")
        result.refuse_others(card.classes)
        return card

    def resample(self) -> None:
        """Sample the B-scan on screen anew, with what was painted by hand held."""
        result, bscan = self.desk.need_result(), self.desk.bscan()
        scope = SCOPES[get(self.ui.scopeCombo, "currentIndex")]
        self._card(result)
        edits = around_edits(result, bscan, scope, roi=self.desk.parameters.roi)
        self._run(result, range(bscan, bscan + 1), edits)

    def _run(self, result: Result, bscans: range, edits: Mapping[str, Any]) -> None:
        source = open_image(result)
        ask = self.form.request(bscans, edits=edits)

        def on_done(done: Done) -> str:
            self.desk.tell("writing")
            changed, said = take(result, done, edits)
            self.desk.history.add(result, changed)
            self.desk.tell_written(result)
            return said

        self.runs.start(
            events(self.desk.engine, ask, source), [result.segmentation, result.volume], on_done
        )

    def carry(self, direction: int) -> None:
        """Carry the B-scan on screen to its neighbours, one after another."""
        result, bscan = self.desk.need_result(), self.desk.bscan()
        card = self._card(result)
        count = get(self.ui.carrySpin, "value") * direction
        bscans, start, edits_of = onward(result, bscan, count, card.schedule.steps)
        ask = self.form.request(bscans)
        run = carried(self.desk.engine, ask, open_image(result), start, edits_of)
        stay = left_alone(result.accepted() & set(bscans))
        self._start(result, run, f"restarted from B-scan {numbered(bscan)}", stay)

    def fill(self, *, everywhere: bool = False) -> None:
        """Fill the gap between accepted B-scans around the one on screen, or all gaps."""
        result, bscan = self.desk.need_result(), self.desk.bscan()
        self._card(result)
        found = gaps_of(result, None if everywhere else bscan)
        source, ask = open_image(result), self.form.request(found[0].numbers)
        run = filled(self.desk.engine, ask, source, result, found)
        self._start(result, run, "filled between accepted ones", "Look them over.")

    def _start(self, result: Result, run: Any, told: str, more: str) -> None:
        """Run, and take over B-scan by B-scan as one step back."""
        total, taken = [0, 0], list[Change]()

        def on_done(done: Done) -> str:
            if not total[0]:
                self.desk.tell("writing")  # once: one press, one step back
            changed = result.take(done.segmentation, done.first)
            first, taken[len(taken) :] = not taken, changed
            if first:  # one press, one entry: what comes later is in it too
                self.desk.history.add(result, taken)
            self.desk.tell_written(result)
            total[0] += 1
            total[1] += sum(c.pixels for c in changed)
            many = f"{total[0]} B-scan{'s' * (total[0] > 1)}"
            return f"{many} {told}: {total[1]:,} pixels changed. {more}".rstrip()

        self.runs.start(run, [result.segmentation, result.volume], on_done)

    def flip(self, step: int) -> None:
        """Show the next larger (1) or smaller (-1) alternative of the structure that is chosen."""
        result, bscan = self.desk.need_result(), self.desk.bscan()
        value = int(result.classes[1 + get(self.ui.structureCombo, "currentIndex")].value)
        at = self._alternatives
        if at is None or (at.result, at.bscan, at.value) != (result, bscan, value):
            self._alternatives = at = Alternatives(result, bscan, value)
        else:
            at.step(step)
        self.ui.alternativeLabel.setText(f"{at.text}.")
        self.ui.alternativeImage.setVisible(True)
        self._draw(at)
        self._enable()

    def _draw(self, at: Alternatives) -> None:
        pixmap = qt.QPixmap()
        source = open_image(at.result, to_show=True)
        shape = at.found[at.at].labels == at.value
        now = at.result.labels()[at.bscan] == at.value
        pixmap.loadFromData(qt.QByteArray(outlined_png(source, at.bscan, now, shape)))
        self.ui.alternativeImage.setPixmap(pixmap)

    def _leave_alternative(self) -> None:
        if self._alternatives is not None:
            self._alternatives = None
            self.ui.alternativeLabel.setText("")
            self.ui.alternativeImage.setVisible(False)
            self._enable()

    def take_alternative(self) -> None:
        """Put the alternative that is shown into the segmentation, as a person's own choice."""
        at = self._alternatives
        if at is None:
            raise ValueError("No alternative is shown: step to one with the arrows")
        self.desk.tell("writing")
        change = at.take()
        self.desk.history.add(at.result, [change])
        self._leave_alternative()
        self.desk.say(f"{at.name}: alternative taken, {change.pixels:,} pixels changed.")
        self._enable()

    def take_back(self) -> None:
        """Undo what was taken over last; what was painted or accepted since stays."""
        result = self.desk.need_result()
        self.desk.tell("writing")
        back, changed, held = self.desk.history.back(result)
        stay = f"; {changed - back:,} were painted over since, and stay" if back < changed else ""
        said = f"{back:,} pixels are as they were before{stay}. {left_alone(held)}"
        self.desk.say(said.rstrip())
        self.desk.tell_written(result)
        self._enable()

    def _enable(self) -> None:
        ui, ready = self.ui, self.desk.parameters is not None and self.desk.result is not None
        free = ready and not self.runs.busy
        for widget in (ui.smallerButton, ui.largerButton):
            widget.setEnabled(ready)
        for widget in (
            ui.resampleButton, ui.carryButton, ui.carryBackButton, ui.fillButton, ui.fillAllButton,
        ):  # fmt: skip
            widget.setEnabled(free)
        ui.takeButton.setEnabled(self._alternatives is not None)
        ui.takeBackButton.setEnabled(free and bool(self.desk.history.of(self.desk.result)))
