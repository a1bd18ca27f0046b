"""The files of an experiment's table: Markdown for a person, CSV for a program, and its plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from spad.cases import write_bytes
from spad.checkpoint import plain_text
from spad.train.experiments.arms import ADDED
from spad.train.experiments.plot import plot
from spad.train.experiments.table import (
    COSTS,
    GAP,
    MEANS,
    SECONDS,
    Spread,
    Table,
    paired,
    read_table,
)
from spad.train.processes import locked

__all__ = ["comma_separated", "markdown", "render"]


def render(out: Path, against: str | None = None) -> Table:
    """Write ``table.md``, ``table.csv`` and ``plot.png``, each at once or not at all.

    Raises
    ------
    ConfigError
        As `read_table`.
    ImportError
        Matplotlib is missing.
    """
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
            writer.writerow([plain_text(arm), plain_text(measure), len(values), *cells])
    return stream.getvalue()


def markdown(table: Table) -> str:
    """Write the tables for a person: levels, paired differences, single values, settings."""
    measures = table.measures
    scored = [m for m in measures if m not in (SECONDS, GAP, "diversity", *COSTS)]
    reference = table.rows[table.against]
    failures: dict[str, int] = {}
    for arm, _, _ in table.failed:
        failures[arm] = failures.get(arm, 0) + 1
    none = Spread({})
    levels: list[list[str]] = []
    differences, singles = [], []
    for arm, row in sorted(table.rows.items(), key=lambda item: item[0] in ADDED):
        if arm in ADDED and levels and levels[-1][0] not in ADDED:
            levels.append(["**not in the paper**", *[""] * len(measures), ""])
        count = len(row[SECONDS].values) if SECONDS in row else 0
        seeds = f"{count}" + (f" ({failures[arm]} failed)" if arm in failures else "")
        cells = [row.get(m, none) for m in measures]
        texts = [
            f"{c.median:.0f}" if m == SECONDS and c.values else c.text()
            for m, c in zip(measures, cells, strict=True)
        ]
        levels.append([arm, *texts, seeds])
        if arm != table.against:
            apart = {m: paired(row.get(m, none), reference.get(m, none)) for m in scored}
            each = apart.get("mDice", none).values.items()
            listed = ", ".join(f"{s}: {v:+.4f}" for s, v in each)
            texts = [apart[m].text(4, sign=True) for m in scored]
            differences.append([arm, *texts, listed or "-"])
        for m in scored[: len(MEANS)]:
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
    return f"{measure}, median" if measure == SECONDS else measure


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
    finished = sum(len(row[SECONDS].values) for row in table.rows.values() if SECONDS in row)
    lines = [
        f"# {about['kind'].capitalize()} of {config['name']}",
        "",
        f"- {finished} of {table.expected} trials finished, {len(table.failed)} failed; seeds "
        f"{', '.join(map(str, seeds))}",
        f"- Configuration {about['path']}: {o['steps']} steps of batch {o['batch']}, "
        f"{size[0]} x {size[1]} pixels, unless a row sets otherwise",
    ]
    if table.scores:
        first = {"scored on": f"the split {table.scores[0].get('split')!r}", **table.scores[0]}
        training = sum(s["training_seconds"] for s in table.scores)
        scoring = sum(s["scoring_seconds"] for s in table.scores)
        devices = ", ".join(sorted({s["device"] for s in table.scores}))
        versions = ", ".join(
            sorted({f"spad {s['spad']}, torch {s['torch']}" for s in table.scores})
        )
        lines += [
            f"- Scored: the last averaged weights on {first['scored on']} "
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
        "- inference: median over the images, the whole of it, on this device. peak memory: of the "
        "process that finished the trial, libraries and all, with what trials before it left there "
        "(with --jobs 2 each has its own); on a GPU, of the tensors alone",
    ]
    return [*lines, "", "```", *about["commands"], "```"]
