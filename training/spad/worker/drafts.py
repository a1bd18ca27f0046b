"""Whether learning helped: what each model's draft of a B-scan needed until a person accepted it.

The honest test of a model that has learnt an eye is the next B-scan of it: the draft of the model
as it was and that of the learnt one, both against what the person made of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE

__all__ = ["Drafts"]


@dataclass
class Drafts:
    """Drafts of B-scans before and after learning, and what each needed of correction."""

    _before: dict[Hashable, tuple[bytes, tuple[int, ...]]] = field(default_factory=dict)
    _after: dict[Hashable, tuple[bytes, tuple[int, ...]]] = field(default_factory=dict)
    _needed: dict[Hashable, tuple[int, int, int]] = field(default_factory=dict)
    _known: int = 256

    def put(
        self,
        place: Hashable,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        known: int = 256,
    ) -> None:
        """Take in both models' drafts of a B-scan that nobody has corrected, (H, W) each.

        The first draft of it stays the one before learning, however often is learnt. That model
        knew the first `known` structures, background with them: it is not judged where others are.
        """
        self._before.setdefault(place, _packed(before))
        self._after[place] = _packed(after)
        self._known = min(known, self._known)

    def accept(self, place: Hashable, labels: NDArray[np.uint8]) -> bool:
        """Compare a B-scan's drafts with what was accepted; whether there were any."""
        if place not in self._after:
            return False
        before, after = _unpacked(self._before[place]), _unpacked(self._after[place])
        # Where a new structure stands for one that was known, the draft is judged by that one.
        new = (labels >= self._known) & (labels != IGNORE)
        self._needed[place] = (
            int(((before != labels) & ~new).sum()),
            int(((after != labels) & ~new).sum()),
            int(((after != labels) & new).sum()),
        )
        return True

    def forget(self) -> None:
        """The model has gone back: what it needed from now on is another's."""
        self._before.clear()
        self._after.clear()
        self._needed.clear()
        self._known = 256

    @property
    def needed(self) -> tuple[int, int]:
        """Pixels that were changed of the accepted B-scans' drafts: before learning, and now.

        Of the structures that the model knew before; the others it could but leave out.
        """
        before, after, _ = self._sums()
        return before, after

    def _sums(self) -> tuple[int, int, int]:
        before, after, new = np.sum([(0, 0, 0), *self._needed.values()], axis=0).tolist()
        return before, after, new

    @property
    def hurts(self) -> bool:
        """Whether the learnt model's drafts needed more than the old one's."""
        before, after = self.needed
        return after > before

    @property
    def told(self) -> str:
        """What both needed, in words; empty before a B-scan was accepted."""
        if not self._needed:
            return ""
        before, after, new = self._sums()
        of = f"{len(self._needed)} B-scans" if len(self._needed) > 1 else "1 B-scan"
        told = f"The model's drafts of {of} needed {before:,} px of correction, now {after:,} px"
        rest = f"; structures that it did not know before are not counted ({new:,} px now)."
        return told + (rest if new else ".")


def _packed(labels: NDArray[np.uint8]) -> tuple[bytes, tuple[int, ...]]:
    return zlib.compress(np.asarray(labels, np.uint8).tobytes(), 1), labels.shape


def _unpacked(packed: tuple[bytes, tuple[int, ...]]) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(packed[0]), np.uint8).reshape(packed[1])
