"""The table of an experiment: what its folder holds, as Markdown, CSV and PNG.

Both conventions of the scores are named (method, section 8). Differences between arms are paired by
seed: they matter more than levels, and two arms of one seed share the order of the cases and every
draw of the augmentation.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.train.config import ConfigError
from spad.train.data import read_json, write_bytes
from spad.train.experiments.trial import Sampling, read_scores
from spad.train.processes import locked

__all__ = ["Spread", "Table", "paired", "read_table", "render"]

_MEANS = {
    "mIoU": "iou_pooled",
    "mDice": "dice_pooled",
    "mDice per image": "dice_per_image",
}
_SECONDS = "training s"
_GAP = "leakage gap"


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
    for name, key in _MEANS.items():
        yield name, scores["mean"][key]["value"]
    for row in scores["structures"]:
        yield row["name"], row["dice_pooled"]["value"]
    yield "diversity", scores["diversity"]
    if gap := scores["leakage"].get("leakage/gap"):
        yield _GAP, statistics.fmean(value for _, value in gap)
    yield _SECONDS, scores["training_seconds"]


def render(out: Path, against: str | None = None) -> Table:
    """Write ``table.md``, ``table.csv`` and ``plot.png``, each at once or not at all.

    Raises
    ------
    ConfigError
        As `read_table`.
    ImportError
        Matplotlib is missing.
    """
    from spad.train.experiments.plot import plot

    with locked(out / "lock", wait=True):
        table = read_table(out, against)
        write_bytes(out / "table.md", markdown(table).encode())
        write_bytes(out / "table.csv", comma_separated(table).encode())
        write_bytes(out / "plot.png", plot(table))
    return table


def comma_separated(table: Table) -> str:
    """Long form: a line for each arm and measure, with every seed's value."""
    seeds = sorted({trial["seed"] for trial in table.about["trials"]})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["arm", "measure", "seeds", "mean", "sd", "min", "max"]
    head += [f"minus {table.against}", "sd of that"]
    writer.writerow([*head, *(f"seed {s}" for s in seeds)])
    for arm, row in table.rows.items():
        for measure, spread in row.items():
            values = list(spread.values.values())
            difference = paired(spread, table.rows[table.against].get(measure, Spread({})))
            numbers = [spread.mean, spread.sd, min(values, default=math.nan)]
            numbers += [max(values, default=math.nan), difference.mean, difference.sd]
            numbers += [spread.values.get(s, math.nan) for s in seeds]
            cells = ["" if math.isnan(n) else repr(float(n)) for n in numbers]
            writer.writerow([arm, measure, len(values), *cells])
    return stream.getvalue()


def markdown(table: Table) -> str:
    """Write the tables for a person: levels, paired differences, single values, settings."""
    measures = table.measures
    scored = [m for m in measures if m not in (_SECONDS, _GAP, "diversity")]
    reference = table.rows[table.against]
    failures: dict[str, int] = {}
    for arm, _, _ in table.failed:
        failures[arm] = failures.get(arm, 0) + 1
    none = Spread({})
    levels, differences, singles = [], [], []
    for arm, row in table.rows.items():
        count = len(row[_SECONDS].values) if _SECONDS in row else 0
        seeds = f"{count}" + (f" ({failures[arm]} failed)" if arm in failures else "")
        cells = [row.get(m, none) for m in measures]
        texts = [
            f"{c.median:.0f}" if m == _SECONDS and c.values else c.text()
            for m, c in zip(measures, cells, strict=True)
        ]
        levels.append([arm, *texts, seeds])
        if arm != table.against:
            apart = {m: paired(row.get(m, none), reference.get(m, none)) for m in scored}
            each = apart.get("mDice", none).values.items()
            listed = ", ".join(f"{s}: {v:+.4f}" for s, v in each)
            texts = [apart[m].text(4, sign=True) for m in scored]
            differences.append([arm, *texts, listed or "-"])
        for m in scored[: len(_MEANS)]:
            each = row.get(m, none).values.items()
            singles.append([arm, m, ", ".join(f"{s}: {v:.4f}" for s, v in each) or "-"])
    settings = [[arm, " ".join(f"`{w}`" for w in words)] for arm, words in _arms(table)]
    return "\n".join(
        [
            *_head(table),
            "",
            *_grid(["", *map(_title, measures), "seeds"], levels),
            "",
            f"Differences from {table.against}, paired by seed: mean ± standard deviation over "
            "the seeds, and each seed's mDice",
            "",
            *_grid(["", *scored, "mDice by seed"], differences),
            "",
            "Single values, by seed",
            "",
            *_grid(["", "", "seed: value"], singles),
            "",
            "What each row sets",
            "",
            *_grid(["", "settings"], settings),
            *_failed(table),
            "",
        ]
    )


def _arms(table: Table) -> list[tuple[str, list[str]]]:
    return list(table.about["arms"].items())


def _title(measure: str) -> str:
    return f"{measure}, median" if measure == _SECONDS else measure


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]


def _failed(table: Table) -> list[str]:
    if not table.failed:
        return []
    lines = [f"- {arm}, seed {seed}: {' '.join(why.split())}" for arm, seed, why in table.failed]
    return ["", "Failed", "", *lines]


def _head(table: Table) -> list[str]:
    """What was done, with what, and where."""
    about = table.about
    config, sampling = about["config"], about["sampling"]
    o, size = config["optimiser"], config["input"]["size"]
    steps = sampling["steps"] or config["sampling"]["steps"]
    seeds = sorted({trial["seed"] for trial in about["trials"]})
    finished = sum(len(row[_SECONDS].values) for row in table.rows.values() if _SECONDS in row)
    lines = [
        f"# {about['kind'].capitalize()} of {config['name']}",
        "",
        f"- {finished} of {table.expected} trials finished, {len(table.failed)} failed; seeds "
        f"{', '.join(map(str, seeds))}",
        f"- Configuration {about['path']}: {o['steps']} steps of batch {o['batch']}, "
        f"{size[0]} x {size[1]} pixels, unless a row sets otherwise",
    ]
    if table.scores:
        first = table.scores[0]
        training = sum(s["training_seconds"] for s in table.scores)
        scoring = sum(s["scoring_seconds"] for s in table.scores)
        devices = ", ".join(sorted({s["device"] for s in table.scores}))
        versions = ", ".join(
            sorted({f"spad {s['spad']}, torch {s['torch']}" for s in table.scores})
        )
        lines += [
            f"- Scored: the last averaged weights on the split {first['split']!r} "
            f"({first['images']} images of {first['patients']} patients), ensembles of "
            f"{sampling['samples']} samples of {steps} steps",
            f"- On {devices}; {versions}; in total {training:.0f} s of training (validation "
            f"during it included) and {scoring:.0f} s of scoring",
        ]
    lines += [
        "- mIoU, mDice and each structure's Dice: pooled over the images, means over the "
        "structures; mean ± standard deviation over the seeds",
        "- diversity: mean 1 - Dice between the samples of an image. leakage gap: soft Dice of "
        "training images with the noise on their own label less that with it on another's, at the "
        "run's first intensity, mean over the validations of the run",
    ]
    return [*lines, "", "```", *about["commands"], "```"]
