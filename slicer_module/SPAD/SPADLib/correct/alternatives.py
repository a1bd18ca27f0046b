"""Stepping through what the samples of the ensemble say of a structure, and taking one."""

from __future__ import annotations

import numpy as np

from spad.annotation import Alternative, alternatives
from SPADLib.desk import numbered
from SPADLib.scene import Change, Result

__all__ = ["Alternatives"]


class Alternatives:
    """What the samples of a B-scan say of one structure, to step through and to take.

    Parameters
    ----------
    result : Result
    bscan : int
    value : int
        Class value of the structure.

    Raises
    ------
    ValueError
        The B-scan's samples are not at hand, or say nothing else.
    """

    def __init__(self, result: Result, bscan: int, value: int) -> None:
        samples = result.samples.get(bscan)
        if samples is None:
            raise ValueError(
                f"The samples of B-scan {numbered(bscan)} are not at hand: they last as long as "
                "the session. Segment it again with the same seed to have them"
            )
        labels = result.labels()
        self.result, self.bscan, self.value = result, bscan, value
        self.now = int(np.count_nonzero(labels[bscan] == value))
        self.samples = len(samples)
        self.found: list[Alternative] = alternatives(
            np.array(labels[bscan]), samples, value, result.by_hand(labels)[bscan]
        )
        self.name = next(c.name for c in result.classes if c.value == value)
        if not self.found:
            raise ValueError(
                f"All {self.samples} samples of B-scan {numbered(bscan)} agree with what "
                f"{self.name} is now: there is no alternative"
            )
        self.at = next((n for n, a in enumerate(self.found) if a.pixels >= self.now), 0)

    def step(self, by: int) -> Alternative:
        """Go to the next larger (1) or smaller (-1) alternative, round and round."""
        self.at = (self.at + by) % len(self.found)
        return self.found[self.at]

    @property
    def text(self) -> str:
        """The alternative at hand, in words."""
        one = self.found[self.at]
        return (
            f"{self.name}, alternative {self.at + 1} of {len(self.found)}: {one.pixels:,} pixels "
            f"(now {self.now:,}), {one.votes} of {self.samples} samples"
        )

    def take(self) -> Change:
        """Put it into the segmentation, as a person's own choice: later sampling keeps it."""
        return self.result.put(self.bscan, self.found[self.at].labels)
