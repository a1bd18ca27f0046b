"""Slice views in B-scan mode: turned to the plane of the B-scans, which way up the model sees them.

Everything goes through MRML's slice nodes, so it is the same with and without a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SPADLib.layout import Layout
from SPADLib.volumes import array_of, from_world, nodes_of, to_world

__all__ = ["bscan_at", "go_to", "isolate", "overlay", "place_of", "show_bscan", "world_of"]

MARGIN = 1.05
"""Of the view around a B-scan."""
OPACITY = 0.6
"""Of the uncertainty over the image."""


def world_of(
    volume: Any, layout: Layout, place: Sequence[float]
) -> NDArray[np.float64]:  # fmt: skip
    """World coordinates (RAS, mm) of (B-scan, row, column), the volume's transform included."""
    k, j, i = layout.index(place, array_of(volume).shape[:3])
    return np.asarray(to_world(np.array([[i, j, k]]), volume)[0])


def place_of(volume: Any, layout: Layout, ras: Sequence[float]) -> tuple[float, float, float]:
    """Give (B-scan, row, column) of world coordinates; what `world_of` undid."""
    i, j, k = from_world(np.array([ras], float), volume)[0]
    return layout.place((k, j, i), array_of(volume).shape[:3])


def bscan_at(slice_node: Any, volume: Any, layout: Layout) -> int:
    """The B-scan that a slice view shows, the nearest one where it lies outside the volume."""
    matrix = slice_node.GetSliceToRAS()
    centre = [matrix.GetElement(axis, 3) for axis in range(3)]
    depth = layout.stack(array_of(volume)).shape[0]
    return int(np.clip(round(place_of(volume, layout, centre)[0]), 0, depth - 1))


def show_bscan(slice_node: Any, volume: Any, layout: Layout, bscan: int) -> None:
    """Turn a slice view to a B-scan, rows downwards as the model sees them, and fit it in.

    Parameters
    ----------
    slice_node : vtkMRMLSliceNode
    volume : vtkMRMLVolumeNode
    layout : Layout
    bscan : int
    """
    rows, columns = layout.stack(array_of(volume)).shape[1:3]
    centre = (bscan, (rows - 1) / 2, (columns - 1) / 2)
    at = world_of(volume, layout, centre)
    right = world_of(volume, layout, (bscan, centre[1], centre[2] + 1)) - at
    down = world_of(volume, layout, (bscan, centre[1] + 1, centre[2])) - at
    x = right / np.linalg.norm(right)
    y = -down / np.linalg.norm(down)
    z = np.cross(x, y)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = x, y, z, at
    wide, high = np.linalg.norm(right) * columns, np.linalg.norm(down) * rows
    step = world_of(volume, layout, (bscan + 1, centre[1], centre[2])) - at
    apart = max(float(abs(np.dot(step, z))), 1e-6)
    width_px, height_px = (max(n, 1) for n in slice_node.GetDimensions()[:2])
    scale = MARGIN * max(wide / width_px, high / height_px)
    was = slice_node.StartModify()
    slice_node.SetOrientationToDefault()
    slice_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    slice_node.SetSliceSpacingModeToPrescribed()
    slice_node.SetPrescribedSliceSpacing(apart, apart, apart)  # the mouse wheel: B-scan by B-scan
    slice_node.SetFieldOfView(scale * width_px, scale * height_px, apart)
    slice_node.UpdateMatrices()
    slice_node.EndModify(was)


def go_to(
    slice_node: Any,
    volume: Any,
    layout: Layout,
    bscan: int,
    spot: tuple[float, float] | None = None,
) -> None:
    """Show a B-scan in a view, with a pixel (row, column) of it in the middle.

    The view keeps its zoom where only the middle changes.
    """
    show_bscan(slice_node, volume, layout, bscan)
    if spot is not None:
        at = world_of(volume, layout, (bscan, *spot))
        slice_node.JumpSliceByCentering(*at)


def isolate(segmentation: Any, segment: str | None) -> None:
    """Show one segment alone; all of them with None."""
    display = segmentation.GetDisplayNode()
    if display is None:
        segmentation.CreateDefaultDisplayNodes()
        display = segmentation.GetDisplayNode()
    was = display.StartModify()
    for each in segmentation.GetSegmentation().GetSegmentIDs():
        display.SetSegmentVisibility(each, segment is None or each == segment)
    display.EndModify(was)


def overlay(volume: Any, uncertainty: Any | None, *, opacity: float = OPACITY) -> None:
    """Show a volume in all slice views, with its uncertainty over it or without."""
    for composite in nodes_of(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        was = composite.StartModify()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None if uncertainty is None else uncertainty.GetID())
        composite.SetForegroundOpacity(0.0 if uncertainty is None else opacity)
        composite.EndModify(was)
