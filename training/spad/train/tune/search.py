"""The search behind ``spad tune``: measure, learn times, choose, fit the temperature, tell."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from spad.chain import NoiseSchedule, step_times, times_of_use
from spad.checkpoint import SamplingConfig
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
from spad.train.tune.measurements import Bench, Scan, Setting, Summary

__all__ = ["Tuning", "named_settings", "say"]

_COHERENT = 5  # steps; longer chains forget their first draw
_EVERYWHERE = 25  # steps; longer chains are uniform, and run on the reference's images
_PLACES = (0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of T, where learnt times may lie
_GRIDS: tuple[Literal["uniform"], Literal["log-snr"]] = ("uniform", "log-snr")
_COLUMNS = {
    "Dice, pooled": "dice",
    "per image": "dice_per_image",
    "HD95": "hd95",
    "ECE": "ece",
    "class-wise": "ece_classwise",
    "ECE, contours": "ece_band",
    "class-wise, contours": "ece_band_classwise",
    "diversity": "diversity",
    "GED²": "energy",
    "s": "seconds",
}


def named_settings(
    card: SamplingConfig,
    schedule: NoiseSchedule,
    steps: Iterable[int],
    samples: int,
    coherence_px: int = 0,
) -> dict[Setting, str]:
    """The settings of the named grids by what to call them; the whole chain is the last.

    With ``coherence_px``, short uniform chains also with a first draw that is coherent so far.
    """

    def setting(times: Iterable[int]) -> Setting:
        return Setting(tuple(times), samples, card.temperature, card.first)

    found: dict[Setting, str] = {}
    if coherence_px:
        for number in sorted({n for n in steps if 2 <= n <= _COHERENT}):
            one = setting(step_times(schedule, number, "uniform"))
            found[replace(one, coherence_px=coherence_px)] = "uniform"
    for number in sorted({*steps, schedule.steps}):
        for grid in _GRIDS if number <= _EVERYWHERE else _GRIDS[:1]:
            found.setdefault(setting(step_times(schedule, number, grid)), grid)
    if card.times is not None or card.coherence_px:
        own = replace(setting(times_of_use(schedule, card)), coherence_px=card.coherence_px)
        found.setdefault(own, "the card's")
    return dict(sorted(found.items(), key=lambda item: item[0].passes))


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
        print(self._table(rows, self.reference_on))
        print(f"\nOn {len(self.scans)} images:\n")
        print(self._table(rows, self.scans))
        print(f"\n{self._verdict(use, fits, {**at, use: self._standing(use)})}")
        return self._config(use, named[chosen]), self._facts(use, fits)

    def _standing(self, setting: Setting) -> Standing:
        return standing(self, setting, self.settings, self.whole, self.chosen_on)

    def _energy(self, setting: Setting) -> float:
        scans = [scan for scan in self.chosen_on if self.bench.known(setting, scan)]
        return self.summary(setting, scans).energy

    def _measure(self, what: str, settings: Iterable[Setting], scans: Sequence[Scan]) -> None:
        """Measure settings on images, image by image, so that a busy minute hits all alike."""
        todo = [(s, scan) for scan in scans for s in settings if not self.bench.known(s, scan)]
        progress = _Progress(what, sum(s.passes for s, _ in todo))
        self.bench.tick = progress.tick
        for setting, scan in todo:
            self.bench.measure(setting, [scan])
        progress.end()

    def _measure_grids(self) -> None:
        short = [s for s in self.settings if s not in self._long()]
        self._measure("named grids", short, self.scans)
        self._measure("long chains", self._long(), self.reference_on)

    def _long(self) -> list[Setting]:
        return [s for s in self.settings if len(s.times) > _EVERYWHERE]

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

    def _verdict(self, use: Setting, fits: bool, at: dict[Setting, Standing]) -> str:
        mine, limits = at[use], self.limits
        lines = [] if fits else [
            f"No setting keeps Dice within {100 * limits.dice:g} points of the best and "
            f"{limits.diversity:.0%} of the whole chain's diversity. This is the cheapest of those "
            "that keep the diversity and are within these points of the best of them."
        ]  # fmt: skip
        first = replace(use, temperature=self.whole.temperature)
        before, after = (self.summary(s, self.reported_on) for s in (first, use))
        coherent = f"coherent over {use.coherence_px} px, " if use.coherence_px else ""
        lines += [
            f"Chosen: {len(use.times)} steps at t = {_brief(use.times)}, {coherent}temperature "
            f"{use.temperature:g}; {100 * max(mine.lost, 0):.2f} points of Dice below the best, "
            f"{mine.spread:.0%} of the whole chain's diversity, on the images of the choice.",
            f"{self._reported()}: pooled mean Dice {after.dice:.4f}, diversity "
            f"{after.diversity:.4f}, GED² {after.energy:.4f}; ECE {before.ece:.4f} at temperature "
            f"{first.temperature:g}, {after.ece:.4f} at {use.temperature:g}; class-wise along "
            f"contours {before.ece_band_classwise:.4f}, {after.ece_band_classwise:.4f}.",
        ]
        return "\n".join(lines)

    def _reported(self) -> str:
        number = len(self.reported_on)
        if set(self.reported_on) <= set(self.chosen_on):
            return f"On {number} of these"
        return f"On the {number} images of other patients"

    def _table(self, rows: dict[Setting, str], scans: Sequence[Scan]) -> str:
        """The settings that were measured on all of some images."""
        lines = ["| steps | grid | passes | " + " | ".join(_COLUMNS) + " |"]
        lines.append("|---" * (len(_COLUMNS) + 3) + "|")
        for setting, grid in sorted(rows.items(), key=lambda row: row[0].passes):
            if all(self.bench.known(setting, scan) for scan in scans):
                found = self.summary(setting, scans)
                cells = [_cell(getattr(found, name)) for name in _COLUMNS.values()]
                name = f"| {len(setting.times)} | {self._name(setting, grid)} | {setting.passes} | "
                lines.append(name + " | ".join(cells) + " |")
        return "\n".join(lines)

    def _name(self, setting: Setting, grid: str) -> str:
        named = grid in _GRIDS
        times = "" if named else f" {', '.join(map(str, setting.times))}"
        if setting.coherence_px:
            times += f", coherent {setting.coherence_px} px"
        warm = setting.temperature != self.whole.temperature
        return f"{grid}{times}" + (f", temperature {setting.temperature:g}" if warm else "")

    def _config(self, use: Setting, grid: str) -> SamplingConfig:
        for name in _GRIDS:  # which older readers know, unlike a learnt grid's times
            if grid == name:
                return replace(use.sampling(), grid=name, times=None)
        return use.sampling()

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


def _brief(times: Sequence[int]) -> str:
    shown = list(map(str, times))
    return ", ".join(shown if len(shown) <= 10 else [*shown[:2], "...", shown[-1]])


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}" if value > 1 else f"{value:.4f}"


class _Progress:
    """A line on stderr: how far, and how long it may still take, judged by passes."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.done, self.began = 0, time.monotonic()

    def tick(self, setting: Setting) -> None:
        self.done += setting.passes
        left = (time.monotonic() - self.began) * (self.total / max(1, self.done) - 1)
        print(
            f"\r{self.what}: {self.done}/{self.total} passes, {_duration(left)} left   ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        if self.done:
            print(file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"spad: {text}", file=sys.stderr, flush=True)
