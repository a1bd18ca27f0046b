"""What the review knows of each result: expected errors, states, and the record on the disk."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import Desk, FunctionWorker, GeneratorWorker, Result, annotator, other_data
from napari_spad.layers import Edit, noted, segmented
from spad.cases import file_error

__all__ = ["Bench", "Reviews"]

LOOK_MS = 700
"""A B-scan that was on screen for so long was seen."""
SAVE_MS = 400
BOOK = "reviews.json"

Place = tuple[int, ...]


class Bench:
    """A result under review.

    Attributes
    ----------
    queue : spad.annotation.review_queue.Queue
    spots : dict of place to (row, column) or None
        Where each B-scan is most uncertain.
    hashes : dict of place to str
        By which each B-scan is known in the record.
    """

    def __init__(self) -> None:
        from spad.annotation import Queue

        self.queue = Queue()
        self.spots: dict[Place, tuple[int, int] | None] = {}
        self.hashes: dict[Place, str] = {}


class Reviews(QObject):
    """Judges B-scans in a worker thread as models write them, and follows what becomes of them.

    Parameters
    ----------
    desk : Desk
        The record of reviews is kept in its folder, by the hashes of the B-scans.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._benches: WeakKeyDictionary[Result, Bench] = WeakKeyDictionary()
        self._due: list[tuple[Result, Place]] = []
        self._judge: Any = None
        self._saver: Any = None
        self._loaded = False
        self._dwell = self._timer(LOOK_MS, self._on_looked)
        self._save = self._timer(SAVE_MS, self._start_saving)
        self._open_book()
        desk.accepted = self.accepted
        desk.savers.append(self._save_rest)
        desk.written.connect(self._judge_soon)
        desk.edited.connect(self._on_edited)
        desk.result_changed.connect(self._on_result)
        desk.viewer.dims.events.current_step.connect(self._on_step)
        self._on_result()

    def _timer(self, interval: int, call: Callable[[], None]) -> QTimer:
        timer = QTimer(self, singleShot=True, interval=interval)
        timer.timeout.connect(call)
        return timer

    def bench(self, result: Result) -> Bench:
        """What is known of a result."""
        if result not in self._benches:
            self._benches[result] = Bench()
        return self._benches[result]

    def disconnect_viewer(self) -> None:
        """Let go of the viewer; what is not saved yet is saved now."""
        self._dwell.stop()
        self._due.clear()
        if self._judge is not None:
            self._judge.quit()
        self.desk.viewer.dims.events.current_step.disconnect(self._on_step)
        self._finish_saving()

    # ------------------------------------------------------------------ expected errors

    def _on_result(self, _result: Any = None) -> None:
        if self._annotator != self.book.annotator:
            self._finish_saving()
            self._benches.clear()
            self._open_book()
        for result in self.desk.results:
            if other_data(result):
                continue
            known = self.bench(result).queue.error
            for place in sorted((segmented(result.layer) or set()) - set(known)):
                self._judge_soon(result, place)
        self._on_step()

    def _judge_soon(self, result: Result, place: Place) -> None:
        if (result, place) not in self._due:
            self._due.append((result, place))
        self._start_judging()

    def _start_judging(self) -> None:
        if self._judge is not None or not self._due:
            return
        jobs, self._due = self._due, []
        book = None if self._loaded else self.book
        self._loaded = True
        self._judge = GeneratorWorker(_judged, book, jobs)
        self._judge.yielded.connect(self._on_judged)
        self._judge.finished.connect(self._on_judges_rest)
        self._judge.start()

    def _on_judged(self, event: Any) -> None:
        if isinstance(event, str):
            self.desk.fail(event)
            return
        result, place, expected, check = event
        bench = self.bench(result)
        bench.queue.put(place, expected.error, expected.shown)
        bench.spots[place] = expected.spot
        if sha256 := _sha256(result, place):
            bench.hashes[place] = sha256
        entry = self._entry(bench, place)
        if entry is not None and entry.accepted == check:
            self.mark(result, place, "accepted", entry.accepted)
        elif entry is not None:  # accepted, but with other labels: somebody should look again
            state = "edited" if entry.state == "accepted" else entry.state
            self.mark(result, place, state, entry.accepted)
        self.changed.emit()
        if not self._dwell.isActive():
            self._dwell.start()

    def _on_judges_rest(self, _event: Any = None) -> None:
        self._judge = None
        self._start_judging()

    # ------------------------------------------------------------------ what becomes of a B-scan

    def accept(self, result: Result, place: Place) -> None:
        """Take a B-scan's labels, as they are, for right."""
        self.mark(result, place, "accepted", _check(result, place))
        self.desk.bscan_accepted.emit(result, place)

    def accepted(self, result: Result) -> set[Place]:
        """B-scans of a result that are accepted as they are."""
        state = self.bench(result).queue.state
        return {place for place, what in state.items() if what == "accepted"}

    def skip(self, result: Result, place: Place) -> None:
        """Leave a B-scan to the end."""
        self.mark(result, place, "skipped", self._accepted(result, place))

    def mark(self, result: Result, place: Place, state: Any, accepted: int | None) -> None:
        """Say what became of a B-scan, and put it on record."""
        from spad.annotation import Entry

        bench, entry = self.bench(result), Entry(state, accepted)
        bench.queue.mark(place, state)
        # Without a hash (an engine of one's own) it lasts as long as the session.
        if place in bench.hashes and self.book[bench.hashes[place]] != entry:
            self.book.mark(bench.hashes[place], entry)
            self._save.start()
        self.changed.emit()

    def _on_edited(self, result: Result, edit: Edit) -> None:
        if other_data(result):
            return
        bench = self.bench(result)
        for place in edit.bscans:
            if place not in bench.queue.error:
                continue
            if edit.by_model:  # with its labels came what their model doubted
                self._judge_soon(result, place)
            accepted = self._accepted(result, place)
            if edit.kind == "stroke":
                state = "edited"
            elif accepted is not None:  # taken back to what was accepted?
                state = "accepted" if _check(result, place) == accepted else "edited"
            else:
                state = "edited" if result.hand.mask[place].any() else "seen"
            self.mark(result, place, state, accepted)

    def _on_step(self, _event: Any = None) -> None:
        self._dwell.start()
        self.changed.emit()

    def _on_looked(self) -> None:
        result, place = self.desk.result, self.desk.place()
        if result is not None and self.bench(result).queue.state.get(place) == "not seen":
            self.mark(result, place, "seen", None)

    # ------------------------------------------------------------------ the record

    @property
    def _annotator(self) -> str:
        return annotator(self.desk)

    def _open_book(self) -> None:
        from spad.annotation import ReviewBook

        self.book = ReviewBook(self.desk.folder / BOOK, self._annotator)
        self._loaded = False  # by the worker, before it judges

    def _entry(self, bench: Bench, place: Place) -> Any:
        return self.book[bench.hashes[place]] if place in bench.hashes else None

    def _accepted(self, result: Result, place: Place) -> int | None:
        entry = self._entry(self.bench(result), place)
        return None if entry is None else entry.accepted

    def _start_saving(self) -> None:
        if self._saver is not None:
            self._save.start()  # the one under way may have missed the last mark
        elif self.book.unsaved:
            self._saver = FunctionWorker(_saved, self.book)
            self._saver.returned.connect(self._on_saved)
            self._saver.start()

    def _on_saved(self, said: str) -> None:
        self._saver = None
        if said:
            self.desk.fail(said)

    def _save_rest(self) -> str:
        self._save.stop()
        return _saved(self.book) if self.book.unsaved else ""

    def _finish_saving(self) -> None:
        if said := self._save_rest():
            self.desk.fail(said)


def _judged(book: Any, jobs: Any) -> Generator[Any, None, None]:
    """Judge B-scans one by one; what goes wrong is told in words, and costs no other."""
    from spad.annotation import expected_error, taught_by_phantoms

    try:
        if book is not None and (said := book.load()):
            yield said
    except OSError as error:
        yield f"The record of reviews cannot be read: {file_error(error)}"
    for result, place in jobs:
        try:
            labels = np.asarray(result.layer.data[place])
            uncertainty = np.asarray(result.uncertainty.data[place])
            aside = taught_by_phantoms(result.classes, result.runs)
            expected = expected_error(labels, uncertainty, len(result.classes), aside)
            yield result, place, expected, _check(result, place)
        except Exception as error:
            yield f"The expected error of a B-scan could not be found: {file_error(error)}"


def _check(result: Result, place: Place) -> int:
    """Check sum of a B-scan's labels, without what pads it to the stack's size."""
    from spad.annotation import check_sum

    return check_sum(np.asarray(result.layer.data[result.part(place).region]))


def _sha256(result: Result, place: Place) -> str:
    runs = noted(result.layer.metadata).get("provenance", ())
    return next((str(r.get("image_sha256", "")) for r in runs if tuple(r["bscan"]) == place), "")


def _saved(book: Any) -> str:
    """Save; what the user has to know."""
    try:
        return str(book.save())
    except OSError as error:
        return (
            f"The record of reviews could not be saved: {file_error(error)}. It is tried again "
            "with the next B-scan."
        )
