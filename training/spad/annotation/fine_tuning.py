"""Fine-tuning from a front end: the configuration it writes, and what it reads of the run.

A front end never trains: it writes a configuration, starts ``spad train`` as a process, and follows
the file ``progress.jsonl`` in the folder of the run. No torch is needed for any of that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.cases import parsed_json
from spad.checkpoint import Card, left_and_right, plain

__all__ = ["PROGRESS", "Progress", "Row", "Validation", "config_text", "read_progress", "verdict"]

PROGRESS = "progress.jsonl"
"""In the folder of a run: an object a line, each with ``step`` and ``seconds`` since the start."""
FEW_PATIENTS = 5
FEW_IMAGES = 10

BATCH = 2
LEARNING_RATE = 1e-3
ENCODER_FACTOR = 0.0
"""What is pre-trained stays: as in a lesson (docs/method.md, section 11)."""
MOST_STEPS = 1_000_000
MOST_KNOWN = 10**12
"""A larger step is none that a run wrote."""


@dataclass(frozen=True, slots=True)
class Row:
    """A structure's score on the validation cases, or their mean.

    Parameters
    ----------
    name : str
    images : int
        That show the structure.
    dice : float
        Pooled; NaN where it occurs nowhere.
    low, high : float
        Of its 95 % interval (bootstrap over patients); NaN with one patient.
    """

    name: str
    images: int
    dice: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Validation:
    """The scores at a step; step 0 is the checkpoint that the run started from.

    Parameters
    ----------
    step, images, patients : int
    rows : tuple of Row
        The structures.
    mean : Row
    """

    step: int
    images: int
    patients: int
    rows: tuple[Row, ...]
    mean: Row


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    losses : tuple of (int, float)
        Step, and the mean loss of the steps up to it from the point before.
    validations : tuple of Validation
    seconds : float
        Since the run began, at the last line.
    training_seconds : float
        Since its first step.
    steps : int
        Asked for.
    minutes : float
        Asked for; 0: without limit.
    scoring : bool
        The last that is known is that a validation began.
    """

    losses: tuple[tuple[int, float], ...] = ()
    validations: tuple[Validation, ...] = ()
    seconds: float = 0.0
    training_seconds: float = 0.0
    steps: int = 0
    minutes: float = 0.0
    scoring: bool = False

    @property
    def step(self) -> int:
        """The last step that is known."""
        return max([0, *(s for s, _ in self.losses), *(v.step for v in self.validations)])

    @property
    def before(self) -> Validation | None:
        """The scores of the checkpoint that the run started from."""
        first = self.validations[:1]
        return first[0] if first and first[0].step == 0 else None

    @property
    def best(self) -> Validation | None:
        """The scores of ``best.safetensors``: of equal ones, the first."""
        known = [v for v in self.validations if math.isfinite(v.mean.dice)]
        return max(known, key=lambda v: v.mean.dice, default=None)


def config_text(
    card: Card,
    checkpoint: Path,
    cases: Path,
    names: Iterable[str],
    *,
    name: str,
    minutes: float,
    every: int,
    validation: str = "val",
    learning_rate: float = LEARNING_RATE,
) -> str:
    """Write the configuration of a fine-tuning as TOML.

    The network, the input and the sampling are the checkpoint's. What learns, and how fast, is
    as in a lesson (docs/method.md, section 11); the rate does not fall, for the end comes by the
    clock. The starting point is scored too, on the same images.

    Parameters
    ----------
    card : Card
        Of the checkpoint.
    checkpoint, cases : Path
        Where to start from; the case folder.
    names : iterable of str
        Of the case folder's ``labels.json``.
    name : str
        Of the new model.
    minutes : float
        Of training; the last validation comes on top.
    every : int
        Steps between validations.
    validation : str, optional
        The split that is scored.
    learning_rate : float, optional

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The case folder has a class that the checkpoint does not know.
    """
    own = [c.name for c in card.classes]
    names = list(names)
    if unknown := [n for n in names if n not in own]:
        raise ValueError(
            f"the training set has {', '.join(unknown)}, which the model {card.name} does not know "
            f"(it has {', '.join(own)}); choose the model that the set was made with, or another "
            "set"
        )
    sections: dict[str, dict[str, Any]] = {
        "": {
            "name": name,
            "method": str(card.training.get("method", "spad")),
            "init": str(checkpoint.resolve()),
        },
        "classes": {n: [n] for n in own if n in names},
        "data": {
            "folders": [str(cases.resolve())],
            "validation": validation,
            "balance": 0.5,
            "workers": 0,
            "source": "B-scans that a person corrected",
        },
        "input": {k: v for k, v in plain(card.input).items() if k != "statistics"},
        "network": plain(card.network),
        "schedule": plain(card.schedule),
        "sampling": plain(card.sampling),
        "optimiser": {
            "steps": MOST_STEPS,
            "minutes": minutes,
            "batch": BATCH,
            "learning_rate": learning_rate,
            "encoder_factor": ENCODER_FACTOR,
            "warmup": 5,
            "fall": False,
            "ema": 0.98,
        },
        "validation": {
            "before": True,
            "every": every,
            "save_every": MOST_STEPS,
            "samples": card.sampling.samples,
            "steps": card.sampling.steps,
        },
    }
    if left_and_right(names):  # as in a lesson: mirrored, each side would be taught as the other
        sections["augmentation"] = {"flip": False}
    return "\n".join(_section(title, values) for title, values in sections.items())


def _section(title: str, values: Mapping[str, Any]) -> str:
    # Strings, numbers, booleans and lists of them are written alike in JSON and in TOML.
    lines = [f"{_json(key)} = {_json(value)}" for key, value in values.items()]
    return "\n".join([*([f"[{title}]"] if title else []), *lines, ""])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_progress(out: Path) -> Progress:
    """Read what a run has written so far; nothing is an empty progress.

    A resumed run writes some steps again: of what was written twice the later counts. A line that
    is cut short, or makes no sense, is left out.
    """
    try:
        lines = (out / PROGRESS).read_bytes().split(b"\n")
    except OSError:
        return Progress()
    losses: dict[int, float] = {}
    validations: dict[int, Validation] = {}
    steps, minutes = 0, 0.0
    seconds, began, scoring = 0.0, math.nan, False
    for line in lines:
        try:
            entry = parsed_json(line.decode("utf-8"))  # may be cut within a letter, too
            step, now = int(entry["step"]), float(entry["seconds"])
            loss = _number(entry.get("loss"))
            validation = _validation(step, entry["validation"]) if "validation" in entry else None
            asked = int(entry.get("steps", 0)), float(entry.get("minutes", 0))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
        if not (0 <= step <= MOST_KNOWN and math.isfinite(now)):
            continue
        seconds = now
        if "steps" in entry:  # a start, or a resume: what came later is not of this run
            steps, minutes = asked
            losses = {s: x for s, x in losses.items() if s <= step}
            validations = {s: v for s, v in validations.items() if s <= step}
        scoring = "scoring" in entry
        if "training" in entry:
            began = seconds
        if "loss" in entry:
            losses[step] = loss
        if validation is not None:
            validations[step] = validation
    return Progress(
        losses=tuple(losses.items()),
        validations=tuple(validations[s] for s in sorted(validations)),
        seconds=seconds,
        training_seconds=seconds - began if math.isfinite(began) else 0.0,
        steps=steps,
        minutes=minutes,
        scoring=scoring,
    )


def _validation(step: int, entry: Mapping[str, Any]) -> Validation:
    *rows, mean = (
        Row(
            str(row["name"]),
            int(row["images"]),
            _number(row["dice"]),
            _number(row["low"]),
            _number(row["high"]),
        )
        for row in entry["rows"]
    )
    return Validation(step, int(entry["images"]), int(entry["patients"]), tuple(rows), mean)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def verdict(before: Validation, after: Validation) -> str:
    """Say what the two scores of the same images prove: mostly little.

    Parameters
    ----------
    before, after : Validation

    Returns
    -------
    str
    """
    gain = after.mean.dice - before.mean.dice
    where = f"{after.images} B-scans of {after.patients} patients"
    if after.patients == 1:
        where = f"{after.images} B-scans of one patient"
    if not math.isfinite(gain):
        return f"No score: no structure occurs in the {where}."
    if after.step == 0:
        return f"No step scored better than the model it started from ({where}): keep that one."
    if after.patients < FEW_PATIENTS or after.images < FEW_IMAGES:
        return f"Too few to tell: {where}. Look at new B-scans with both models."
    if before.mean.low <= after.mean.dice <= before.mean.high:
        return f"The difference is within chance ({where})."
    return f"{'Better' if gain > 0 else 'Worse'} by more than chance ({where})."
