"""The panel “Review and correct”: the next doubtful B-scan, and the model's help in mending it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt

from SPADLib.correct.around_edits import SCOPES, Alternatives, around_edits, onward, take
from SPADLib.correct.review import Review
from SPADLib.desk import Desk, Done, RunBox, carried, events, go_to, outlined_png
from SPADLib.host import Cancelled, Pump, get, set_up_table
from SPADLib.scene import Result, open_source
from SPADLib.segment import SegmentPanel

__all__ = ["CorrectPanel"]

LISTED = 50
COLUMNS = ("B-scan", "Expected error", "State")
ABOUT_ERROR = (
    "Expected error: 1 less the mean Dice that the model's uncertainty lets expect. It is good for "
    "a rank, not for a score."
)
LOOK_MS = 700
"""A B-scan that was on screen for so long was seen."""


class CorrectPanel:
    """Works on the section “Review and correct” of the module's panel.

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
        self.review: Review | None = None
        self._alternatives: Alternatives | None = None
        self._judge = Pump(lambda _: None, self._on_judged)
        self._dwell = qt.QTimer()
        self._dwell.setSingleShot(True)
        self._dwell.setInterval(LOOK_MS)
        self._dwell.timeout.connect(self._on_looked)
        for scope in SCOPES:
            ui.scopeCombo.addItem(scope)
        table = ui.reviewTable
        set_up_table(table, COLUMNS)
        table.setToolTip(ABOUT_ERROR)
        table.cellClicked.connect(lambda row, _column: self._on_row(row))
        for button, call in (
            (ui.nextButton, self.next),
            (ui.acceptButton, lambda: self.mark("accepted")),
            (ui.skipButton, lambda: self.mark("skipped")),
            (ui.resampleButton, self.resample),
            (ui.carryBackButton, lambda: self.carry(-1)),
            (ui.carryButton, lambda: self.carry(1)),
            (ui.smallerButton, lambda: self.flip(-1)),
            (ui.largerButton, lambda: self.flip(1)),
            (ui.takeButton, self.take_alternative),
            (ui.takeBackButton, self.take_back),
        ):
            button.clicked.connect(lambda *_, call=call: self._guarded(call))
        ui.structureCombo.currentIndexChanged.connect(lambda *_: self._leave_alternative())
        ui.scopeCombo.currentIndexChanged.connect(lambda *_: self._show_roi())
        desk.on("result", self.refresh)
        desk.on("parameters", self.refresh)
        desk.on("written", self._judge_all)
        desk.on("edited", self._on_edited)
        desk.on("view", self._on_view)
        desk.on("busy", self._enable)
        self._show_roi()
        self._enable()

    def _guarded(self, call: Any) -> None:
        """No error of a person's is lost in a signal."""
        try:
            call()
        except Exception as error:
            self.desk.fail(error)

    # ------------------------------------------------------------------ review

    def refresh(self) -> None:
        """Follow the result at work."""
        result = self.desk.result
        same = self.review is not None and result is self.review.result
        if same or (result is None and self.review is None):
            return
        self.stop()
        if result is not None:
            self.review = Review(result)
            for one in result.classes[1:]:
                self.ui.structureCombo.addItem(one.name, one.value)
            self._judge_all()
        self._enable()

    def stop(self) -> None:
        """Review nothing."""
        self._judge.cancel()
        self._dwell.stop()
        self._alternatives = None
        self.review = None
        self.ui.structureCombo.clear()
        self.ui.alternativeLabel.setText("")
        self.ui.reviewTable.setRowCount(0)
        self.ui.reviewLabel.setText("")

    def _judge_all(self) -> None:
        if self.review is not None:
            self._leave_alternative()
            self._judge.cancel()
            self._judge.start(self.review.judge())

    def _on_judged(self, outcome: BaseException | None) -> None:
        if outcome is not None and not isinstance(outcome, Cancelled):
            self.desk.fail(outcome)
        self._fill()
        self._dwell.start()

    def _on_edited(self) -> None:
        self._leave_alternative()
        try:
            if self.review is not None and self.review.follow(self.desk.labels):
                self._fill()
        except ValueError:
            self.refresh()  # the volume went

    def _on_view(self) -> None:
        self._leave_alternative()
        self._dwell.start()

    def _on_looked(self) -> None:
        if self.review is None or self.desk.result is None:
            return
        bscan = self.desk.bscan()
        if self.review.queue.state.get((bscan,)) == "not seen":
            self.review.mark(bscan, "seen")
            self._fill()

    def _fill(self) -> None:
        if self.review is None:
            return
        rows, table = self.review.rows()[:LISTED], self.ui.reviewTable
        table.setRowCount(len(rows))
        for number, (bscan, error, state) in enumerate(rows):
            tick = "✓ " if state == "accepted" else ""
            for column, text in enumerate((str(bscan + 1), f"{error:.2f}", f"{tick}{state}")):
                table.setItem(number, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        self.ui.reviewLabel.setText(self.review.summary())

    def _on_row(self, row: int) -> None:
        if self.review is not None and row < len(self.review.rows()):
            self._guarded(lambda: self._go(self.review.rows()[row][0]))

    def next(self) -> None:
        """Go to the B-scan that most needs a look, where it is most uncertain."""
        result = self.desk.need_result()
        review = self._need_review()
        if self._judge.busy:
            raise ValueError("The B-scans are still being ranked: press again in a moment")
        bscan = review.next(self.desk.bscan())
        if bscan is None:
            self.desk.say("All other B-scans are accepted.")
            return
        self._go(bscan)
        error = review.queue.error[(bscan,)]
        self.desk.say(f"B-scan {bscan + 1} of {result.depth}: expected error {error:.2f}")

    def _go(self, bscan: int) -> None:
        result, view = self.desk.need_result(), self.desk.view
        if view is None:
            raise ValueError("There is no red slice view: choose a layout with one")
        go_to(view, result.volume, result.layout, bscan, self._need_review().spot(bscan))
        self.desk.tell("view")

    def mark(self, state: Any) -> None:
        """Say what became of the B-scan on screen, and go to the next."""
        self._need_review().mark(self.desk.bscan(), state)
        self.desk.tell("reviewed")
        self._fill()
        self.next()

    def _need_review(self) -> Review:
        self.desk.need_result()
        if self.review is None:
            self.refresh()
        assert self.review is not None  # noqa: S101 - there is a result
        return self.review

    # ------------------------------------------------------------------ the model's help

    def _show_roi(self) -> None:
        inside = get(self.ui.scopeCombo, "currentText") == SCOPES[2]
        for widget in (self.ui.roiSelector, self.ui.roiLabel):
            widget.setVisible(inside)

    def _source(self, result: Result) -> Any:
        made = result.provenance
        inverted = made[-1].get("inverted") if made else None
        return open_source(result.volume, result.layout, inverted=inverted)

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
        scope = get(self.ui.scopeCombo, "currentText")
        self._card(result)
        edits = around_edits(result, bscan, scope, roi=self.desk.parameters.roi)
        self._run(result, range(bscan, bscan + 1), edits)

    def _run(self, result: Result, bscans: range, edits: Mapping[str, Any]) -> None:
        source = self._source(result)
        ask = self.form.request(bscans, edits=edits)

        def on_done(done: Done) -> str:
            changed, said = take(result, done, edits)
            self.desk.history.add(result, changed)
            self.desk.tell("written")
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
        run = carried(self.desk.engine, ask, self._source(result), start, edits_of)
        total = [0, 0]

        def on_done(done: Done) -> str:
            changed = result.take(done.segmentation, done.first)
            self.desk.history.add(result, changed)
            self.desk.tell("written")
            total[0] += 1
            total[1] += sum(c.pixels for c in changed)
            many = f"{total[0]} B-scan{'s' * (total[0] > 1)}"
            return f"{many} restarted from B-scan {bscan + 1}: {total[1]:,} pixels changed."

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
        source = self._source(at.result)
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
        change = at.take()
        self.desk.history.add(at.result, [change])
        self._leave_alternative()
        self.desk.say(f"{at.name}: alternative taken, {change.pixels:,} pixels changed.")
        self._enable()

    def take_back(self) -> None:
        """Undo what was taken over last; what was painted since stays."""
        back, changed = self.desk.history.back()
        stay = f"; {changed - back:,} were painted over since, and stay" if back < changed else ""
        self.desk.say(f"{back:,} pixels are as they were before{stay}.")
        self.desk.tell("written")
        self._enable()

    def _enable(self) -> None:
        ui, ready = self.ui, self.desk.parameters is not None and self.desk.result is not None
        free = ready and not self.runs.busy
        for widget in (ui.nextButton, ui.acceptButton, ui.skipButton, ui.smallerButton):
            widget.setEnabled(ready)
        ui.largerButton.setEnabled(ready)
        for widget in (ui.resampleButton, ui.carryButton, ui.carryBackButton):
            widget.setEnabled(free)
        ui.takeButton.setEnabled(self._alternatives is not None)
        ui.takeBackButton.setEnabled(free and len(self.desk.history) > 0)
