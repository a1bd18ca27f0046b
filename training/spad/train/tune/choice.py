"""The choice of a sampling: what counts as losing nothing, and a search for the times to visit.

Settings are compared on the images that both were measured on, never on different ones: the whole
chain is dear and measured on few images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy import optimize

from spad.train.tune.measurements import Scan, Summary
from spad.train.tune.settings import Setting

__all__ = [
    "Book",
    "Limits",
    "Standing",
    "choose",
    "fit_temperature",
    "halves",
    "learn_times",
    "some",
    "standing",
    "worth",
]


class Book(Protocol):
    """What was measured."""

    def known(self, setting: Setting, scan: Scan) -> bool:
        """Whether a setting was measured on an image."""
        ...

    def summary(self, setting: Setting, scans: Sequence[Scan]) -> Summary:
        """Sum up a setting on images."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the cheapest setting may lose.

    ``dice``: of pooled mean Dice, in 0..1; ``diversity``: the share of the whole chain's to keep,
    and one over it the most.
    """

    dice: float = 0.003
    diversity: float = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """One setting among others.

    ``lost``: how far its pooled mean Dice is below the best of them; ``spread``: its diversity as a
    share of the whole chain's, 1 where that has none.
    """

    lost: float
    spread: float

    def fits(self, limits: Limits) -> bool:
        """Whether it is within both limits."""
        return self.keeps_dice(limits) and self.keeps_diversity(limits)

    def keeps_dice(self, limits: Limits) -> bool:
        """Whether its Dice is (a rounding error aside)."""
        return self.lost <= limits.dice + 1e-9

    def keeps_diversity(self, limits: Limits) -> bool:
        """Whether its diversity is: neither too little nor, as speckle makes it, too much."""
        return self.likeness >= limits.diversity

    @property
    def likeness(self) -> float:
        """1 where its diversity is the whole chain's, less where it is less or more."""
        return min(self.spread, 1 / self.spread) if self.spread > 0 else 0.0


def standing(
    book: Book,
    setting: Setting,
    others: Iterable[Setting],
    whole: Setting,
    scans: Sequence[Scan],
) -> Standing:
    """Compare a setting with others, with each on the images of `scans` that both have.

    Parameters
    ----------
    book : Book
    setting : Setting
    others : iterable of Setting
        The best of them is the measure; `setting` may be among them.
    whole : Setting
        The whole chain, for the diversity.
    scans : sequence of Scan
    """

    def both(other: Setting) -> tuple[Summary, Summary] | None:
        common = [s for s in scans if book.known(setting, s) and book.known(other, s)]
        if not common:
            return None
        return book.summary(setting, common), book.summary(other, common)

    pairs = [pair for other in others if (pair := both(other)) is not None]
    gaps = [theirs.dice - own.dice for own, theirs in pairs]
    spread = math.nan
    if (pair := both(whole)) is not None:
        own, reference = pair
        spread = own.diversity / reference.diversity if reference.diversity > 0 else 1.0
    return Standing(max((g for g in gaps if not math.isnan(g)), default=0.0), spread)


def choose(
    standings: Mapping[Setting, Standing], energies: Mapping[Setting, float], limits: Limits
) -> tuple[Setting, bool]:
    """Give the cheapest setting within the limits, and whether there is one.

    Of equally cheap ones that whose samples are nearest to the annotations and spread as they do
    (least GED²): diversity alone would take speckle. Where none is within both limits, the
    diversity comes first, since chains that do not differ are no ensemble: the cheapest of those
    that keep it and are within the limit of the best Dice among them; where none keeps it, the one
    that loses least.
    """

    def cheapest(some: Iterable[Setting]) -> Setting:
        return min(some, key=lambda s: (s.passes, energies[s]))

    if fit := [s for s, at in standings.items() if at.fits(limits)]:
        return cheapest(fit), True
    if diverse := [s for s, at in standings.items() if at.keeps_diversity(limits)]:
        least = min(standings[s].lost for s in diverse)
        return cheapest(s for s in diverse if standings[s].lost <= least + limits.dice), False
    return min(standings, key=lambda s: (standings[s].lost, s.passes)), False


def worth(at: Standing, limits: Limits, energy: float) -> tuple[int, float, float]:
    """How good a setting is among those of one price; larger is better.

    First within how many of the limits it is, then GED²; where the diversity is not kept, how near
    it is to that.
    """
    kept = 2 * at.keeps_dice(limits) + at.keeps_diversity(limits)
    return kept, 0.0 if at.keeps_diversity(limits) else at.likeness, -energy


def learn_times(
    value: Callable[[tuple[int, ...]], tuple[int, float, float]],
    starts: Sequence[tuple[int, ...]],
    candidates: Sequence[int],
) -> tuple[int, ...]:
    """Coordinate descent over the times of a chain, two rounds at most; the first, T, stays.

    Parameters
    ----------
    value : callable
        What times are worth (:func:`worth`); asked again for the same times, it must remember.
    starts : sequence of tuple of int
        Times of one number, falling; the best of them is where the search begins.
    candidates : sequence of int
        Where each time may move to.
    """
    best = max(starts, key=value)
    for _ in range(2):
        before = best
        for i in range(1, len(best)):
            rest = best[:i] + best[i + 1 :]
            moved = [
                tuple(sorted((*rest, t), reverse=True))
                for t in candidates
                if t not in rest and t < best[0]
            ]
            best = max([best, *moved], key=value)
        if best == before:
            break
    return best


def fit_temperature(surprise: Callable[[float], float]) -> float:
    """Divisor of the logits at which the annotations surprise least (Guo et al., section 4.2).

    Parameters
    ----------
    surprise : callable
        Mean of -log p of the annotated class at a temperature.

    Returns
    -------
    float
        0.5 to 3, to three digits.
    """

    def at(logarithm: float) -> float:
        return surprise(_rounded(math.exp(logarithm)))

    found = optimize.minimize_scalar(
        at, bounds=(math.log(0.5), math.log(3)), method="bounded", options={"xatol": 0.03}
    )
    return _rounded(math.exp(float(found.x)))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def some(scans: Sequence[Scan], count: int) -> list[Scan]:
    """Give at most so many images, evenly spread over all."""
    count = min(count, len(scans))
    return [scans[i * len(scans) // count] for i in range(count)]


def halves(scans: Sequence[Scan]) -> tuple[list[Scan], list[Scan]]:
    """Part the images by patient, every other one; of a single patient all are in both halves."""
    patients = list(dict.fromkeys(scan.patient for scan in scans))
    if len(patients) < 2:
        return list(scans), list(scans)
    first = set(patients[::2])
    return (
        [scan for scan in scans if scan.patient in first],
        [scan for scan in scans if scan.patient not in first],
    )
