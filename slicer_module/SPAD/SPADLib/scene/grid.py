"""Where an image lies on a volume's grid (K, J, I): on its lattice as it is, else resampled.

An image is a `vtkOrientedImageData` of a segmentation or of a label map, its *owner*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from SPADLib.scene.volumes import ijk_to_ras, shape_of

__all__ = ["lattice_box", "on_grid", "transform_between"]


def on_grid(
    image: Any, owner: Any, volume: Any
) -> tuple[NDArray[Any] | None, tuple[slice, ...], bool]:
    """Pixels of an image where they lie on a volume's grid; whether they had to be resampled."""
    between = transform_between(owner, volume)
    box = None if between is not None else lattice_box(image, volume)
    whole = tuple(slice(0, n) for n in shape_of(volume))
    if box is None:
        target = slicer.vtkOrientedImageData()
        reference = slicer.vtkOrientedImageData()
        i, j, k = volume.GetImageData().GetDimensions()
        reference.SetDimensions(i, j, k)
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        reference.SetGeometryFromImageToWorldMatrix(matrix)
        done = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            image, reference, target, False, False, between
        )
        if not done:
            raise ValueError(
                f"“{owner.GetName()}” cannot be resampled to the grid of “{volume.GetName()}”: "
                "harden its transform, or resample it by hand"
            )
        return _pixels(target), whole, True
    low, shape = box
    first = np.maximum(low, 0)
    last = np.minimum(np.add(low, shape), shape_of(volume))
    if (last <= first).any():
        return None, whole, False
    part = tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(first, last, low, strict=True))
    here = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return _pixels(image)[part], here, False


def _pixels(image: Any) -> NDArray[Any]:
    i, j, k = image.GetDimensions()
    array: NDArray[Any] = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    return array


def lattice_box(image: Any, volume: Any) -> tuple[NDArray[np.intp], tuple[int, ...]] | None:
    """Where an image begins on a volume's grid (k, j, i), and its shape; None off the lattice."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    own = np.asarray(slicer.util.arrayFromVTKMatrix(matrix))
    grid = ijk_to_ras(volume)
    step = np.linalg.solve(grid, own)
    if not np.allclose(step[:3, :3], np.eye(3), atol=1e-4):
        return None
    extent = image.GetExtent()
    at = step[:3, 3] + np.array(extent[::2])
    if np.abs(at - np.rint(at)).max() > 1e-2:
        return None
    i, j, k = image.GetDimensions()
    return np.rint(at[::-1]).astype(np.intp), (k, j, i)


def transform_between(owner: Any, volume: Any) -> Any:
    """Transform from a node's coordinates to a volume's own; None where they are the same."""
    first, second = owner.GetParentTransformNode(), volume.GetParentTransformNode()
    if first is second:
        return None
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(first, second, between)
    return between
