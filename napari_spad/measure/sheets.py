"""What the table of the tab Measure shows: one sheet a question. No Qt in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_spad.layers import numbered
from spad.borders import Thickness, thickness_remark
from spad.measuring import Agreement, LiveMeasures, Measurement, limits_of_agreement

__all__ = ["LINES", "SHEETS", "Cell", "Sheet", "agreement", "line_sheet", "sheet"]

VOLUMES, FIELDS, LARGEST, AGAINST = "volumes", "fields", "largest", "against"
LINES = "lines"
SHEETS = {
    VOLUMES: "Volumes in nL",
    FIELDS: "ETDRS fields, nL",
    LARGEST: "Areas, heights, parts",
    AGAINST: "Against the reference",
    LINES: "Thickness between lines, µm",
}


@dataclass(frozen=True)
class Cell:
    """One number.

    Parameters
    ----------
    text, tip : str
    bscan : int or None
        Where a click goes, from 0.
    column : int or None
    """

    text: str
    tip: str = ""
    bscan: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A table.

    Parameters
    ----------
    headers : sequence of str
        Of the columns after the first.
    rows : sequence of (int, sequence of Cell)
        Class value and cells of each structure.
    names : sequence of str
        Of the rows.
    """

    headers: Sequence[str]
    rows: Sequence[tuple[int, Sequence[Cell]]]
    names: Sequence[str]


def sheet(
    which: str,
    rows: Sequence[Measurement],
    reference: Sequence[Measurement] = (),
    agreement: Mapping[int, Agreement] | None = None,
) -> Sheet:
    """Lay out measurements.

    Parameters
    ----------
    which : str
        A key of `SHEETS`.
    rows, reference : sequence of Measurement
        Of the labels at work, and of the reference or another annotator.
    agreement : mapping of int to Agreement, optional
        Of the areas of each class value, B-scan by B-scan, in mm².
    """
    by = {(m.value, m.region): m for m in rows}
    totals = [m for m in rows if m.region == "total"]
    names = [m.structure for m in totals]
    if which == AGAINST:
        theirs = {(m.value, m.region): m for m in reference}
        unit = "mm²" if any(m.volume_nl is None for m in totals) else "nL"
        return Sheet(
            [f"{what}\n{unit}" for what in ("reference", "here", "difference")],
            [
                (
                    m.value,
                    _against(m, theirs.get((m.value, "total")), (agreement or {}).get(m.value)),
                )
                for m in totals
            ],
            names,
        )
    if which == LARGEST:
        headers = ("area\nmm²", "height\nµm", "parts", "B-scans\n%")
        return Sheet(headers, [(m.value, _largest(m)) for m in totals], names)
    regions = list(dict.fromkeys(m.region for m in rows))
    fields = [r for r in regions if r != "total" and not r.endswith(" mm")]
    circles = [r for r in regions if r not in fields]
    chosen = fields if which == FIELDS and fields else circles
    return Sheet(
        [r.replace("total", "all") for r in chosen],
        [(m.value, [_volume(by[m.value, r]) for r in chosen]) for m in totals],
        names,
    )


def line_sheet(found: Sequence[Thickness]) -> Sheet:
    """Lay out mean thicknesses in µm: in all, and by ETDRS field."""
    names = list(dict.fromkeys(one.layer for one in found))
    chosen = [one for one in found if not one.region.endswith(" mm")]
    regions = list(dict.fromkeys(one.region for one in chosen))
    rows = [(-1, [_thickness(one) for one in chosen if one.layer == name]) for name in names]
    return Sheet([r.replace("total", "all") for r in regions], rows, names)


def _thickness(one: Thickness) -> Cell:
    where = "C1, the central subfield" if one.region == "C1" else one.region
    if one.mean_um is None:
        return Cell("–", f"{one.layer}, {where}: nowhere are both lines in their order")
    notes = filter(
        None, (f"{one.layer}, {where}: {one.mean_um:.1f} µm", thickness_remark(one.known))
    )
    return Cell(f"{one.mean_um:.0f}", "\n".join(notes))


def agreement(
    live: LiveMeasures, reference: LiveMeasures, values: Iterable[int]
) -> dict[int, Agreement]:
    """Areas of each structure, B-scan by B-scan where either has it, in mm² (Bland and Altman)."""
    width, out = live.spacing_mm[2] / 1000, {}
    for value in values:
        ours, theirs = (np.nansum(x.heights_um(value), 1) * width for x in (live, reference))
        either = (ours > 0) | (theirs > 0)
        if either.sum() >= 2:
            out[value] = limits_of_agreement(theirs[either], ours[either])
    return out


def number(value: float) -> str:
    """Three digits, and no more zeros than they need."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.2g}" if value >= 0.001 else "<0.001"


def _rough(value: float) -> str:
    """Two digits, for an end of a range; the tip has four."""
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def _volume(m: Measurement) -> Cell:
    if m.volume_nl is None:
        return Cell("–", "There is no volume without the distance of the B-scans: one B-scan, or "
                    "a scale that says none")  # fmt: skip
    text, tip = number(m.volume_nl), f"{m.structure}, {m.region}: {m.volume_nl:.4g} nL"
    if m.low_nl is not None and m.high_nl is not None:
        text += f"\n{_rough(m.low_nl)}–{_rough(m.high_nl)}"
        tip += f"; the samples say {m.low_nl:.4g} to {m.high_nl:.4g} nL"
    if m.mean_height_um is not None:
        tip += f"\nmean height {m.mean_height_um:.1f} µm"
    if m.scanned < 0.99:
        tip += f"\n{m.scanned:.0%} of this region was scanned"
    return Cell(text, tip, m.largest_area_bscan)


def _largest(m: Measurement) -> list[Cell]:
    area, height = m.largest_area_bscan, m.largest_height_bscan
    return [
        Cell(
            number(m.largest_area_mm2), _at("largest area", area), area, m.largest_height_column
            if area == height else None,
        ),
        Cell(
            number(m.largest_height_um), _at("largest height", height), height,
            m.largest_height_column,
        ),
        Cell("–" if m.parts is None else str(m.parts), "Separate parts, in the whole stack"),
        Cell(f"{m.share_of_bscans:.0%}".rstrip("%"), f"It is in {m.bscans} B-scans"),
    ]  # fmt: skip


def _at(what: str, bscan: int | None) -> str:
    return "There is none" if bscan is None else f"Click: its {what}, in B-scan {numbered(bscan)}"


def _against(m: Measurement, other: Measurement | None, agreement: Agreement | None) -> list[Cell]:
    """Volumes in nL; of a single B-scan areas in mm²."""
    if other is None:
        return [Cell("–"), Cell("–"), Cell("–")]
    unit, ours, theirs = "nL", m.volume_nl, other.volume_nl
    if ours is None or theirs is None:
        unit, ours, theirs = "mm²", m.largest_area_mm2, other.largest_area_mm2
    share = f"{(ours - theirs) / theirs:+.0%}" if theirs else ""
    tip = f"{m.structure}: {ours:.4g} {unit}, the reference {theirs:.4g} {unit}"
    if agreement is not None:
        tip += (
            f"\nB-scan by B-scan ({len(agreement.differences)} that have it): area "
            f"{agreement.bias:+.3g} mm² on average, limits of agreement {agreement.lower:+.3g} to "
            f"{agreement.upper:+.3g} mm²"
        )
    sign = "+" if ours > theirs else "−" if ours < theirs else ""
    cells = (number(theirs), number(ours), f"{sign}{number(abs(ours - theirs))}\n{share}".strip())
    where = m.largest_area_bscan if ours >= theirs else other.largest_area_bscan
    return [Cell(text, tip, where) for text in cells]
