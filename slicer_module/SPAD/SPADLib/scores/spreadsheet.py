"""Scores out: a table node beside the image, and a CSV file of every B-scan."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import vtk

from spad.metrics import as_csv, score_records, write_text
from SPADLib.desk import numbered
from SPADLib.scene import referenced
from SPADLib.scores.live_scores import LiveScores, Row

__all__ = ["csv_steps", "to_csv", "to_table"]

TABLE = "SPAD.scores"
"""Role of the node reference from a result's segmentation to its table."""
_PENDING = "not counted yet"


def to_table(comparison: LiveScores) -> Any:
    """Put the scores of the whole volume into a table node; a result has one, kept up to date.

    Scores are texts, with words where there is no number; sizes and B-scans (from 1) are numbers.

    Parameters
    ----------
    comparison : LiveScores

    Returns
    -------
    vtkMRMLTableNode
    """
    segmentation = comparison.result.segmentation
    name = f"{segmentation.GetName()} scores"
    node = referenced(segmentation, TABLE, "vtkMRMLTableNode", name, comparison.result.volume)
    reference = comparison.reference.node.GetName()
    rows = comparison.rows()
    unit, size = comparison.distance_unit, comparison.size_unit
    measure = "pixels" if size == "px" else f"{'area' if size == 'mm²' else 'volume'} ({size})"
    changing = node.StartModify()
    try:
        node.RemoveAllColumns()
        _texts(node, "structure", [*(r.name for r in rows[:-1]), "mean (of sizes: sum)"])
        _texts(node, "remark", [r.word for r in rows])
        _texts(node, "Dice", [_score(r, r.dice) for r in rows])
        _texts(node, "IoU", [_score(r, r.iou) for r in rows])
        _texts(node, f"HD95 ({unit})", [_distance(r, unit) for r in rows])
        _sizes(node, measure, [r.size for r in rows[:-1]])
        _sizes(node, f"reference {measure}", [r.reference_size for r in rows[:-1]])
        worst = ["" if r.worst is None else numbered(r.worst) for r in rows]
        _texts(node, "worst B-scan", worst)
        node.SetAttribute("SPAD.reference", reference)
        said = " ".join(filter(None, (comparison.scope, comparison.reference.remark)))
        node.SetDescription(f"Compared with “{reference}”. {said}".strip())
    finally:
        node.EndModify(changing)
    return node


def csv_steps(comparison: LiveScores, path: Path) -> Generator[str, None, None]:
    """Write what `to_csv` writes in short steps, for a timer to pull; the file comes last.

    Yields
    ------
    str
        How far it is.
    """
    labels, reference = (m.copy() for m in comparison.labels)  # edits may come between the steps
    spacing: tuple[float, ...] | None = comparison.spacing_mm
    if len(labels) == 1:
        labels, reference = labels[0], reference[0]
        spacing = spacing and spacing[1:]
    segmentation = comparison.result.segmentation.GetName()
    name = comparison.reference.node.GetName()
    found: list[dict[str, Any]] = []
    last: Any = None
    for record in score_records(labels, reference, comparison.classes, spacing_mm=spacing):
        if record["bscan_from_1"] != last:
            last = record["bscan_from_1"]
            yield f"scores, {'whole volume' if last == 'all' else f'{last} B-scans'}…"
        found.append(record)
    write_text(Path(path), as_csv(found, segmentation=segmentation, annotator="", reference=name))
    yield f"Scores are in {path}"


def to_csv(comparison: LiveScores, path: Path) -> None:
    """Write the scores of every structure in every B-scan, and in the whole volume, as CSV.

    Parameters
    ----------
    comparison : LiveScores
    path : path

    Raises
    ------
    OSError
        It cannot be written; with what to do.
    """
    for _ in csv_steps(comparison, path):
        pass


def _score(row: Row, value: float) -> str:
    if math.isnan(value):
        return row.word if row.value is not None else "no structure"
    return f"{value:.3f}"


def _distance(row: Row, unit: str) -> str:
    if row.value is None:
        return ""
    if row.word:
        return row.word
    if row.hd95 is None:
        return _PENDING
    return f"{row.hd95:.3f}" if unit == "mm" else f"{row.hd95:.1f}"


def _texts(node: Any, name: str, values: list[str]) -> None:
    _add(node, vtk.vtkStringArray(), name, values)


def _sizes(node: Any, name: str, values: list[float]) -> None:
    _add(node, vtk.vtkDoubleArray(), name, [*values, sum(values)])


def _add(node: Any, array: Any, name: str, values: list[Any]) -> None:
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    node.AddColumn(array)
