"""``spad measure``: what is in results, in numbers, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spad.cases import CaseError, read_json, write_bytes
from spad.checkpoint import LabelClass
from spad.commands.options import say
from spad.measuring import (
    LiveMeasures,
    Scale,
    Visit,
    agreement_plot,
    as_day,
    as_rows,
    limits_of_agreement,
    remarks,
    table_csv,
    visit_remarks,
    visit_rows,
    visits_page,
)
from spad.pictures import image_files

__all__ = ["add_arguments", "run"]

_END = ".spad.json"
_PICTURES = (".png", ".tif", ".tiff")


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
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


@dataclass(frozen=True)
class _Case:
    """One measured result."""

    visit: Visit
    classes: tuple[LabelClass, ...]


def run(args: argparse.Namespace) -> int:
    """Measure all that can be; 1 if results failed, which are named."""
    _refuse(args)
    cases, failed = _all_measured(args.results, args)
    if args.visits is not None:
        if failed:  # a visit that is missing would not be seen
            say(f"{len(failed)} visits failed, so nothing is written: {', '.join(failed)}")
            return 1
        rows, draw = _visits(cases, args)
    else:
        others, more = _all_measured(args.against or [], args)
        failed += more
        rows = [row for case in cases for row in _rows(case.visit)]
        draw = _agreement(cases, others, rows, args)
    if rows:
        write_bytes(args.out, table_csv(rows).encode("utf-8-sig"))  # the mark is for Excel
        say(f"{len(cases)} results, {len(rows)} rows -> {args.out}")
    if args.plot and rows:
        write_bytes(args.plot, draw())
        say(f"drawn -> {args.plot}")
    if failed:
        say(f"{len(failed)} results failed: {', '.join(failed)}")
    return 1 if failed else 0


def _refuse(args: argparse.Namespace) -> None:
    for path in filter(None, (args.out, args.plot)):
        if path.exists() and not args.overwrite:
            raise ValueError(f"{path} exists; choose another name, or --overwrite")
    if args.visits is not None and args.against:
        raise ValueError("--visits and --against are two questions; ask one after the other")
    if args.plot is not None:
        if args.visits is None and not args.against:
            raise ValueError("--plot draws visits or two readers; add --visits or --against")
        if args.plot.suffix.lower() not in (".pdf", ".png"):
            raise ValueError(f"{args.plot.name} is no .pdf or .png; give the plot such a name")


def _all_measured(results: list[Path], args: argparse.Namespace) -> tuple[list[_Case], list[str]]:
    """What could be measured, and the names of what could not, which is said."""
    cases, failed = [], []
    for sidecar in _sidecars(results):
        try:
            cases.append(_measured(sidecar, args))
        except (ValueError, OSError) as error:
            failed.append(sidecar.name)
            say(f"{sidecar}: FAILED: {error}")
    return cases, failed


def _rows(visit: Visit) -> list[dict[str, Any]]:
    return as_rows(
        visit.rows, scale=visit.scale, remarks=visit.remarks, case=visit.name,
        eye=visit.eye or "", **visit.about,
    )  # fmt: skip


def _kind(args: argparse.Namespace) -> str:
    return str(args.plot.suffix.lower()[1:])


def _visits(
    cases: list[_Case], args: argparse.Namespace
) -> tuple[list[dict[str, Any]], Callable[[], bytes]]:
    """The table of the visits, and what draws their page."""
    if args.visits and len(args.visits) != len(cases):
        raise ValueError(
            f"{len(args.visits)} dates for {len(cases)} results; give one for each, or none"
        )
    days = args.visits or [""] * len(cases)
    visits = [replace(c.visit, date=as_day(day)) for c, day in zip(cases, days, strict=True)]
    rows = visit_rows(visits)
    for one in visit_remarks(visits):
        say(one)
    classes = {c.name: c for case in cases for c in case.classes}
    title = f"Visits of one eye {next((v.eye for v in visits if v.eye), '')}".strip()
    return rows, lambda: visits_page(visits, list(classes.values()), title=title, kind=_kind(args))


def _agreement(
    cases: list[_Case], others: list[_Case], rows: list[dict[str, Any]], args: argparse.Namespace
) -> Callable[[], bytes]:
    """Put the other reader's volume into each row, and say the limits; what draws them."""
    if not args.against:
        return bytes
    theirs = {case.visit.name: case.visit for case in others}
    for name in (c.visit.name for c in cases if c.visit.name not in theirs):
        say(f"{name}: the other reader has no case of that name")
    pairs: dict[str, list[tuple[float, float]]] = {}
    measured = [(case.visit.name, one) for case in cases for one in case.visit.rows]
    for (name, one), row in zip(measured, rows, strict=True):
        other = theirs[name].at(one.structure, one.region) if name in theirs else None
        before, now = None if other is None else other.volume_nl, one.volume_nl
        row["volume of the other reader [nL]"] = before
        row["difference, here less the other [nL]"] = None
        if before is not None and now is not None:
            row["difference, here less the other [nL]"] = now - before
            if one.region == "total":
                pairs.setdefault(one.structure, []).append((before, now))
    agreed = {}
    for structure, found in pairs.items():
        try:
            limits = limits_of_agreement(*zip(*found, strict=True))
        except ValueError as error:
            say(f"{structure}: {error}")
            continue
        agreed[structure] = limits
        say(
            f"{structure}: {len(found)} pairs, mean difference {limits.bias:+.3g} nL, limits of "
            f"agreement {limits.lower:+.3g} to {limits.upper:+.3g} nL"
        )
    readers = ("the other", "here")
    return lambda: agreement_plot(agreed, "nL", title="Volumes", readers=readers, kind=_kind(args))


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


def _measured(sidecar: Path, args: argparse.Namespace) -> _Case:
    told = read_json(sidecar)
    try:
        classes = [LabelClass(c["value"], c["name"], tuple(c["color"])) for c in told["classes"]]
        labels = sidecar.parent / Path(told["labels"]).name
        facts: Mapping[str, Any] = dict(told.get("facts") or {})
        spacing = told.get("spacing_mm") or ()
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it lacks {error}; is it a sidecar of SPAD? Export it again") from None
    if labels.suffix.lower() not in _PICTURES:
        raise ValueError(
            f"{labels.name} is no PNG or TIFF; export the result as TIFF to measure it"
        )
    values = image_files.read_label_file(labels, stack=True)
    scale = Scale.from_json(facts["scale"]) if "scale" in facts else Scale.of(spacing[-3:])
    if args.spacing:
        scale = Scale.of([um / 1000 for um in args.spacing], "typed")
    if scale.row.mm is None or scale.column.mm is None:
        raise ValueError("its scale is unknown; give it: --spacing BSCANS ROWS COLUMNS, in µm")
    live = LiveMeasures(values, classes, scale.spacing_mm)
    fovea, origin = _fovea(facts, live, args.fovea)
    eye = facts.get("eye") or args.eye or None
    live.place(fovea, eye=eye, first=facts.get("first") or None)
    about = {
        "fovea": origin,
        "model": ", ".join(dict.fromkeys(_models(told.get("provenance")))),
        "edited pixels": sum((told.get("edited") or {}).get("pixels", {}).values()),
    }
    name = sidecar.name.removesuffix(_END)
    visit = Visit(name, "", live.rows(), scale, eye, remarks(live, scale), about)
    return _Case(visit, tuple(classes))


def _fovea(
    facts: Mapping[str, Any], live: LiveMeasures, wanted: str
) -> tuple[tuple[float, float] | None, str]:
    """Where the fovea is, and who says so."""
    if live.spacing_mm[0] is None:
        return None, ""
    if told := facts.get("fovea"):
        try:
            at = (float(told["at"][0]), float(told["at"][1]))
        except (TypeError, KeyError, IndexError):
            raise ValueError(
                f"its fovea {str(told)[:60]} is no place; export it again, or take “fovea” out"
            ) from None
        return at, str(told.get("origin", "in the file"))
    if wanted == "centre":
        return ((live.shape[0] - 1) / 2, (live.shape[2] - 1) / 2), "taken as the scan's centre"
    return None, ""


def _models(provenance: Any) -> Iterator[str]:
    """Names of the models of a run, or of the runs that made a stack's B-scans."""
    for run in provenance if isinstance(provenance, list) else [provenance]:
        checkpoint = run.get("checkpoint") if isinstance(run, dict) else None
        if isinstance(checkpoint, dict):
            yield str(checkpoint.get("name", ""))
        elif checkpoint:
            yield str(checkpoint)
