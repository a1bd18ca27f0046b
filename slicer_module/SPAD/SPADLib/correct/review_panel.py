"""Which B-scan to look at next: the first row of the tab Correct, and the list of all."""

from __future__ import annotations

from typing import Any

import qt

from SPADLib.correct.review_records import Review
from SPADLib.desk import Desk, go_to, isolate, numbered
from SPADLib.host import Cancelled, Pump, one_shot_timer, set_up_table

__all__ = ["ReviewPanel"]

LISTED = 50
COLUMNS = ("B-scan", "Expected error", "State")
ABOUT_ERROR = (
    "Expected error: 1 less the mean Dice that the model's uncertainty lets expect. It is good for "
    "a rank, not for a score. Structures that phantoms alone have taught the model count only "
    "where there are no others."
)
LOOK_MS = 700
"""A B-scan that was on screen for so long was seen."""


class ReviewPanel:
    """Works on the buttons Next, Accept and Skip, and on the list of all B-scans.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets

    Attributes
    ----------
    review : Review or None
        Of the result at work.
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self.review: Review | None = None
        self._judge = Pump(lambda _: None, self._on_judged)
        self._dwell = one_shot_timer(LOOK_MS, self._on_looked)
        table = ui.reviewTable
        set_up_table(table, COLUMNS)
        table.setToolTip(ABOUT_ERROR)
        table.cellClicked.connect(lambda row, _column: self._on_row(row))
        for button, call in (
            (ui.nextButton, self.next),
            (ui.acceptButton, lambda: self.mark("accepted")),
            (ui.skipButton, lambda: self.mark("skipped")),
        ):
            button.clicked.connect(lambda *_, call=call: desk.guarded(call))
        desk.on("result", self.refresh)
        desk.on("parameters", self.refresh)
        desk.on("written", self._judge_all)
        desk.on("edited", self._on_edited)
        desk.on("view", self._dwell.start)
        self._enable()

    def refresh(self) -> None:
        """Follow the result at work."""
        result = self.desk.result
        same = self.review is not None and result is self.review.result
        if not same and not (result is None and self.review is None):
            self.stop()
            if result is not None:
                self.review = Review(result)
                self._judge_all()
        self._enable()

    def stop(self) -> None:
        """Review nothing."""
        self._judge.cancel()
        self._dwell.stop()
        self.review = None
        self.ui.reviewTable.setRowCount(0)
        self.ui.reviewLabel.setText("")

    def _judge_all(self) -> None:
        if self.review is not None:
            self._judge.cancel()
            self._judge.start(self.review.judge())

    def _on_judged(self, outcome: BaseException | None) -> None:
        if outcome is not None and not isinstance(outcome, Cancelled):
            self.desk.fail(outcome)
        self._fill()
        self._dwell.start()

    def _on_edited(self) -> None:
        try:
            if self.review is not None and self.review.follow(self.desk.labels):
                self._fill()
        except ValueError:
            self.refresh()  # the volume went

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
            for column, text in enumerate((numbered(bscan), f"{error:.2f}", f"{tick}{state}")):
                table.setItem(number, column, qt.QTableWidgetItem(text))
        table.setHorizontalHeaderLabels([self.desk.worded(text) for text in COLUMNS])
        table.resizeColumnsToContents()
        self.ui.reviewLabel.setText(self.desk.worded(self.review.summary()))

    def _on_row(self, row: int) -> None:
        rows = [] if self.review is None else self.review.rows()
        if row < len(rows):
            self.desk.guarded(lambda: self._go(rows[row][0]))

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
        isolate(result.segmentation, None)  # a click on a score may have shown one structure alone
        self._go(bscan)
        error = review.queue.error[(bscan,)]
        self.desk.say(f"B-scan {numbered(bscan)} of {result.depth}: expected error {error:.2f}")

    def _go(self, bscan: int) -> None:
        result, view = self.desk.need_result(), self.desk.view
        if view is None:
            raise ValueError("There is no red slice view: choose a layout with one")
        go_to(view, result.volume, result.layout, bscan, self._need_review().spot(bscan))
        self.desk.tell("view")

    def mark(self, state: Any) -> None:
        """Say what became of the B-scan on screen, and go to the next."""
        bscan, result = self.desk.bscan(), self.desk.need_result()
        if bscan not in result.segmented and not result.by_hand()[bscan].any():
            raise ValueError(
                f"B-scan {numbered(bscan)} is not segmented yet: segment it, or paint in it first"
            )
        self._need_review().mark(bscan, state)
        self.desk.tell("reviewed")
        self._fill()
        self.next()

    def _need_review(self) -> Review:
        self.desk.need_result()
        if self.review is None:
            self.refresh()
        assert self.review is not None  # noqa: S101 - there is a result
        return self.review

    def _enable(self) -> None:
        ready = self.desk.parameters is not None and self.desk.result is not None
        for widget in (self.ui.nextButton, self.ui.acceptButton, self.ui.skipButton):
            widget.setEnabled(ready)
