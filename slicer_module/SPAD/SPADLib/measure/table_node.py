"""Measurements out: a table node beside the image, the same as CSV, and one page of PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vtk

from spad.borders import by_region, missing_columns, thickness_rows
from spad.cases import luminance, write_bytes
from spad.checkpoint import NOTICE
from spad.measuring import as_rows, page_pdf, partly, table_csv
from spad.metrics import write_text
from SPADLib.desk import numbered
from SPADLib.measure.result_measures import ResultMeasures
from SPADLib.scene import array_of, as_called, referenced

__all__ = ["to_csv", "to_pdf", "to_table"]

TABLE = "SPAD.measurements"
"""Role of the node reference from a result's segmentation to its table."""


def _rows(measures: ResultMeasures) -> list[dict[str, Any]]:
    told = measures.remarks()
    about = measures.about()
    rows = as_rows(measures.rows(), scale=measures.scale, remarks=told, **about)
    return rows + thickness_rows(measures.layers(), measures.scale, told, about)


def to_table(measures: ResultMeasures) -> Any:
    """Put the measurements into a table node; a result has one, kept up to date.

    Parameters
    ----------
    measures : ResultMeasures

    Returns
    -------
    vtkMRMLTableNode
        A row a structure and region, units in the header; empty where a number does not exist.
    """
    segmentation = measures.result.segmentation
    name = f"{segmentation.GetName()} measurements"
    node = referenced(segmentation, TABLE, "vtkMRMLTableNode", name, measures.result.volume)
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


def to_pdf(measures: ResultMeasures, path: Path) -> None:
    """Write the page of the measurements.

    Raises
    ------
    ValueError
        Slicer's Python has no Matplotlib; with the line that brings it.
    OSError
        It cannot be written.
    """
    result, live = measures.result, measures.live
    image = result.layout.stack(array_of(result.volume))
    edited = [bool(one.any()) for one in result.own()]
    models = (run.get("checkpoint") or {} for run in result.provenance)
    facts = {
        "Model": ", ".join(dict.fromkeys(str(m.get("name", "")) for m in models if m)) or "–",
        "By hand": f"in {sum(edited)} of {len(edited)} B-scans; {len(result.accepted())} accepted",
    }
    if live.grid is not None:
        bscan, column = live.grid.fovea
        facts["Fovea"] = f"B-scan {numbered(bscan, 1)}, column {numbered(column)}"
    layers, called = measures.layers(), as_called(result.segmentation)
    of_these = partly(len(result.segmented), result.depth)
    try:
        pdf = page_pdf(
            luminance(image) if image.ndim == 4 else image, result.labels(), called, live,
            measures.scale, title=result.segmentation.GetName(), facts=facts,
            layers=by_region(layers), noted=[*filter(None, [of_these, missing_columns(layers)])],
        )  # fmt: skip
    except ImportError:
        raise ValueError(
            "The page needs the package matplotlib, which Slicer's Python lacks. Type into the "
            "Python Console, and try again:  slicer.util.pip_install('matplotlib')"
        ) from None
    write_bytes(path, pdf)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
