"""Slice views in B-scan mode: turned to the plane of the B-scans, which way up the model sees them.

Everything goes through MRML's slice nodes, so it is the same with and without a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.cases import Layout
from SPADLib.scene import array_of, from_world, nodes_of, to_world

__all__ = ["bscan_at", "go_to", "isolate", "overlay", "place_of", "show_bscan", "world_of"]

MARGIN = 1.05
"""Of the view around a B-scan."""
OPACITY = 0.6
"""Of the uncertainty over the image."""


def world_of(volume: Any, layout: Layout, place: Sequence[float]) -> NDArray[np.float64]:
    """World coordinates (RAS, mm) of (B-scan, row, column), the volume's transform included."""
    k, j, i = layout.index(place, array_of(volume).shape[:3])
    return np.asarray(to_world(np.array([[i, j, k]]), volume)[0])


def place_of(
    volume: Any, layout: Layout, ras: Sequence[float] | NDArray[Any]
) -> tuple[float, float, float]:
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
    plane = _plane(volume, layout, bscan)
    width_px, height_px = (max(n, 1) for n in slice_node.GetDimensions()[:2])
    scale = MARGIN * max(plane.wide_mm / width_px, plane.high_mm / height_px)
    apart = plane.apart_mm
    was = slice_node.StartModify()
    slice_node.SetOrientationToDefault()
    slice_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(plane.to_ras))
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
    """Show a B-scan in a view, and a pixel (row, column) of it by the crosshair.

    A view that is turned to the B-scans keeps its zoom. One that is zoomed in has the pixel in its
    middle; else the B-scan stays there as a whole.
    """
    plane = _plane(volume, layout, bscan)
    now = np.array(slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS()))
    wide, high, _ = slice_node.GetFieldOfView()
    if not np.allclose(now[:3, :3], plane.to_ras[:3, :3], atol=1e-3):
        show_bscan(slice_node, volume, layout, bscan)
        zoomed = False
    else:
        zoomed = wide < 0.98 * plane.wide_mm or high < 0.98 * plane.high_mm
        _, row, column = place_of(volume, layout, now[:3, 3])
        middle = spot if zoomed and spot is not None else (row, column)
        slice_node.JumpSliceByCentering(*world_of(volume, layout, (bscan, *middle)))
    if spot is not None:
        for crosshair in nodes_of(volume.GetScene(), "vtkMRMLCrosshairNode"):
            crosshair.SetCrosshairRAS(*world_of(volume, layout, (bscan, *spot)))
            crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)


@dataclass(frozen=True)
class _Plane:
    """How a B-scan lies in the world: a slice view's matrix, and its sides."""

    to_ras: NDArray[np.float64]
    wide_mm: float
    high_mm: float
    apart_mm: float


def _plane(volume: Any, layout: Layout, bscan: int) -> _Plane:
    rows, columns = layout.stack(array_of(volume)).shape[1:3]
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    at = world_of(volume, layout, (bscan, *middle))
    right = world_of(volume, layout, (bscan, middle[0], middle[1] + 1)) - at
    down = world_of(volume, layout, (bscan, middle[0] + 1, middle[1])) - at
    onward = world_of(volume, layout, (bscan + 1, *middle)) - at
    x, y = right / np.linalg.norm(right), -down / np.linalg.norm(down)
    z = np.cross(x, y)
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([x, y, z, at])
    return _Plane(
        matrix,
        float(np.linalg.norm(right)) * columns,
        float(np.linalg.norm(down)) * rows,
        max(abs(float(onward @ z)), 1e-6),
    )


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


def overlay(volume: Any, uncertainty: Any | None) -> None:
    """Show a volume in all slice views, with its uncertainty over it or without."""
    for composite in nodes_of(volume.GetScene(), "vtkMRMLSliceCompositeNode"):
        was = composite.StartModify()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None if uncertainty is None else uncertainty.GetID())
        composite.SetForegroundOpacity(0.0 if uncertainty is None else OPACITY)
        composite.EndModify(was)
