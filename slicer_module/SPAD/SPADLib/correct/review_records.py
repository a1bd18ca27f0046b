"""Which B-scan to look at next, and what became of the others: kept with the scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from spad.annotation import STATES, Queue, State, check_sum, expected_error, taught_by_phantoms
from SPADLib.desk import numbered
from SPADLib.scene import PERCENT, REVIEW, Result, kept

__all__ = ["Review"]


class Review:
    """A result's B-scans by expected error (`spad.annotation.expected_errors`), with their states.

    Parameters
    ----------
    result : Result

    Attributes
    ----------
    queue : spad.annotation.review_queue.Queue
        Its places are ``(B-scan,)``.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.queue = Queue()
        self._spots: dict[int, tuple[int, int] | None] = {}
        self._accepted: dict[int, int] = {}
        self._sums: dict[int, int] = {}  # of the labels as last seen, to notice edits
        for bscan, state, accepted in _kept(result):
            self.queue.state[(bscan,)] = state
            if accepted is not None:
                self._accepted[bscan] = accepted

    # ------------------------------------------------------------------ judging

    def judge(self, bscans: Iterable[int] | None = None) -> Generator[int, None, None]:
        """Judge B-scans one by one, as a timer pulls; all that were segmented by default.

        Yields
        ------
        int
            The B-scan that was judged.
        """
        labels, uncertainty = self.result.labels(), self.result.uncertainty()
        aside = taught_by_phantoms(self.result.classes, self.result.provenance)
        by_hand = cache(partial(self.result.by_hand, labels))
        for bscan in sorted(self.result.segmented if bscans is None else bscans):
            share = uncertainty[bscan].astype(np.float32) / PERCENT
            expected = expected_error(labels[bscan], share, len(self.result.classes), aside)
            self.queue.put((bscan,), expected.error, expected.shown)
            self._spots[bscan] = expected.spot
            self._follow(bscan, labels[bscan], by_hand, new=bscan not in self._sums)
            yield bscan
        self._keep()

    def follow(self, labels: NDArray[np.uint8] | None = None) -> list[int]:
        """Look which B-scans were changed since the last look; those that were.

        A B-scan that was accepted and then edited is to be looked at again, unless the edit was
        taken back. What a model wrote is no edit.

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            From `Result.labels`, where it is at hand.
        """
        labels = self.result.labels() if labels is None else labels
        by_hand = cache(partial(self.result.by_hand, labels))
        changed = [b for b in sorted(self._sums) if self._follow(b, labels[b], by_hand, new=False)]
        if changed:
            self._keep()
        return changed

    def _follow(
        self,
        bscan: int,
        labels: NDArray[np.uint8],
        by_hand: Callable[[], NDArray[np.bool_]],
        *,
        new: bool,
    ) -> bool:
        now, place = check_sum(labels), (bscan,)
        before, self._sums[bscan] = self._sums.get(bscan), now
        if not new and before == now:
            return False
        accepted = self._accepted.get(bscan)
        if accepted is not None:
            self.queue.mark(place, "accepted" if now == accepted else "edited")
        elif not new and by_hand()[bscan].any():
            self.queue.mark(place, "edited")
        elif not new and self.queue.state.get(place) == "edited":  # and taken back
            self.queue.mark(place, "seen")
        return not new

    # ------------------------------------------------------------------ what is asked and said

    def next(self, current: int | None = None) -> int | None:
        """Choose the B-scan to look at after the current one; None where all are accepted."""
        place = self.queue.next(None if current is None else (current,))
        return None if place is None else place[0]

    def spot(self, bscan: int) -> tuple[int, int] | None:
        """A pixel (row, column) amid the largest uncertain region of a B-scan."""
        return self._spots.get(bscan)

    def mark(self, bscan: int, state: State) -> None:
        """Say what became of a B-scan; kept with the scene at once.

        Parameters
        ----------
        bscan : int
        state : {"not seen", "seen", "skipped", "edited", "accepted"}
        """
        if state == "accepted":
            self._accepted[bscan] = check_sum(self.result.labels()[bscan])
            self._sums[bscan] = self._accepted[bscan]
        else:
            self._accepted.pop(bscan, None)  # else it would be accepted again in a scene loaded
        self.queue.mark((bscan,), state)
        self._keep()

    def accepted(self) -> set[int]:
        """B-scans that are accepted as they are."""
        return {p[0] for p, state in self.queue.state.items() if state == "accepted"}

    def rows(self) -> list[tuple[int, float, State]]:
        """B-scan, expected error and state of every judged B-scan, the next to look at first."""
        return [(p[0], self.queue.error[p], self.queue.state[p]) for p in self.queue.ranked()]

    def summary(self) -> str:
        """How far the review is, in words."""
        count = len(self.queue.error)
        if not count:
            return "Nothing is segmented yet."
        done = self.queue.count("accepted")
        uncertain = sum(self.queue.uncertain(p) for p in self.queue.error)
        more = f"; {uncertain} likely to be poor" if uncertain else ""
        teacher = self.queue.teacher()
        if teacher is not None:
            most = numbered(teacher[0])
            more += f". B-scan {most} shows most: to let the model learn, begin there"
        return f"{done} of {count} B-scans accepted{more}."

    def _keep(self) -> None:
        states = {
            str(place[0]): [state, self._accepted.get(place[0])]
            for place, state in sorted(self.queue.state.items())
            if state != "not seen"
        }
        self.result.segmentation.SetAttribute(REVIEW, json.dumps(states))


def _kept(result: Result) -> Generator[tuple[int, State, int | None], None, None]:
    """What an earlier session kept, less what makes no sense."""
    for bscan, entry in kept(result.segmentation, REVIEW, {}).items():
        if not (bscan.isdecimal() and int(bscan) < result.depth):
            continue
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] in STATES):
            continue
        yield int(bscan), entry[0], entry[1] if isinstance(entry[1], int) else None
