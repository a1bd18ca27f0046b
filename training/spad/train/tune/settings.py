"""Settings of the reverse chain: those of the named grids, and what a card says of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from spad.chain import NoiseSchedule, step_times, times_of_use
from spad.checkpoint import SamplingConfig

__all__ = ["GRIDS", "LONGEST_GRID", "Setting", "named_settings"]

_COHERENT = 5  # steps; longer chains forget their first draw
LONGEST_GRID = 25
"""Steps; longer chains are uniform, and run on the reference's images alone."""
GRIDS: tuple[Literal["uniform"], Literal["log-snr"]] = ("uniform", "log-snr")
"""Grids that a card names without their times."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How chains run: times visited, number of chains, divisor of the logits, the first draw."""

    times: tuple[int, ...]
    samples: int
    temperature: float
    first: Literal["encoder", "denoiser"] = "encoder"
    coherence_px: int = 0

    @property
    def key(self) -> str:
        """What a line of the file is found by."""
        times = "-".join(map(str, self.times))
        coherent = f" ~ {self.coherence_px}" if self.coherence_px else ""
        return f"{self.first} {times} x {self.samples} / {self.temperature:g}{coherent}"

    @property
    def passes(self) -> int:
        """Passes of the denoiser for an image: at T, where all is noise, one or none serves all."""
        return (self.first == "denoiser") + self.samples * (len(self.times) - 1)

    def sampling(self, card: SamplingConfig) -> SamplingConfig:
        """The same as a card says it, which keeps its rule for the label map."""
        return replace(
            card,
            steps=len(self.times),
            samples=self.samples,
            grid="learnt",
            times=self.times,
            temperature=self.temperature,
            first=self.first,
            coherence_px=self.coherence_px,
        )


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
        for grid in GRIDS if number <= LONGEST_GRID else GRIDS[:1]:
            found.setdefault(setting(step_times(schedule, number, grid)), grid)
    if card.times is not None or card.coherence_px:
        own = replace(setting(times_of_use(schedule, card)), coherence_px=card.coherence_px)
        found.setdefault(own, "the card's")
    return dict(sorted(found.items(), key=lambda item: item[0].passes))
