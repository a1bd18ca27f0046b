"""Measurements out: a table node beside the image, and the same as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vtk

from spad.checkpoint import NOTICE
from spad.measuring import as_rows, table_csv
from spad.metrics import write_text
from SPADLib.measure.result_measures import ResultMeasures
from SPADLib.scene import into_study

__all__ = ["to_csv", "to_table"]

TABLE = "SPAD.measurements"
"""Role of the node reference from a result's segmentation to its table."""


def _rows(measures: ResultMeasures) -> list[dict[str, Any]]:
    told = measures.remarks()
    about = measures.about()
    return as_rows(measures.rows(), scale=measures.scale, remarks=told, **about)


def to_table(measures: ResultMeasures, scene: Any) -> Any:
    """Put the measurements into a table node; a result has one, kept up to date.

    Parameters
    ----------
    measures : ResultMeasures
    scene : vtkMRMLScene

    Returns
    -------
    vtkMRMLTableNode
        A row a structure and region, units in the header; empty where a number does not exist.
    """
    segmentation = measures.result.segmentation
    node = segmentation.GetNodeReference(TABLE)
    if node is None:
        name = scene.GenerateUniqueName(f"{segmentation.GetName()} measurements")
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
        into_study(node, measures.result.volume)
        segmentation.SetNodeReferenceID(TABLE, node.GetID())
    rows = _rows(measures)
    changing = node.StartModify()
    try:
        node.RemoveAllColumns()
        for header in rows[0]:
            column = vtk.vtkStringArray()
            column.SetName(header)
            for row in rows:
                column.InsertNextValue(_text(row[header]))
            node.AddColumn(column)
        node.SetDescription(f"{measures.scale.words}. {NOTICE}")
    finally:
        node.EndModify(changing)
    return node


def to_csv(measures: ResultMeasures, path: Path) -> None:
    """Write the same as CSV.

    Raises
    ------
    OSError
        It cannot be written; with what to do.
    """
    write_text(path, table_csv(_rows(measures)))


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
