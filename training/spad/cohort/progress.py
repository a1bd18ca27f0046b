"""How far a cohort is, how many failed, and how long it will take yet."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

__all__ = ["Progress", "count"]

_REMEMBERED = 256  # files whose pace tells what comes


def count(number: int, noun: str = "") -> str:
    """A number for a person: 10 000 files."""
    return f"{number:,}".replace(",", " ") + (f" {noun}{'s' * (number != 1)}" if noun else "")


class Progress:
    """Counts outcomes; says so at most every few seconds.

    Parameters
    ----------
    total : int
    say : callable
        Takes a line.
    every_s : float
        Between two lines.
    clock : callable
    """

    def __init__(
        self,
        total: int,
        say: Callable[[str], None],
        *,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.say, self.every_s, self.clock = total, say, every_s, clock
        self.counts: Counter[str] = Counter()
        self._ends: deque[float] = deque([clock()], _REMEMBERED)
        self._said = clock()

    def update(self, state: str) -> None:
        """Count a file: "done", "skipped" or "failed"."""
        self.counts[state] += 1
        if state != "skipped":  # what was done before says nothing of the pace
            self._ends.append(self.clock())
        self.tick()

    def tick(self) -> None:
        """Say how far it is, if it is time."""
        if self.clock() - self._said >= self.every_s:
            self._said = self.clock()
            self.say(self.text())

    def text(self) -> str:
        """How far it is, in words."""
        done = sum(self.counts.values())
        words = [f"{count(done)} of {count(self.total, 'file')}"]
        for state, said in (("skipped", "done before"), ("failed", "failed")):
            if number := self.counts[state]:
                words.append(f"{count(number)} {said}")
        took = self.clock() - self._ends[0]
        if (ends := len(self._ends) - 1) and took > 0 and done < self.total:
            pace = ends / took
            words += [f"{pace:.2g} files/s", f"{_duration((self.total - done) / pace)} left"]
        return ", ".join(words)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
