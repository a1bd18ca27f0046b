"""Thickness of what lies between two lines, by circle and ETDRS field: numbers and table rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders.lines import Lines, thickness_mm
from spad.measuring import COLUMNS, Grid, Scale, Visit

__all__ = [
    "Thickness",
    "by_region",
    "layer_maps",
    "missing_columns",
    "thickness",
    "thickness_over_visits",
    "thickness_remark",
    "thickness_rows",
]

_LEFT_OUT = "the lines cross, or one of both is missing"


@dataclass(frozen=True, slots=True)
class Thickness:
    """Mean distance of two lines in a region.

    Parameters
    ----------
    layer : str
        Of which lines: "ILM – BM".
    region : str
        As of a `Measurement`; "C1" is the central subfield.
    mean_um : float or None
        Over the columns in which both lines are, in their order; None where there is none.
    known : float
        Share of the region's scanned part in which they are so, 0 to 1.
    """

    layer: str
    region: str
    mean_um: float | None
    known: float


def layer_maps(lines: Lines, row_mm: float) -> dict[str, NDArray[np.float32]]:
    """En-face maps of the thickness between lines: of all lines, then from each to the next.

    Parameters
    ----------
    lines : Lines
    row_mm : float
        Height of a pixel.

    Returns
    -------
    dict of str to array of float32, shape (B-scans, columns)
        In µm, by "upper – lower"; NaN where one of both lines is not there or they cross. Empty
        of one line.

    Raises
    ------
    ValueError
        A height of a pixel that cannot be.
    """
    last = len(lines.names) - 1
    pairs = [(0, last)] if last > 1 else []
    pairs += pairwise(range(last + 1))
    return {
        f"{lines.names[a]} – {lines.names[b]}": 1000
        * thickness_mm(lines.heights[a], lines.heights[b], row_mm)
        for a, b in pairs
    }


def thickness(
    layer: str, um: NDArray[np.floating], grid: Grid | None = None
) -> tuple[Thickness, ...]:
    """Mean thickness: in all, and with a grid by circle and field.

    Parameters
    ----------
    layer : str
    um : array of float, shape (B-scans, columns)
        A map of `layer_maps`. NaN is left out of every mean.
    grid : Grid, optional
        About the fovea.
    """
    known = np.isfinite(um)
    filled = np.where(known, um, 0)
    weights = {"total": np.ones(um.shape, np.float32)} | ({} if grid is None else grid.weights)
    out = []
    for region, weight in weights.items():
        there, all_ = float((weight * known).sum()), float(weight.sum())
        mean = float((weight * filled).sum()) / there if there > 0 else None
        out.append(Thickness(layer, region, mean, there / all_ if all_ > 0 else 0.0))
    return tuple(out)


def thickness_remark(known: float) -> str:
    """What a reader has to know of columns that count in no mean; empty where all count."""
    if known == 1:
        return ""
    return f"{_LEFT_OUT} in {1 - known:.1%} of the columns; they are left out"


def missing_columns(found: Iterable[Thickness]) -> str:
    """The same of several layers, in one sentence; empty where all columns count."""
    parts = [
        f"{1 - one.known:.1%} ({one.layer})"
        for one in found
        if one.region == "total" and one.known < 1
    ]
    if not parts:
        return ""
    return f"{_LEFT_OUT} in {', '.join(parts)} of the columns; they are left out"


def by_region(found: Iterable[Thickness]) -> dict[str, dict[str, float | None]]:
    """Means in µm by layer and region, for `spad.measuring.page_pdf`."""
    out: dict[str, dict[str, float | None]] = {}
    for one in found:
        out.setdefault(one.layer, {})[one.region] = one.mean_um
    return out


def thickness_rows(
    found: Iterable[Thickness],
    scale: Scale,
    remarks: Sequence[str],
    about: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Rows for the table of `as_rows`: a thickness is a mean height; volumes stay empty.

    Parameters
    ----------
    found : iterable of Thickness
    scale : Scale
    remarks : sequence of str
        What `remarks` says of the stack.
    about : mapping of str to value
        The columns in front.
    """
    rows = []
    for one in found:
        row = dict(about) | dict.fromkeys(COLUMNS.values())
        row[COLUMNS["structure"]], row[COLUMNS["region"]] = one.layer, one.region
        row[COLUMNS["mean_height_um"]] = one.mean_um
        notes = filter(
            None, ("between two lines", thickness_remark(one.known), *(remarks or scale.doubts))
        )
        rows.append(row | {"scale": scale.words, "remark": "; ".join(notes)})
    return rows


def thickness_over_visits(
    visits: Sequence[Visit],
    layers: Sequence[Iterable[Thickness]],
    rows: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of the thickness between lines, visit by visit, under the columns of `visit_rows`.

    Parameters
    ----------
    visits : sequence of Visit
    layers : sequence of iterables of Thickness
        Of each visit.
    rows : sequence of dict
        What `visit_rows` gave of these visits.
    """
    out, days = [], "days since the first visit"
    for visit, found in sorted(zip(visits, layers, strict=True), key=lambda both: both[0].date):
        told = next(r for r in rows if (r["case"], r["visit"]) == (visit.name, visit.date))
        about = {name: told[name] for name in ("case", "eye", *visit.about)}
        more = {"visit": visit.date, days: told[days]}
        out += [row | more for row in thickness_rows(found, visit.scale, visit.remarks, about)]
    return out
