"""``spad measure``: what is in results, in numbers, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spad.annotation import images_in
from spad.borders import thickness_over_visits
from spad.cases import CaseError, file_error, read_json, replaced, write_bytes
from spad.cohort import (
    Ledger,
    Measured,
    MeasureJob,
    Progress,
    Rows,
    cluster,
    count,
    handed_out,
    measure_file,
    measured,
)
from spad.commands.options import (
    add_overwrite,
    add_workers,
    among_workers,
    length,
    refuse_existing,
    say,
)
from spad.measuring import (
    agreement_plot,
    as_day,
    limits_of_agreement,
    visit_remarks,
    visit_rows,
    visits_page,
    write_csv,
)
from spad.pictures import LABELS, label_stem

__all__ = ["add_arguments", "run"]

_END = ".spad.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad measure``."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS",
        help=f"label images ({', '.join(LABELS)}) with NAME.spad.json beside them, or folders of "
        "them; lines in NAME.lines.npz or .csv beside them give the thickness of layers",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, help="the table, a .csv")
    parser.add_argument(
        "--spacing", nargs=3, type=length, metavar=("BSCANS", "ROWS", "COLUMNS"),
        help="distances in µm, for all results, in place of those in their files; 0: unknown",
    )  # fmt: skip
    parser.add_argument("--eye", choices=("OD", "OS"), help="of results whose file does not tell")
    parser.add_argument(
        "--fovea", choices=("file", "centre"), default="file",
        help="where circles and ETDRS fields lie: as the file tells, or in the scan's centre where "
        "it does not (file)",
    )  # fmt: skip
    parser.add_argument(
        "--against", nargs="+", type=Path, metavar="OTHERS",
        help="the same cases by another reader, under the same names: difference and limits of "
        "agreement (Bland and Altman)",
    )  # fmt: skip
    parser.add_argument(
        "--visits", nargs="*", metavar="DATE",
        help="RESULTS are visits of one eye; their dates in the same order, 2026-01-31 ...",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, help="the visits, or both readers, drawn: a .pdf or .png"
    )
    add_overwrite(parser)
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Measure all that can be; 1 if results failed, which are named."""
    _refuse(args)
    if among_workers(args):
        return _cohort(args, _sidecars(args.results), _job(args))
    if args.against:
        for paths in (args.results, args.against):
            _refuse_namesakes(_sidecars(paths))
    cases, failed = _all_measured(args.results, args)
    if args.visits is not None:
        if failed:  # a visit that is missing would not be seen
            say(f"{len(failed)} visits failed, so nothing is written: {', '.join(failed)}")
            return 1
        rows, draw = _visits(cases, args)
    else:
        others, more = _all_measured(args.against or [], args)
        failed += more
        rows = [row for case in cases for row in case.rows()]
        draw = _agreement(cases, others, rows, args)
        rows += [row for case in cases for row in case.line_rows()]
    if rows:
        _write(rows, args.out)
        say(f"{count(len(cases), 'result')}, {count(len(rows), 'row')} -> {args.out}")
    if args.plot and rows:
        write_bytes(args.plot, draw())
        say(f"drawn -> {args.plot}")
    if failed:
        say(f"{count(len(failed), 'result')} failed: {', '.join(failed)}")
    return 1 if failed else 0


def _job(args: argparse.Namespace) -> MeasureJob:
    spacing = tuple(args.spacing) if args.spacing else None
    return MeasureJob(spacing=spacing, eye=args.eye, fovea=args.fovea)


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
    how = "utf-8-sig", "backslashreplace", ""  # names may be no UTF-8
    with replaced(path) as beside, beside.open("w", -1, *how) as out:
        write_csv(rows, out)  # the mark is for Excel


def _refuse(args: argparse.Namespace) -> None:
    refuse_existing(filter(None, (args.out, args.plot)), args)
    if args.visits is not None and args.against:
        raise ValueError("--visits and --against are two questions; ask one after the other")
    if among_workers(args) and (args.visits is not None or args.against):
        raise ValueError(
            "--workers and --dask make the table of a cohort; ask for --visits or --against without"
        )
    if args.plot is not None:
        if args.visits is None and not args.against:
            raise ValueError("--plot draws visits or two readers; add --visits or --against")
        if args.plot.suffix.lower() not in (".pdf", ".png"):
            raise ValueError(f"{args.plot.name} is no .pdf or .png; give the plot such a name")


def _refuse_namesakes(sidecars: list[Path]) -> None:
    """Refuse results of one name: two readers' are set against each other by their names."""
    known: dict[str, Path] = {}
    for path in sidecars:
        if (twin := known.setdefault(path.name, path)) is not path:
            raise ValueError(
                f"{path} and {twin} have one name, by which --against finds the other reader's "
                "result: ask folder by folder"
            )


def _all_measured(
    results: list[Path], args: argparse.Namespace
) -> tuple[list[Measured], list[str]]:
    """What could be measured, and the names of what could not, which is said."""
    cases, failed, job = [], [], _job(args)
    for sidecar in _sidecars(results):
        try:
            cases.append(measured(sidecar, job))
        except (ValueError, OSError, ImportError) as error:
            failed.append(sidecar.name)
            say(f"{sidecar}: FAILED: {file_error(error)}")
    return cases, failed


def _kind(args: argparse.Namespace) -> str:
    return str(args.plot.suffix.lower()[1:])


def _visits(
    cases: list[Measured], args: argparse.Namespace
) -> tuple[list[dict[str, Any]], Callable[[], bytes]]:
    """The table of the visits, and what draws their page."""
    if args.visits and len(args.visits) != len(cases):
        raise ValueError(
            f"{len(args.visits)} dates for {len(cases)} results; give one for each, or none"
        )
    days = args.visits or [""] * len(cases)
    visits = [replace(c.visit, date=as_day(day)) for c, day in zip(cases, days, strict=True)]
    rows = visit_rows(visits)
    rows += thickness_over_visits(visits, [case.layers for case in cases], rows)
    for one in visit_remarks(visits):
        say(one)
    classes = {c.name: c for case in cases for c in case.classes}
    title = f"Visits of one eye {next((v.eye for v in visits if v.eye), '')}".strip()
    return rows, lambda: visits_page(visits, list(classes.values()), title=title, kind=_kind(args))


def _agreement(
    cases: list[Measured],
    others: list[Measured],
    rows: list[dict[str, Any]],
    args: argparse.Namespace,
) -> Callable[[], bytes]:
    """Put the other reader's volume into each row, and say the limits; what draws them."""
    if not args.against:
        return bytes
    theirs = {case.visit.name: case.visit for case in others}
    for name in (c.visit.name for c in cases if c.visit.name not in theirs):
        say(f"{name}: the other reader has no case of that name")
    pairs: dict[str, list[tuple[float, float]]] = {}
    mine = [(case.visit.name, one) for case in cases for one in case.visit.rows]
    for (name, one), row in zip(mine, rows, strict=True):
        other = theirs[name].at(one.structure, one.region) if name in theirs else None
        before, now = None if other is None else other.volume_nl, one.volume_nl
        row["volume of the other reader [nL]"] = before
        row["difference, here less the other [nL]"] = None
        row["remark of the other reader"] = "; ".join(
            theirs[name].remarks if name in theirs else ()
        )
        if before is not None and now is not None:
            row["difference, here less the other [nL]"] = now - before
            if one.region == "total":
                pairs.setdefault(one.structure, []).append((before, now))
    agreed = {}
    for structure, every in pairs.items():
        found = [pair for pair in every if any(pair)]  # how much there is, where there is some
        none = len(every) - len(found)
        left_out = f" ({none} more, in which neither has it, left out)" if none else ""
        try:
            limits = limits_of_agreement([pair[0] for pair in found], [pair[1] for pair in found])
        except ValueError as error:
            say(f"{structure}: {error}{left_out}")
            continue
        agreed[structure] = limits
        say(
            f"{structure}: {len(found)} pairs{left_out}, mean difference {limits.bias:+.3g} nL, "
            f"limits of agreement {limits.lower:+.3g} to {limits.upper:+.3g} nL"
        )
    readers = ("the other", "here")
    return lambda: agreement_plot(agreed, "nL", title="Volumes", readers=readers, kind=_kind(args))


def _sidecars(paths: list[Path]) -> list[Path]:
    """The sidecar of each result, once; of a folder those directly in it, sorted."""
    found: list[Path] = []
    problems = []
    for path in paths:
        if path.is_dir():
            inside = images_in(path, lambda file: file.name.endswith(_END))
            if not inside:
                problems.append(f"{path}: has no NAME{_END}; name a folder of exported results")
            found += inside
            continue
        if not path.exists():
            problems.append(f"{path}: there is no such file or folder; correct the path")
            continue
        if not path.name.lower().endswith((_END, *LABELS)):
            problems.append(
                f"{path}: is none of {', '.join(LABELS)}; export the result as one of them"
            )
            continue
        beside = path if path.name.endswith(_END) else path.with_name(label_stem(path) + _END)
        if beside.is_file():
            found.append(beside)
            if beside != path and (of := _labels_named(beside)) not in ("", path.name):
                problems.append(
                    f"{path}: {beside.name} is of {of}, exported later under the same name; "
                    "measure that, or export this one again"
                )
        else:
            problems.append(
                f"{path}: {beside.name} is not beside it, which tells what its values mean; export "
                "it again, or copy both"
            )
    if problems:
        raise CaseError(problems)
    return list(dict.fromkeys(found))


def _labels_named(sidecar: Path) -> str:
    """The label map that a sidecar is of; nothing where it is none, which is told later."""
    try:
        return Path(read_json(sidecar)["labels"]).name
    except (ValueError, OSError, TypeError, KeyError):
        return ""
