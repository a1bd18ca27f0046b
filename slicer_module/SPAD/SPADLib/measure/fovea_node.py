"""The fovea as a point of the scene: proposed, dragged in any view, saved with the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from spad.cases import luminance
from spad.measuring import propose_fovea
from SPADLib.scene import FOVEA, Result, array_of, open_source, referenced, to_world

__all__ = ["proposed", "put_fovea"]


def put_fovea(result: Result, bscan: float, column: float) -> Any:
    """Put the point there, at half the depth; a result has one.

    Returns
    -------
    vtkMRMLMarkupsFiducialNode
    """
    kind = "vtkMRMLMarkupsFiducialNode"
    node = referenced(result.segmentation, FOVEA, kind, "fovea", result.volume)
    shape = array_of(result.volume).shape[:3]
    rows = result.layout.order(shape)[1]
    k, j, i = result.layout.index((bscan, (rows - 1) / 2, column), shape)
    ras = to_world(np.array([[i, j, k]]), result.volume)[0]
    if not node.GetNumberOfControlPoints():
        node.AddControlPoint(vtk.vtkVector3d(*ras), "fovea")
    node.SetNthControlPointPositionWorld(0, *ras)
    return node


def proposed(result: Result, spacing_mm: tuple[float, float, float]) -> tuple[float, float] | None:
    """Where the fovea probably is, (B-scan, column), by the retina's pit; None where none is."""
    source = open_source(result.volume, result.layout)
    image = luminance(source.stack) if source.rgb else source.stack
    return propose_fovea(image, spacing_mm, inverted=source.inverted)
