"""The table of an experiment: what its folder holds, arm by arm and measure by measure.

Both conventions of scores are named (docs/method.md, section 8). Differences of arms are paired by
seed: they matter more than levels, and two arms of one seed share the order of the cases and every
draw of the augmentation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.cases import read_json
from spad.train.config import ConfigError
from spad.train.experiments.trial import Sampling, read_scores

__all__ = ["COSTS", "GAP", "MEANS", "SECONDS", "Spread", "Table", "paired", "read_table"]

MEANS = {
    "mIoU": "iou_pooled",
    "mDice": "dice_pooled",
    "mDice per image": "dice_per_image",
}
SECONDS = "training s"
GAP = "leakage gap"
COSTS = {
    "parameters, M": ("parameters", 1e6),
    "inference, s an image": ("inference_seconds", 1),
    "peak memory, GB": ("peak_bytes", 1e9),
}
"""Column: what `scores.json` calls it, and its unit; older files lack them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of one measure by seed; those that do not exist are left out.

    Parameters
    ----------
    values : dict
        Seed: value.
    """

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """NaN without any value."""
        return statistics.fmean(self.values.values()) if self.values else math.nan

    @property
    def sd(self) -> float:
        """Sample standard deviation; NaN below two values."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else math.nan

    @property
    def median(self) -> float:
        """NaN without any value."""
        return statistics.median(self.values.values()) if self.values else math.nan

    def text(self, digits: int = 3, *, sign: bool = False) -> str:
        """For a table: ``0.915 ± 0.004``."""
        if not self.values:
            return "-"
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.{digits}f}"
        mean = round(self.mean, digits) + 0.0  # no "-0.000"
        return f"{mean:{'+' if sign else ''}.{digits}f}{spread}"


def paired(one: Spread, other: Spread) -> Spread:
    """``one - other`` seed by seed, where both have a value."""
    return Spread({s: one.values[s] - other.values[s] for s in one.values if s in other.values})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What an experiment's folder holds.

    Parameters
    ----------
    about : dict
        ``experiment.json``.
    rows : dict
        Arm: measure: spread over the seeds.
    scores : list of dict
        Of each finished trial, once.
    failed : list of (str, int, str)
        Arm, seed and reason.
    expected : int
        Trials asked for.
    against : str
        The arm of reference.
    """

    about: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Spread]]
    scores: Sequence[Mapping[str, Any]]
    failed: Sequence[tuple[str, int, str]]
    expected: int
    against: str

    @property
    def measures(self) -> list[str]:
        """Columns, those that any arm has."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))


def read_table(out: Path, against: str | None = None) -> Table:
    """Read the scores of an experiment.

    Raises
    ------
    ConfigError
        ``against`` is none of its arms.
    """
    about = read_json(out / "experiment.json")
    sampling = Sampling(**about["sampling"])
    if against is not None and against not in about["arms"]:
        raise ConfigError(
            f"--against {against!r} is none of the arms {', '.join(about['arms'])}; choose one"
        )
    found: dict[str, dict[str, dict[int, float]]] = {arm: {} for arm in about["arms"]}
    scores: dict[str, Mapping[str, Any]] = {}
    failed = []
    for trial in about["trials"]:
        arm, seed, folder = trial["arm"], trial["seed"], out / trial["folder"]
        one = read_scores(folder, sampling)
        if one is not None:
            scores[trial["folder"]] = one
            for name, value in _measures(one):
                found[arm].setdefault(name, {})
                if value is not None:
                    found[arm][name][seed] = value
        elif (reason := folder / "failed.txt").exists():
            failed.append((arm, seed, reason.read_text("utf-8").strip()))
    return Table(
        about=about,
        rows={arm: {m: Spread(v) for m, v in row.items()} for arm, row in found.items()},
        scores=list(scores.values()),
        failed=failed,
        expected=len(about["trials"]),
        against=against or next(iter(about["arms"])),
    )


def _measures(scores: Mapping[str, Any]) -> Iterable[tuple[str, float | None]]:
    for name, key in MEANS.items():
        yield name, scores["mean"][key]["value"]
    for row in scores["structures"]:
        yield row["name"], row["dice_pooled"]["value"]
    yield "diversity", scores["diversity"]
    if gap := scores["leakage"].get("leakage/gap"):
        yield GAP, statistics.fmean(value for _, value in gap)
    yield SECONDS, scores["training_seconds"]
    for name, (key, unit) in COSTS.items():
        if (value := scores.get(key)) is not None:
            yield name, value / unit
