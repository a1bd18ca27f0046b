"""The review queue: which B-scan an annotator should look at next, and what became of the others.

The worst come first, by expected error (:mod:`spad.annotation.expected_errors`). What was looked at
comes again when all the others were; what was skipped comes last; what was accepted does not come
again, unless it is edited. Who wants the model to learn begins elsewhere: see `Queue.teacher`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

__all__ = ["STATES", "UNCERTAIN", "Place", "Queue", "State"]

Place = tuple[int, ...]
"""Of a B-scan, on the leading axes of its stack."""
State = Literal["not seen", "seen", "skipped", "edited", "accepted"]
STATES: tuple[State, ...] = get_args(State)
UNCERTAIN = 0.5
"""Expected error from which on a B-scan that nobody has dealt with is called uncertain."""


class Queue:
    """B-scans by expected error, with their states.

    Attributes
    ----------
    error : dict of Place to float
        Expected error of each B-scan that can be reviewed.
    state : dict of Place to State
        Of each B-scan that has one other than "not seen".
    shown : dict of Place to int
        Pixels of the structures of each B-scan's draft.
    """

    def __init__(self) -> None:
        self.error: dict[Place, float] = {}
        self.shown: dict[Place, int] = {}
        self.state: dict[Place, State] = {}
        self._visited: set[Place] = set()
        self._begun = False

    def put(self, place: Place, error: float, shown: int = 0) -> None:
        """Take in a B-scan, or its new expected error and draft."""
        self.error[place], self.shown[place] = error, shown
        self.state.setdefault(place, "not seen")

    def mark(self, place: Place, state: State) -> bool:
        """Say what became of a B-scan; whether that is news.

        Raises
        ------
        ValueError
            No such state.
        """
        if state not in STATES:
            raise ValueError(f"{state!r} is no state of a B-scan; choose from {', '.join(STATES)}")
        before, self.state[place] = self.state.get(place, "not seen"), state
        return before != state

    def uncertain(self, place: Place) -> bool:
        """Whether a B-scan is likely to be poor, and nobody has dealt with it."""
        dealt_with = self.state.get(place, "not seen") in ("edited", "accepted")
        return not dealt_with and self.error.get(place, 0.0) >= UNCERTAIN

    def teacher(self) -> Place | None:
        """Choose the B-scan to begin with if the model is to learn: its draft shows most.

        The worst one is a poor beginning: it often shows little, or what the others do not
        (docs/results.md, Which B-scan first).

        Returns
        -------
        Place or None
            None once a B-scan is accepted, and where there is no choice.
        """
        some = [place for place, shown in self.shown.items() if shown]
        if len(some) < 2 or self.count("accepted"):
            return None
        return min(some, key=lambda place: (-self.shown[place], place))

    def ranked(self) -> list[Place]:
        """Every B-scan: those still to be accepted, worst first, then skipped, then accepted."""
        turn = {"skipped": 1, "accepted": 2}
        return sorted(self.error, key=lambda p: (turn.get(self.state[p], 0), -self.error[p], p))

    def next(self, current: Place | None = None) -> Place | None:
        """Choose the B-scan to look at after the current one.

        Each call ends a look: what was current does not come again before the others have. The
        first one does not, for nobody chose what is on screen then.

        Returns
        -------
        Place or None
            None where all B-scans but the current one are accepted.
        """
        if current is not None and self._begun:
            self._visited.add(current)
        self._begun = True
        open_ones = [p for p in self.ranked() if self.state[p] != "accepted" and p != current]
        fresh = self._first(open_ones)
        if fresh is None and open_ones:
            self._visited = set() if current is None else {current}
            fresh = self._first(open_ones)
        return fresh

    def _first(self, places: Iterable[Place]) -> Place | None:
        return next((p for p in places if p not in self._visited), None)

    def count(self, state: State) -> int:
        """How many B-scans are in a state."""
        return sum(self.state[p] == state for p in self.error)
