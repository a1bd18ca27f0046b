"""The queue of a server: each token has its turn, and within it the runs in their order."""

from __future__ import annotations

import threading
from collections import deque

from spad.serving.limits import Limits, Refused
from spad.serving.runs import Run

__all__ = ["FairQueue"]


class FairQueue:
    """Runs that wait, handed out token by token.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[int, deque[Run]] = {}  # in the order of their turns
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def refuse_full(self, owner: int) -> None:
        """Refuse a run that would not be taken.

        Raises
        ------
        Refused
        """
        with self._changed:
            mine, limits = len(self._waiting.get(owner, ())), self._limits
            if mine >= limits.waiting_each:
                raise Refused(
                    429,
                    "queue",
                    f"{mine} runs of this token wait already, and {limits.waiting_each} may: wait "
                    "for one to end",
                )
            if len(self) >= limits.waiting:
                raise Refused(
                    503,
                    "queue",
                    f"its queue is full with {limits.waiting} runs: try again in some minutes, or "
                    "choose another device",
                )

    def put(self, run: Run) -> int:
        """Take a run; how many come before it at most."""
        with self._changed:
            self._waiting.setdefault(run.owner, deque()).append(run)
            self._changed.notify()
            return len(self) - 1

    def take(self, timeout: float) -> Run | None:
        """The next run; None where there is none for so many seconds."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout)
            if not self._waiting:
                return None
            owner = next(iter(self._waiting))
            mine = self._waiting.pop(owner)
            run = mine.popleft()
            if mine:
                self._waiting[owner] = mine  # to the end: now the others have their turn
            return run

    def drop(self, run: Run) -> None:
        """Take a run out again, if it is there."""
        with self._changed:
            mine = self._waiting.get(run.owner)
            if mine is not None and run in mine:
                mine.remove(run)
                if not mine:
                    del self._waiting[run.owner]
