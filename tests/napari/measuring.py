"""A drawn stack whose numbers are known, and what the tab Measure shows of it."""

from __future__ import annotations

SHAPE = (4, 24, 36)
MM = (0.25, 0.004, 0.0125)  # between B-scans, row, column
PIXEL_NL = 0.25 * 0.004 * 0.0125 * 1000
BAND = 2 * 36  # pixels of each structure in a B-scan of the fake engine


def total(dock, name: str):
    rows = dock.measure.measures.rows
    return next(m for m in rows if m.structure == name and m.region == "total")


def shown(dock, name: str, column: int) -> str:
    table = dock.measure.table
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == name)
    return table.item(row, column).text()
