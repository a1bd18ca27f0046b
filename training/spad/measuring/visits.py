"""Volumes over the visits of one eye: in their order, with what changed since the first."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spad.measuring.measures import Measurement
from spad.measuring.scale import Scale
from spad.measuring.table import as_rows

__all__ = ["Visit", "as_day", "in_order", "visit_remarks", "visit_rows"]

_SHARE = 0.05  # of a circle, or of a scan's side, seen at one visit and not at another: remarked
_UNEVEN = 1.5  # B-scans so many times further apart at one visit than at another are remarked


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit.

    Parameters
    ----------
    name : str
        What was measured.
    date : str
        "2026-01-31", or empty where it is not known.
    rows : tuple of Measurement
    scale : Scale
    eye : {"OD", "OS"} or None
    remarks : tuple of str
        What limits its numbers.
    about : mapping of str to value
        More columns of its rows, by header.
    extent_mm : (float, float), optional
        Across B-scans and along them.
    """

    name: str
    date: str
    rows: tuple[Measurement, ...]
    scale: Scale
    eye: str | None = None
    remarks: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    extent_mm: tuple[float, float] | None = None

    def at(self, structure: str, region: str = "total") -> Measurement | None:
        """The measurement of a structure in a region; None where there is none."""
        return next((m for m in self.rows if (m.structure, m.region) == (structure, region)), None)

    @property
    def label(self) -> str:
        """What it is called on an axis: its date, else its name."""
        return self.date or self.name


def as_day(text: str) -> str:
    """A day as "2026-01-31"; empty stays empty.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        return datetime.date.fromisoformat(text.strip()).isoformat() if text.strip() else ""
    except ValueError:
        raise ValueError(f"“{text}” is no day; write it as 2026-01-31") from None


def in_order(visits: Sequence[Visit]) -> tuple[Visit, ...]:
    """Visits by their dates, written as `as_day` does; as they are given where none has one.

    Raises
    ------
    ValueError
        Fewer than two, of different eyes, some with a date and some without, or a date that is
        none.
    """
    if len(visits) < 2:
        raise ValueError(f"{len(visits)} visit; choose at least 2 stacks of one eye")
    eyes = sorted({v.eye for v in visits if v.eye})
    if len(eyes) > 1:
        raise ValueError(
            f"these visits are of {' and '.join(eyes)}; choose stacks of one eye, or say otherwise "
            "which eye they are of"
        )
    dated = [replace(v, date=as_day(v.date)) for v in visits]
    undated = [v.name for v in dated if not v.date]
    if undated and len(undated) < len(visits):
        raise ValueError(
            f"no date is known of {', '.join(f'“{name}”' for name in undated)}; type it as "
            "2026-01-31, or take the dates of all visits away"
        )
    return tuple(sorted(dated, key=lambda v: v.date))  # which keeps the order of equal ones


def visit_rows(visits: Sequence[Visit]) -> list[dict[str, Any]]:
    """The tidy table of visits: one row a visit, structure and region.

    Parameters
    ----------
    visits : sequence of Visit
        Of one eye; see `in_order` for what is raised.

    Returns
    -------
    list of dict
        As `as_rows`, for `table_csv`: in front case, day of the visit and days since the first,
        behind what the volume is more than at the first visit.
    """
    ordered = in_order(visits)
    first, out = ordered[0], []
    for visit in ordered:
        rows = as_rows(
            visit.rows, scale=visit.scale, remarks=visit.remarks, case=visit.name,
            eye=visit.eye or "", visit=visit.date,
            **{"days since the first visit": _days(first, visit)}, **visit.about,
        )  # fmt: skip
        for row, one in zip(rows, visit.rows, strict=True):
            row["change since the first visit [nL]"] = change(one, first)
        out += rows
    return out


def change(one: Measurement, first: Visit) -> float | None:
    """What a volume is more than at the first visit, in nL; None where one of them is not known."""
    before = first.at(one.structure, one.region)
    if before is None or before.volume_nl is None or one.volume_nl is None:
        return None
    return one.volume_nl - before.volume_nl


def visit_remarks(visits: Sequence[Visit]) -> tuple[str, ...]:
    """Sentences about visits that can hardly be compared; mostly none."""
    out = []
    apart = [v.scale.bscan.mm for v in visits if v.scale.bscan.mm]
    if apart and max(apart) > _UNEVEN * min(apart):
        out.append(
            f"B-scans are {min(apart) * 1000:.0f} µm apart at one visit and "
            f"{max(apart) * 1000:.0f} µm at another: the coarser one sees less"
        )
    extents = sorted({v.extent_mm for v in visits if v.extent_mm}, key=math.prod)
    if any(min(sides) < (1 - _SHARE) * max(sides) for sides in zip(*extents, strict=True)):
        (least, most) = (" x ".join(f"{mm:.1f}" for mm in extents[n]) for n in (0, -1))
        out.append(
            f"the scans reach over {least} to {most} mm: the total is of what each shows; compare "
            "the circles"
        )
    known = {v.label for v in visits if any(m.region != "total" for m in v.rows)}
    missing = [v.label for v in visits if v.label not in known]
    if known and missing:
        out.append(
            f"the fovea is not known at {', '.join(missing)}: circles and fields are missing there"
        )
    uneven = [
        f"{region} circle {min(shares):.0%} to {max(shares):.0%}"
        for region in dict.fromkeys(m.region for v in visits for m in v.rows)
        if region.endswith(" mm")
        and (shares := [m.scanned for v in visits for m in v.rows if m.region == region])
        and max(shares) - min(shares) > _SHARE
    ]
    if uneven:
        out.append(
            f"of the {', of the '.join(uneven)} was scanned, by visit: what its volumes changed by "
            "is also of what was scanned"
        )
    if not any(v.date for v in visits):
        out.append("no dates are known: the visits stand in the order in which they were given")
    return tuple(out)


def _days(first: Visit, visit: Visit) -> int | None:
    if not (first.date and visit.date):
        return None
    start, end = (datetime.date.fromisoformat(v.date) for v in (first, visit))
    return (end - start).days
