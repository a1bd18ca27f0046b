"""``spad measure``: what is in results, in numbers, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spad.cases import CaseError, replaced
from spad.cohort import (
    Ledger,
    MeasureJob,
    Progress,
    Rows,
    cluster,
    count,
    handed_out,
    measure_file,
    measured,
)
from spad.commands.options import add_workers, among_workers, say
from spad.measuring import write_csv

__all__ = ["add_arguments", "run"]

_END = ".spad.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad measure``."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS",
        help="label images (PNG, TIFF) with NAME.spad.json beside them, or folders of them",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, help="the table, a .csv")
    parser.add_argument(
        "--spacing", nargs=3, type=float, metavar=("BSCANS", "ROWS", "COLUMNS"),
        help="distances in µm, for all results, in place of those in their files; 0: unknown",
    )  # fmt: skip
    parser.add_argument("--eye", choices=("OD", "OS"), help="of results whose file does not tell")
    parser.add_argument(
        "--fovea", choices=("file", "centre"), default="file",
        help="where circles and ETDRS fields lie: as the file tells, or in the scan's centre where "
        "it does not (file)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists")
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Measure all that can be; 1 if results failed, which are named."""
    if args.out.exists() and not args.overwrite:
        raise ValueError(f"{args.out} exists; choose another name, or --overwrite")
    sidecars = _sidecars(args.results)
    job = MeasureJob(
        spacing=tuple(args.spacing) if args.spacing else None, eye=args.eye, fovea=args.fovea
    )
    if among_workers(args):
        return _cohort(args, sidecars, job)
    rows: list[dict[str, Any]] = []
    failed = []
    for sidecar in sidecars:
        try:
            rows += measured(sidecar, job)
        except (ValueError, OSError) as error:
            failed.append(sidecar.name)
            say(f"{sidecar}: FAILED: {error}")
    if rows:
        _write(rows, args.out)
        say(f"{len(sidecars) - len(failed)} results, {len(rows)} rows -> {args.out}")
    if failed:
        say(f"{len(failed)} results failed: {', '.join(failed)}")
    return 1 if failed else 0


def _cohort(args: argparse.Namespace, sidecars: list[Path], job: MeasureJob) -> int:
    """Measure on the workers of a cluster; rows wait on the disk until all are there."""
    beside = args.out.with_name(args.out.name + ".rows.jsonl")
    there = Rows(beside)
    ledger = Ledger(args.out.with_name(args.out.name + ".failures.jsonl"))
    names = [str(path.absolute()) for path in sidecars]
    good = dict.fromkeys(names, True)
    work = ((name, replace(job, known=there.key(name))) for name in names)
    with cluster(args.workers, args.dask) as client:
        progress = Progress(len(sidecars), say)
        for name, outcome in handed_out(client, measure_file, work, progress.tick):
            if outcome.state == "failed":
                good[name] = False
                ledger.failed(name, outcome.text)
                say(f"{name}: FAILED: {outcome.text}")
            elif outcome.state == "done":
                there.add(name, outcome.key, list(outcome.rows))
            progress.update(outcome.state)
    say(progress.text())
    if any(good.values()):
        _write((row for name in names if good[name] for row in there.of(name)), args.out)
        there.remove()
        say(f"{count(sum(good.values()), 'result')} -> {args.out}")
    if number := progress.counts["failed"]:
        say(f"{count(number, 'result')} failed; which and why stands in {ledger.path}")
    return 1 if number else 0


def _write(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    with replaced(path) as beside, beside.open("w", encoding="utf-8-sig", newline="") as out:
        write_csv(rows, out)  # the mark is for Excel


def _sidecars(paths: list[Path]) -> list[Path]:
    """The sidecar of each result, once; of a folder those directly in it, sorted."""
    found: list[Path] = []
    problems = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.endswith(_END))
            if not inside:
                problems.append(f"{path}: has no NAME{_END}; name a folder of exported results")
            found += inside
            continue
        beside = path if path.name.endswith(_END) else path.with_name(path.stem + _END)
        if beside.is_file():
            found.append(beside)
        else:
            problems.append(
                f"{path}: {beside.name} is not beside it, which tells what its values mean; export "
                "it again, or copy both"
            )
    if problems:
        raise CaseError(problems)
    return list(dict.fromkeys(found))
