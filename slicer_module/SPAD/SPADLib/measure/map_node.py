"""A structure's height seen from above, as a volume of one slice in µm that follows every edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from spad.cases import Layout
from SPADLib.desk import show_bscan
from SPADLib.measure.result_measures import ResultMeasures
from SPADLib.scene import MAP, array_of, nodes_of, referenced, to_world

__all__ = ["refresh_map", "show_map", "to_map"]

FLAT = Layout(0, upside_down=True)  # the first B-scan lies below, as in Heidelberg's volumes
_COLOURS = "vtkMRMLColorTableNodeFileViridis.txt"


def to_map(measures: ResultMeasures, value: int) -> Any:
    """Put the map of a structure's height into the scene; a result has one.

    Parameters
    ----------
    measures : ResultMeasures
    value : int
        The class value.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        One slice of float32, columns along I and B-scans along J, in µm, as thick as the scan is
        deep and where the scan lies; 0 where there is nothing.

    Raises
    ------
    ValueError
        A single B-scan, or B-scans at an unknown distance.
    """
    if measures.live.spacing_mm[0] is None:
        raise ValueError("A single B-scan cannot be seen from above: choose a stack")
    segmentation = measures.result.segmentation
    name = f"{segmentation.GetName()} height, µm"
    node = referenced(segmentation, MAP, "vtkMRMLScalarVolumeNode", name, measures.result.volume)
    node.SetAttribute(MAP, str(value))
    refresh_map(measures)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if node.GetScene().GetNodeByID(_COLOURS) is not None:
        display.SetAndObserveColorNodeID(_COLOURS)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, max(50.0, float(array_of(node).max())))
    return node


def refresh_map(measures: ResultMeasures) -> None:
    """Draw the map anew, if the result has one."""
    node = measures.result.segmentation.GetNodeReference(MAP)
    if node is None or measures.live.spacing_mm[0] is None:
        return
    values = {m.value for m in measures.rows()}
    value = int(node.GetAttribute(MAP) or 0)
    if value not in values:
        return
    heights = np.nan_to_num(measures.live.heights_um(value))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(heights[None]))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_placement(measures)))


def _placement(measures: ResultMeasures) -> Any:
    """Matrix from (column, B-scan, slice) to the world; the slice is as thick as the scan."""
    result = measures.result
    shape = array_of(result.volume).shape[:3]
    rows = measures.live.shape[1]

    def at(*place: float) -> Any:
        k, j, i = result.layout.index(place, shape)
        return np.asarray(to_world(np.array([[i, j, k]]), result.volume)[0])

    middle = (rows - 1) / 2
    origin = at(0, middle, 0)
    matrix = np.eye(4)
    matrix[:3, 0] = at(0, middle, 1) - origin
    matrix[:3, 1] = at(1, middle, 0) - origin
    matrix[:3, 2] = (at(0, middle + 1, 0) - origin) * rows
    matrix[:3, 3] = origin
    return matrix


def show_map(node: Any, working: Any) -> str:
    """Show the map in a slice view beside the one that is worked in; the view's name, or none.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
    working : vtkMRMLSliceNode or None
        The view of the B-scans, which keeps them.
    """
    scene = node.GetScene()
    others = [v for v in nodes_of(scene, "vtkMRMLSliceNode") if v is not working]
    if not others:
        return ""
    view = others[0]
    for composite in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetLayoutName() == view.GetLayoutName():
            composite.SetBackgroundVolumeID(node.GetID())
            composite.SetForegroundVolumeID(None)
    show_bscan(view, node, FLAT, 0)
    return str(view.GetLayoutName())
