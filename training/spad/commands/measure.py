"""``spad measure``: what is in results, in numbers, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spad.cases import CaseError, read_json, write_bytes
from spad.checkpoint import LabelClass
from spad.commands.options import say
from spad.measuring import LiveMeasures, Scale, as_rows, remarks, table_csv
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
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists")


def run(args: argparse.Namespace) -> int:
    """Measure all that can be; 1 if results failed, which are named."""
    if args.out.exists() and not args.overwrite:
        raise ValueError(f"{args.out} exists; choose another name, or --overwrite")
    sidecars = _sidecars(args.results)
    rows: list[dict[str, Any]] = []
    failed = []
    for sidecar in sidecars:
        try:
            rows += _measured(sidecar, args)
        except (ValueError, OSError) as error:
            failed.append(sidecar.name)
            say(f"{sidecar}: FAILED: {error}")
    if rows:
        write_bytes(args.out, table_csv(rows).encode("utf-8-sig"))  # the mark is for Excel
        say(f"{len(sidecars) - len(failed)} results, {len(rows)} rows -> {args.out}")
    if failed:
        say(f"{len(failed)} results failed: {', '.join(failed)}")
    return 1 if failed else 0


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


def _measured(sidecar: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
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
    live.place(fovea, eye=facts.get("eye") or args.eye, first=facts.get("first") or None)
    return as_rows(
        live.rows(), scale=scale, remarks=remarks(live, scale),
        case=sidecar.name.removesuffix(_END), eye=facts.get("eye") or args.eye or "",
        fovea=origin, model=", ".join(dict.fromkeys(_models(told.get("provenance")))),
        **{"edited pixels": sum((told.get("edited") or {}).get("pixels", {}).values())},
    )  # fmt: skip


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
