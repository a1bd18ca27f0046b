"""Measurements as a tidy table: one row a structure and region, units in the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from spad.checkpoint import NOTICE, plain_text
from spad.measuring.measures import Measurement
from spad.measuring.scale import Scale

__all__ = ["COLUMNS", "as_rows", "table_csv", "write_csv"]

COLUMNS: Mapping[str, str] = {
    "structure": "structure",
    "region": "region",
    "volume_nl": "volume [nL]",
    "low_nl": "volume, lowest of the samples [nL]",
    "high_nl": "volume, highest of the samples [nL]",
    "largest_area_mm2": "largest area in a B-scan [mm²]",
    "largest_area_bscan": "B-scan of the largest area (from 1)",
    "largest_height_um": "largest height [µm]",
    "largest_height_bscan": "B-scan of the largest height (from 1)",
    "mean_height_um": "mean height [µm]",
    "parts": "parts",
    "share_of_bscans": "share of B-scans touched [%]",
    "scanned": "share of the region scanned [%]",
}
"""Header of each field of a `Measurement`, in the table's order."""


def as_rows(
    measurements: Iterable[Measurement],
    *,
    scale: Scale | None = None,
    remarks: Sequence[str] = (),
    **more: Any,
) -> list[dict[str, Any]]:
    """Rows of the table, by header.

    Parameters
    ----------
    measurements : iterable of Measurement
    scale : Scale, optional
        What the numbers rest on: a column more in every row, for tables get torn apart.
    remarks : sequence of str
        What `remarks` says; another column.
    **more
        Columns in front, by header: ``case="eye 3"``, ``eye="OD"``, ``date="2026-01-31"``.
    """
    behind = {}
    if scale is not None:
        behind = {"scale": scale.words, "remark": "; ".join(remarks or scale.doubts)}
    out = []
    for one in measurements:
        row = dict(more)
        for field, header in COLUMNS.items():
            value = getattr(one, field)
            if value is not None and field.endswith("_bscan"):
                value += 1
            elif field in ("share_of_bscans", "scanned"):
                value *= 100
            row[header] = value
        out.append(row | behind)
    return out


def table_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, under the columns of the first row and the notice in a column of its own.

    Parameters
    ----------
    rows : iterable of mapping of str to value
        As `as_rows` gives them. None is an empty cell, a float has six digits.
    """
    out = io.StringIO()
    write_csv(rows, out)
    return out.getvalue()


def write_csv(rows: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    """Write rows as `table_csv` gives them to a file of text, one after the other."""
    writer = None
    for one in rows:
        row = dict(one) | {"notice": NOTICE}
        if writer is None:
            writer = csv.DictWriter(out, list(row))
            writer.writeheader()
        writer.writerow({k: _cell(v) for k, v in row.items()})
    if writer is None:
        csv.DictWriter(out, list(COLUMNS.values())).writeheader()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain_text(value) if isinstance(value, str) else value
