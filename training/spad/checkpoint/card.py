"""What a checkpoint says of itself: classes, network, schedule, input, sampling, origin, scores.

A card is read before torch is loaded, and from files of unknown origin. So this module imports
neither torch nor NumPy, and every value is checked when a card is made: a hostile card can ask for
nothing that hurts, and what is refused is refused in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from spad.checkpoint.labels import MAX_CLASSES, LabelClass
from spad.checkpoint.network_config import NetworkConfig
from spad.checkpoint.schema import Checked, Within, from_json, plain, short

__all__ = [
    "FORMAT",
    "NOTICE",
    "Card",
    "InputConfig",
    "NetworkConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "joined_records",
]

FORMAT = 1
"""Version of the card; a reader refuses what is newer than itself."""
_MAX_ATTENDED = 2**20  # pixels; attention at stride 8 compares the pairs of a 64th of them
NOTICE = "For research use only. Not a medical device."

Name = Annotated[str, Within(1, 80)]
Side = Annotated[int, Within(32, 4096)]
_LARGEST_INPUT = 2048 * 2048
Percentile = Annotated[float, Within(0, 100)]
Steps = Annotated[int, Within(1, 4000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig(Checked):
    """Cosine noise schedule: T steps, offset s, largest beta (docs/method.md, section 1)."""

    steps: Steps = 250
    offset: Annotated[float, Within(0, 1)] = 0.008
    beta_max: Annotated[float, Within(0.001, 0.9999)] = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConfig(Checked):
    """How an image becomes the network's input in [-1, 1].

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels, 32 to 4096; together at most 2048 x 2048.
    fit : {"inside", "width"}
        Scale to fit inside `size`, or to its width alone.
    low_percentile, high_percentile : float
        The intensities at these percentiles of the image become -1 and 1; what is outside is
        clipped.
    statistics : mapping
        Of the training inputs (heights, widths, histogram, spacing), to recognise images that are
        far from them. Free-form.
    """

    size: tuple[Side, Side] = (256, 256)
    fit: Literal["inside", "width"] = "inside"
    low_percentile: Percentile = 0.5
    high_percentile: Percentile = 99.5
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def _check(self) -> None:
        if math.prod(self.size) > _LARGEST_INPUT:
            raise ValueError(
                f"input.size {self.size} is {math.prod(self.size) / 1e6:.1f} million pixels, more "
                f"than {_LARGEST_INPUT / 1e6:.1f} million, with which one step takes minutes; give "
                "a smaller one"
            )
        if self.low_percentile >= self.high_percentile:
            raise ValueError(
                f"input: low_percentile {self.low_percentile} is not below high_percentile "
                f"{self.high_percentile}; give a range that holds intensities"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig(Checked):
    """Settings with which the model is used when nobody asks for others.

    Parameters
    ----------
    steps : int
        Reverse steps of a chain.
    samples : int
        Chains of an ensemble, 1 to 64.
    grid : {"uniform", "log-snr", "learnt"}
        Where the steps lie in 1..T.
    times : tuple of int or None
        Of the learnt grid (`spad tune`): the times themselves, falling from T, one a step. None for
        the others, and then not in the file: readers older than the learnt grid refuse the key.
    temperature : float
        Divisor of the final logits, fitted on validation images; it changes no draw.
    first : {"encoder", "denoiser"}
        Who tells p(x_0) at t = T, where x_T says nothing: the condition encoder's own logits, which
        cost no pass of the denoiser, or the denoiser. A network without such logits asks the
        denoiser.
    coherence_px : int
        Length over which neighbours agree in the first draw of a chain, in pixels of the network's
        grid; 0: each pixel is drawn by itself. See :mod:`spad.chain.coherent_draws`.
    mirrored : bool or None
        Whether an image is also encoded mirrored left to right, and the two results averaged, which
        takes what only one of them shows for less certain. None: no, and not in the file; nor are
        the next two.
    odds : float or None
        A structure is drawn where its mean probability, so many times over, exceeds the
        background's: more than 1 finds more. None: 1.
    peak : float or None
        A part of a structure is left out where its mean probability nowhere reaches this. See
        :mod:`spad.inference.ensemble`.
    """

    steps: Steps = 3
    samples: Annotated[int, Within(1, 64)] = 8
    grid: Literal["uniform", "log-snr", "learnt"] = "uniform"
    times: tuple[Steps, ...] | None = None
    temperature: Annotated[float, Within(0.01, 100)] = 1.0
    first: Literal["encoder", "denoiser"] = "encoder"
    coherence_px: Annotated[int, Within(0, 4096)] = 0
    mirrored: bool | None = None
    odds: Annotated[float, Within(0.01, 100)] | None = None
    peak: Annotated[float, Within(0, 1)] | None = None

    def _check(self) -> None:
        times = self.times or ()
        if (self.grid == "learnt") != bool(times):
            raise ValueError(
                f"sampling: grid is {self.grid!r} with {len(times)} times; the learnt grid has "
                "times and no other has: give both, or neither"
            )
        for before, after in pairwise(times):
            if before <= after:
                raise ValueError(
                    f"sampling: the times have {after} after {before}; sort them, largest first, "
                    "each once"
                )
        if times and len(times) != self.steps:
            raise ValueError(
                f"sampling: {len(times)} times for {self.steps} steps; set steps to {len(times)}, "
                f"or give {self.steps} times"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Card(Checked):
    """What a checkpoint says of itself.

    Parameters
    ----------
    name : str
        Name of the model, 1 to 80 printable characters.
    classes : tuple of LabelClass
        2 to 64, values 0 (background), 1, 2, ... in this order, each with a name of its own.
    network, schedule, input, sampling : dataclasses of this module
    training : mapping
        Method, preset, steps, seed, command, `data` (a list of name, licence, source), `learnt`
        (a list of what each lesson was of), `licence` of the weights. Free-form.
    scores : mapping
        What was measured, and on what. Free-form; a score that does not exist is None.
    notice : str
        Shown wherever the model is used.

    Raises
    ------
    ValueError
        A value of the wrong type or outside its limits; the message names it and the remedy.
    """

    name: Name
    classes: Annotated[tuple[LabelClass, ...], Within(2, MAX_CLASSES)]
    network: NetworkConfig
    schedule: ScheduleConfig
    input: InputConfig
    sampling: SamplingConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    notice: Annotated[str, Within(0, 500)] = NOTICE

    @property
    def phantoms_only(self) -> tuple[str, ...]:
        """Structures that no annotated case has taught, by the mappings of the training's folders.

        A folder with an empty mapping has classes of the model's names, so that it taught all.
        """
        stored = self.training.get("mapping")
        found = [*stored.values()] if isinstance(stored, Mapping) else []
        if not found or not all(isinstance(one, Mapping) and one for one in found):
            return ()
        return tuple(
            c.name
            for c in self.classes[1:]
            if any(c.name in one for one in found) and not any(one.get(c.name) for one in found)
        )

    def _check(self) -> None:
        if (values := [c.value for c in self.classes]) != list(range(len(values))):
            raise ValueError(
                f"card: class values {values} are not 0, 1, 2, ... in this order; renumber them, "
                "background first"
            )
        names = [c.name for c in self.classes]
        if repeated := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"card: class names {repeated} are given twice; rename one of each")
        if any(side % self.network.stride for side in self.input.size):
            raise ValueError(
                f"card: input size {self.input.size} is not a multiple of the network's stride "
                f"{self.network.stride}; round it up, or take levels off the network"
            )
        # Norms over a map's own pixels need two of them, also where a B-scan fills one side only.
        if self.network.first_stride == 1 and min(self.input.size) < 2 * self.network.stride:
            raise ValueError(
                f"card: input size {self.input.size} is below {2 * self.network.stride} pixels, "
                f"twice the stride of this {self.network.kind}; raise it, or take levels off the "
                "network"
            )
        if self.network.kind == "concat" and math.prod(self.input.size) > _MAX_ATTENDED:
            raise ValueError(
                f"card: input size {self.input.size} is {math.prod(self.input.size)} pixels, a "
                f"concat network, where each attends to all, takes {_MAX_ATTENDED}; lower it"
            )
        if self.sampling.steps > self.schedule.steps:
            raise ValueError(
                f"card: sampling takes {self.sampling.steps} steps, the schedule has only "
                f"{self.schedule.steps}; lower sampling.steps"
            )
        if self.sampling.times and self.sampling.times[0] != self.schedule.steps:
            raise ValueError(
                f"card: the first of the sampling times is {self.sampling.times[0]}, but chains "
                f"start from noise, at T = {self.schedule.steps}; begin with that"
            )

    def as_json(self) -> dict[str, Any]:
        """Give the card as plain JSON values, with its `format`; `from_json` takes them back."""
        return {"format": FORMAT, **plain(self)}

    @classmethod
    def from_json(cls, obj: Any) -> Self:
        """Card from parsed JSON.

        Parameters
        ----------
        obj : mapping
            As `as_json` gives it; trusted in nothing.

        Returns
        -------
        Card

        Raises
        ------
        ValueError
            Not a card, of a newer format, with unknown or missing keys or values out of bounds.
        """
        if not isinstance(obj, Mapping):
            raise ValueError(f"card: {short(obj)} is not a JSON object; use SPAD's own files")
        version = obj.get("format")
        if type(version) is not int or version < 1:
            raise ValueError(
                f"card: format {short(version)} is not a positive integer; use SPAD's own files"
            )
        if version > FORMAT:
            raise ValueError(
                f"card: format {short(version)} was made by a newer SPAD (this one reads up to "
                f"{FORMAT}); update napari-spad"
            )
        card: Self = from_json(cls, {k: v for k, v in obj.items() if k != "format"}, "card")
        return card

    def text(self) -> str:
        """Write the card for a person: plain text, control characters escaped."""
        network, given, use = self.network, self.input, self.sampling
        sampling = (
            f"{use.steps} steps, {use.samples} samples, {use.grid} grid"
            + (f" (t = {', '.join(map(str, use.times))})" if use.times else "")
            + (f", coherent over {use.coherence_px} pixels" if use.coherence_px else "")
        )
        if not network.diffuses:
            sampling = "one label map, its uncertainty that of one pass"
        rows = {
            "Classes": ", ".join(f"{c.value} {c.name}" for c in self.classes),
            "Network": network.text(),
            "Input": f"{given.size[0]} x {given.size[1]} pixels (fit: {given.fit}), percentiles "
            f"{given.low_percentile:g} to {given.high_percentile:g}",
            "Schedule": f"cosine, T = {self.schedule.steps}",
            "Sampling": f"{sampling}, temperature {use.temperature:g}"
            + (", also mirrored" if use.mirrored else "")
            + (f", structures at odds of {use.odds:g}" if use.odds else "")
            + (f", parts that reach {use.peak:g}" if use.peak else ""),
        }
        lines = [self.name, self.notice, ""]
        lines += [f"{key:<10}{value}" for key, value in rows.items()]
        for title, content in (("Training", self.training), ("Scores", self.scores)):
            lines += ["", title, *(_outline(content, "  ") or ["  not stated"])]
        return "\n".join(
            "".join(c if c.isprintable() else ascii(c)[1:-1] for c in s) for s in lines
        )


def _outline(content: Mapping[str, Any], indent: str) -> list[str]:
    """Lines for a person: a mapping is indented, each mapping of a list is an item of it."""
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *_outline(value, indent + "  ")]
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            lines.append(f"{indent}{key}")
            for item in value:
                first, *rest = _outline(item, indent + "    ") or [""]
                lines += [f"{indent}  - {first.lstrip()}", *rest]
        else:
            shown = ", ".join(map(_brief, value)) if isinstance(value, list) else _brief(value)
            lines.append(f"{indent}{key}: {shown}")
    return lines


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def joined_records(*lists: object) -> list[dict[str, Any]]:
    """`data` or `learnt` of several cards as one list: what they have in common, once.

    Parameters
    ----------
    *lists : object
        As they stand in the cards, which are free-form there: what is no list of records has none.
    """
    found: list[dict[str, Any]] = []
    for one in lists:
        known = list(found)
        for record in one if isinstance(one, list) else []:
            if record in known:
                known.remove(record)
            elif isinstance(record, dict):
                found.append(record)
    return found
