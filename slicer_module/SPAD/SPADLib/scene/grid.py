"""Where an image lies on a volume's grid (K, J, I): on its lattice as it is, else resampled.

And where a segmentation does as a whole, and how it is laid on a volume that was moved. An image is
a `vtkOrientedImageData` of a segmentation or of a label map, its *owner*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from SPADLib.scene.volumes import ijk_to_ras, shape_of, to_world, under

__all__ = [
    "BINARY",
    "inner_source",
    "lattice_box",
    "lay_on",
    "lies_on",
    "mend_geometry",
    "on_grid",
    "transform_between",
]

BINARY = "Binary labelmap"  # vtkSegmentationConverter's name of it
_SURFACE = "Closed surface"
_GEOMETRY = "Reference image geometry"


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
    return _box(image, ijk_to_ras(volume))


def _box(image: Any, grid: NDArray[np.float64]) -> tuple[NDArray[np.intp], tuple[int, ...]] | None:
    step = np.linalg.solve(grid, _matrix_of(image))
    if not np.allclose(step[:3, :3], np.eye(3), atol=1e-4):
        return None
    extent = image.GetExtent()
    at = step[:3, 3] + np.array(extent[::2])
    if np.abs(at - np.rint(at)).max() > 1e-2:
        return None
    i, j, k = image.GetDimensions()
    return np.rint(at[::-1]).astype(np.intp), (k, j, i)


def _matrix_of(image: Any) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix))


def transform_between(owner: Any, volume: Any) -> Any:
    """Transform from a node's coordinates to a volume's own; None where they are the same."""
    first, second = owner.GetParentTransformNode(), volume.GetParentTransformNode()
    if first is second:
        return None
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(first, second, between)
    return between


def inner_source(inner: Any) -> str:
    """Name of the representation that a segmentation is edited in."""
    return str(inner.GetSourceRepresentationName())


def lies_on(segmentation: Any, was: NDArray[np.float64], volume: Any) -> bool:
    """Whether a segmentation's grid is a volume's in the world, both transforms included.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    was : array, (4, 4)
        From (i, j, k) to its own RAS, where it does not say so itself.
    volume : vtkMRMLVolumeNode
    """
    ends = [(0, n - 1) for n in reversed(shape_of(volume))]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    theirs = to_world(corners, volume)
    apart = np.abs(under(segmentation, corners, _own_grid(segmentation, was, volume)) - theirs)
    step = np.linalg.norm(ijk_to_ras(volume)[:3, :3], axis=0).min()
    return bool(apart.max() < 1e-2 * step)


def _own_grid(segmentation: Any, was: NDArray[np.float64], volume: Any) -> NDArray[np.float64]:
    """From (i, j, k) to a segmentation's own RAS: by its reference geometry, where that is true."""
    inner = segmentation.GetSegmentation()
    text = inner.GetConversionParameter(_GEOMETRY)
    told = slicer.vtkOrientedImageData()
    if not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, told, False):
        return was
    grid, same = _matrix_of(told), told.GetDimensions() == volume.GetImageData().GetDimensions()
    images = [image for image in _images(inner) if not image.IsEmpty()]
    return grid if same and all(_box(image, grid) is not None for image in images) else was


def _images(inner: Any) -> list[Any]:
    """Label maps of a segmentation, each once: several segments may share one."""
    found: list[Any] = []
    for segment in inner.GetSegmentIDs():
        image = inner.GetSegment(segment).GetRepresentation(BINARY)
        if image is not None and all(image is not known for known in found):
            found.append(image)
    return found


def mend_geometry(segmentation: Any, volume: Any) -> None:
    """Set the geometry that segments are painted on right, where it has their transform in it.

    So did version 0.1 leave what it segmented under a transform, which then counted twice.
    """
    parent = volume.GetParentTransformNode()
    if parent is None or segmentation.GetParentTransformNode() is not parent:
        return
    told = slicer.vtkOrientedImageData()
    text = segmentation.GetSegmentation().GetConversionParameter(_GEOMETRY)
    if not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, told, False):
        return
    own, world = ijk_to_ras(volume), vtk.vtkMatrix4x4()
    if parent.GetMatrixTransformToWorld(world):
        twice = np.asarray(slicer.util.arrayFromVTKMatrix(world)) @ own
        found = _matrix_of(told)
        if np.allclose(found, twice, atol=1e-5) and not np.allclose(found, own, atol=1e-5):
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)


def lay_on(segmentation: Any, was: NDArray[np.float64], volume: Any) -> bool:
    """Bring a segmentation to where a volume is now, each label map voxel by voxel.

    Parameters
    ----------
    segmentation, was, volume
        As of `lies_on`.

    Returns
    -------
    bool
        False where it is edited as surfaces, and nothing was done.
    """
    inner = segmentation.GetSegmentation()
    if inner_source(inner) != BINARY:
        return False
    step = ijk_to_ras(volume) @ np.linalg.inv(_own_grid(segmentation, was, volume))
    images = _images(inner)
    for image in images:
        matrix = slicer.util.vtkMatrixFromArray(step @ _matrix_of(image))
        image.SetImageToWorldMatrix(matrix)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    if inner.ContainsRepresentation(_SURFACE):
        inner.RemoveRepresentation(_SURFACE)
        inner.CreateRepresentation(_SURFACE)
    for image in images:
        image.Modified()
    return True
