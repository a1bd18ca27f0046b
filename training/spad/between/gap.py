"""Which B-scans lie between two that are right, and what to say where there are none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Gap", "gaps", "nothing_between"]


@dataclass(frozen=True)
class Gap:
    """B-scans between two accepted ones, by their numbers from 0.

    Parameters
    ----------
    before, after : int
        The accepted ones.
    """

    before: int
    after: int

    @property
    def numbers(self) -> range:
        """The B-scans between them; there is at least one."""
        return range(self.before + 1, self.after)

    def share(self, number: int) -> float:
        """How far a B-scan lies on the way from the first to the second, in 0..1."""
        return (number - self.before) / (self.after - self.before)


def gaps(accepted: Collection[int], here: int | None = None) -> tuple[Gap, ...]:
    """Find what lies between accepted B-scans.

    Parameters
    ----------
    accepted : collection of int
        Their numbers.
    here : int, optional
        Only the gap in which this B-scan lies, or those beside it where it is accepted itself; all
        if None.
    """
    known = sorted(set(accepted))
    found = [Gap(a, b) for a, b in pairwise(known) if b - a > 1]
    return tuple(g for g in found if here is None or g.before <= here <= g.after)


def nothing_between(accepted: Collection[int], here: int | None = None, first: int = 1) -> str:
    """Say why there is nothing to fill; empty where there is.

    Parameters
    ----------
    accepted, here
        As of :func:`gaps`.
    first : int
        What the host calls the first B-scan.
    """
    if gaps(accepted, here):
        return ""
    known = sorted(set(accepted))
    if len(known) < 2:
        one = f"only B-scan {known[0] + first} is" if known else "none is"
        return (
            "What lies between two accepted B-scans can be filled: accept one on either side first "
            f"({one} so far)."
        )
    if here is None or not gaps(known):
        return "The accepted B-scans are next to each other: nothing lies between them."
    if known[0] <= here <= known[-1]:
        return f"Nothing lies between B-scan {here + first} and the accepted ones beside it."
    return (
        f"B-scan {here + first} does not lie between two accepted ones: none is accepted "
        f"{'before' if here < known[0] else 'after'} it."
    )
