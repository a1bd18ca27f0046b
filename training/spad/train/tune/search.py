"""The search behind ``spad tune``: measure, learn times, choose, fit the temperature."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from spad.checkpoint import SamplingConfig
from spad.train.tune.bench import Bench
from spad.train.tune.choice import (
    Limits,
    Standing,
    choose,
    fit_temperature,
    halves,
    learn_times,
    some,
    standing,
    worth,
)
from spad.train.tune.measurements import Scan, Summary
from spad.train.tune.progress_and_tables import Progress, say, table, verdict
from spad.train.tune.settings import GRIDS, LONGEST_GRID, Setting

__all__ = ["Tuning"]

_PLACES = (0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of T, where learnt times may lie


@dataclass
class Tuning:
    """One search: choosing on one half of the images, reporting on the other."""

    bench: Bench
    settings: dict[Setting, str]
    scans: list[Scan]
    reference_images: int
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.chosen_on, self.reported_on = halves(self.scans)
        self.reference_on = some(self.chosen_on, self.reference_images)
        self.whole = max(self.settings, key=lambda s: len(s.times))
        self.lengths = sorted({s.coherence_px for s in self.settings})
        # `score` is not for free, and settings are compared in pairs again and again.
        self._summary = cache(lambda s, names: self.bench.summary(s, self._named(names)))

    def _named(self, names: frozenset[str]) -> list[Scan]:
        return [scan for scan in self.scans if scan.sha256 in names]

    def known(self, setting: Setting, scan: Scan) -> bool:
        """As :class:`Bench`."""
        return self.bench.known(setting, scan)

    def summary(self, setting: Setting, scans: Sequence[Scan]) -> Summary:
        """As :class:`Bench`, remembered."""
        found: Summary = self._summary(setting, frozenset(scan.sha256 for scan in scans))
        return found

    def run(self, learn: int) -> tuple[SamplingConfig, dict[str, Any]]:
        """Measure, choose, print; what to use, and what the card says of it."""
        alone = self.chosen_on == self.reported_on
        say(
            f"{len(self.scans)} images; the whole chain of {len(self.whole.times)} steps on "
            f"{len(self.reference_on)} of them"
            + (", which is all it is compared on" if len(self.scans) > 1 else "")
        )
        say(
            "one patient: the choice is made and reported on the same images, so its scores flatter"
            if alone
            else f"chosen on {len(self.chosen_on)} images, reported on {len(self.reported_on)} of "
            "other patients"
        )
        self._measure_grids()
        learnt = self._learn(range(2, min(learn, len(self.whole.times)) + 1))
        named = self.settings = {**self.settings, **learnt}
        self._measure("learnt times on the other half", learnt, self.reported_on)
        at = {s: self._standing(s) for s in named}
        chosen, fits = choose(at, {s: self._energy(s) for s in named}, self.limits)
        use = chosen
        if chosen in self._long():
            say(
                f"{len(chosen.times)} steps are too dear to run on other images and to fit a "
                f"temperature: it stays {chosen.temperature:g}"
            )
            self.reported_on = self.reference_on
        else:
            use = replace(chosen, temperature=self._temperature(chosen, fits))
            self._measure("the chosen setting", dict.fromkeys((chosen, use)), self.scans)
        cooled = {use: named[chosen]} if use != chosen else {}

        rows = {**named, **cooled}
        print(f"On the {len(self.reference_on)} images of the whole chain:\n")
        warm = self.whole.temperature
        print(table(self, rows, self.reference_on, warm))
        print(f"\nOn {len(self.scans)} images:\n")
        print(table(self, rows, self.scans, warm))
        before, after = (
            self.summary(s, self.reported_on) for s in (replace(use, temperature=warm), use)
        )
        where = _reported(self.reported_on, self.chosen_on)
        at_use = self._standing(use)
        print(f"\n{verdict(use, fits, at_use, self.limits, warm, before, after, where)}")
        return self._config(use, named[chosen]), self._facts(use, fits)

    def _standing(self, setting: Setting) -> Standing:
        return standing(self, setting, self.settings, self.whole, self.chosen_on)

    def _energy(self, setting: Setting) -> float:
        scans = [scan for scan in self.chosen_on if self.bench.known(setting, scan)]
        return self.summary(setting, scans).energy

    def _measure(self, what: str, settings: Iterable[Setting], scans: Sequence[Scan]) -> None:
        """Measure settings on images, image by image, so that a busy minute hits all alike."""
        todo = [(s, scan) for scan in scans for s in settings if not self.bench.known(s, scan)]
        progress = Progress(what, sum(s.passes for s, _ in todo))
        self.bench.tick = progress.tick
        for setting, scan in todo:
            self.bench.measure(setting, [scan])
        progress.end()

    def _measure_grids(self) -> None:
        short = [s for s in self.settings if s not in self._long()]
        self._measure("named grids", short, self.scans)
        self._measure("long chains", self._long(), self.reference_on)

    def _long(self) -> list[Setting]:
        return [s for s in self.settings if len(s.times) > LONGEST_GRID]

    def _learn(self, numbers: Iterable[int]) -> dict[Setting, str]:
        """Learn times for each number of steps on the half to choose on."""
        learnt: dict[Setting, str] = {}
        total = len(self.whole.times)
        candidates = sorted({max(1, round(total * place)) for place in _PLACES})
        for number, length in itertools.product(numbers, self.lengths):
            alike = replace(self.whole, coherence_px=length)
            starts = [s.times for s in self.settings if len(s.times) == number]
            if not starts:
                spaced = [total - i * total // number for i in range(number)]
                starts = [tuple(spaced)]

            def value(times: tuple[int, ...], alike: Setting = alike) -> tuple[int, float, float]:
                one = replace(alike, times=times)
                if not all(self.bench.known(one, scan) for scan in self.chosen_on):
                    self._measure(f"learning {len(times)} times", [one], self.chosen_on)
                found = self.summary(one, self.chosen_on)
                return worth(self._standing(one), self.limits, found.energy)

            times = learn_times(value, starts, candidates)
            learnt.setdefault(replace(alike, times=times), "learnt")
        return {s: name for s, name in learnt.items() if s not in self.settings}

    def _temperature(self, chosen: Setting, fits: bool) -> float:
        """The divisor that surprises least on the half to choose on, if nothing is lost by it."""

        def surprise(temperature: float) -> float:
            one = replace(chosen, temperature=temperature)
            self._measure(f"temperature {temperature:g}", [one], self.chosen_on)
            return self.summary(one, self.chosen_on).surprise

        found = fit_temperature(surprise)
        one = replace(chosen, temperature=found)
        gain = surprise(chosen.temperature) - surprise(found)
        if gain <= 0:
            return chosen.temperature
        if fits and not self._standing(one).fits(self.limits):
            say(
                f"temperature {found:g} fits the probabilities best, but costs more Dice or "
                f"diversity than allowed: {chosen.temperature:g} stays"
            )
            return chosen.temperature
        return found

    def _config(self, use: Setting, grid: str) -> SamplingConfig:
        found = use.sampling(self.bench.card.sampling)
        for name in GRIDS:  # which older readers know, unlike a learnt grid's times
            if grid == name:
                return replace(found, grid=name, times=None)
        return found

    def _facts(self, use: Setting, fits: bool) -> dict[str, Any]:
        """What the card keeps: free-form, numbers to four digits."""
        return {
            "chosen on": len(self.chosen_on),
            "within the limits": "yes" if fits else "no: the diversity alone",
            "limits": {"Dice": self.limits.dice, "share of diversity": self.limits.diversity},
            "reported on": len(self.reported_on),
            "report": self.summary(use, self.reported_on).as_json(),
            "on the images of the whole chain": self.summary(use, self.reference_on).as_json(),
            "the whole chain": self.summary(self.whole, self.reference_on).as_json(),
            "samples": use.samples,
            "settings measured": len({key for _, key in self.bench.done}),
        }


def _reported(reported_on: Sequence[Scan], chosen_on: Sequence[Scan]) -> str:
    number = len(reported_on)
    if set(reported_on) <= set(chosen_on):
        return f"On {number} of these"
    return f"On the {number} images of other patients"
