"""Where volumes of the scene become arrays, and arrays volumes: IJK, RAS, the world, their scale.

Every array here has the axes (k, j, i) of one volume, *the grid*; `layout` makes B-scans of it, and
`segments` brings segmentations to it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from spad.cases import Layout, parsed_json
from spad.measuring import Length, Scale

__all__ = [
    "array_of",
    "directions_of",
    "from_world",
    "ijk_to_ras",
    "into_study",
    "keep_scale",
    "kept_scale",
    "known_mm",
    "new_volume",
    "nodes_of",
    "oriented",
    "put_where",
    "referenced",
    "scale_of",
    "shape_of",
    "spacing_is_default",
    "spacing_of",
    "to_world",
    "under",
]

_SCALE = "SPAD.scale"
"""Attribute of a volume that a reader of ours made: its scale along k, j, i, with origins."""
_HOW = "from the volume's spacing in Slicer"
_TRUE = 1e-3


def array_of(volume: Any) -> NDArray[Any]:
    """Pixels of a volume, (K, J, I), or (K, J, I, C) of a colour volume; the scene's own memory.

    Raises
    ------
    ValueError
        It has no pixels.
    """
    image = volume.GetImageData()
    if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
        raise ValueError(f"“{volume.GetName()}” has no pixels: load the volume again")
    return np.asarray(slicer.util.arrayFromVolume(volume))


def shape_of(volume: Any) -> tuple[int, int, int]:
    """Shape (K, J, I) of a volume's grid.

    Raises
    ------
    ValueError
        It has no pixels.
    """
    if volume.GetImageData() is None:
        raise ValueError(f"“{volume.GetName()}” has no pixels: load the volume again")
    i, j, k = volume.GetImageData().GetDimensions()
    return k, j, i


def ijk_to_ras(volume: Any) -> NDArray[np.float64]:
    """Matrix (4, 4) from (i, j, k) to the volume's own RAS, its parent transform left out."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix))


def spacing_of(volume: Any) -> tuple[float, float, float]:
    """Spacing in mm along (k, j, i)."""
    i, j, k = volume.GetSpacing()
    return k, j, i


def directions_of(volume: Any) -> NDArray[np.float64]:
    """Unit vectors in RAS of one step along k, j, i: a row each."""
    columns = ijk_to_ras(volume)[:3, 2::-1]
    unit: NDArray[np.float64] = (columns / np.linalg.norm(columns, axis=0)).T
    return unit


def to_world(ijk: NDArray[Any], volume: Any) -> NDArray[np.float64]:
    """World coordinates (n, 3) of points (i, j, k), (n, 3); the parent transform is applied."""
    return under(volume, ijk, ijk_to_ras(volume))


def under(node: Any, ijk: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """World coordinates (n, 3) of points (i, j, k) that a matrix brings to a node's own RAS."""
    return _transformed(ijk @ matrix[:3, :3].T + matrix[:3, 3], node.GetParentTransformNode())


def from_world(ras: NDArray[Any], volume: Any) -> NDArray[np.float64]:
    """Points (i, j, k), (n, 3), of world coordinates (n, 3); what `to_world` undid."""
    own = _transformed(ras, volume.GetParentTransformNode(), back=True)
    matrix = np.linalg.inv(ijk_to_ras(volume))
    found: NDArray[np.float64] = own @ matrix[:3, :3].T + matrix[:3, 3]
    return found


def _transformed(
    points: NDArray[np.float64], transform: Any, *, back: bool = False
) -> NDArray[np.float64]:
    if transform is None:
        return points
    general = vtk.vtkGeneralTransform()
    nodes = (None, transform) if back else (transform, None)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(*nodes, general)
    given, found = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetDataTypeToDouble()
    found.SetDataTypeToDouble()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(points, np.float64), deep=True))
    general.TransformPoints(given, found)
    return np.array(vtk_to_numpy(found.GetData()), np.float64)


def new_volume(
    name: str, array: NDArray[Any], like: Any, *, kind: str = "vtkMRMLScalarVolumeNode"
) -> Any:
    """Add a volume with these pixels (K, J, I) to the scene, where another one lies.

    It is under the same transform and in the same study.
    """
    node = like.GetScene().AddNewNodeByClass(kind, like.GetScene().GenerateUniqueName(name))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    put_where(node, like)
    into_study(node, like)
    return node


def put_where(node: Any, like: Any) -> None:
    """Put a volume where another one lies, under the same transform."""
    matrix = vtk.vtkMatrix4x4()
    like.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())


def nodes_of(scene: Any, kind: str) -> list[Any]:
    """Nodes of a class in a scene; `slicer.util.getNodesByClass` looks into the main scene only."""
    count = scene.GetNumberOfNodesByClass(kind)
    return [scene.GetNthNodeByClass(n, kind) for n in range(count)]


def into_study(node: Any, like: Any) -> None:
    """Put a node beside another one in the subject hierarchy: in its study or folder."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(like.GetScene())
    beside = 0 if hierarchy is None else hierarchy.GetItemByDataNode(like)
    if not beside:
        return
    parent = hierarchy.GetItemParent(beside)
    if at := hierarchy.GetItemByDataNode(node):
        hierarchy.SetItemParent(at, parent)
    else:  # the application would make one later, under the scene
        hierarchy.CreateItem(parent, node)


def referenced(segmentation: Any, role: str, kind: str, name: str, volume: Any) -> Any:
    """The node of a role of a segmentation; made, in the volume's study, where there is none."""
    node = segmentation.GetNodeReference(role)
    if node is None:
        scene = segmentation.GetScene()
        node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
        into_study(node, volume)
        segmentation.SetNodeReferenceID(role, node.GetID())
    return node


def oriented(array: NDArray[Any], volume: Any) -> Any:
    """Copy an array (K, J, I) into a vtkOrientedImageData on the volume's grid."""
    image = slicer.vtkOrientedImageData()
    k, j, i = array.shape
    image.SetDimensions(i, j, k)
    scalars = numpy_to_vtk(np.ascontiguousarray(array).reshape(-1), deep=True)
    scalars.SetName("ImageScalars")  # without it DICOM's exporter takes a segment for empty
    image.GetPointData().SetScalars(scalars)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


# ---------------------------------------------------------------------- scale


def spacing_is_default(volume: Any) -> bool:
    """Whether a volume's spacing is the 1 mm that a file without any gets."""
    return all(abs(mm - 1) < 1e-9 for mm in volume.GetSpacing())


def keep_scale(volume: Any, scale: Scale) -> None:
    """Keep with a volume, whose B-scans lie along K, where its mm come from."""
    volume.SetAttribute(_SCALE, json.dumps(scale.as_json()))


def kept_scale(volume: Any) -> Scale | None:
    """What `keep_scale` kept, along k, j, i; None where no reader of ours made the volume."""
    try:
        return Scale.from_json(parsed_json(volume.GetAttribute(_SCALE) or ""))
    except ValueError:
        return None


def known_mm(volume: Any, layout: Layout) -> tuple[float | None, float | None, float | None]:
    """Spacing of B-scans, rows and columns; None along an axis whose 1 mm stands for no length."""
    kept = kept_scale(volume) or Scale.of(spacing_of(volume))
    told = (None,) * 3 if spacing_is_default(volume) else kept.spacing_mm
    between, row, column = layout.order([
        None if mm is None and abs(step - 1) < 1e-9 else step
        for mm, step in zip(told, spacing_of(volume), strict=True)
    ])  # fmt: skip
    return between, row, column


def scale_of(result: Any) -> Scale:
    """Scale of a result's B-scans in the world: the volume's transform is included.

    Parameters
    ----------
    result : Result

    Raises
    ------
    ValueError
        The volume has no true spacing, is bent by its transform, or sheared.
    """
    volume, name = result.volume, result.volume.GetName()
    if spacing_is_default(volume):
        raise ValueError(
            f"“{name}” has a spacing of 1 mm in each direction, which a file gets that tells none. "
            "Set the true one in the module Volumes (Volume Information › Image Spacing) to measure"
        )
    shape = array_of(volume).shape[:3]
    deep, rows, columns = result.layout.order(shape)

    def at(*place: float) -> NDArray[np.float64]:
        k, j, i = result.layout.index(place, shape)
        return np.asarray(to_world(np.array([[i, j, k]]), volume)[0])

    last = (deep - 1, rows - 1, columns - 1)
    ahead = np.array([at(*(np.eye(3)[axis])) - at(0, 0, 0) for axis in range(3)])
    behind = np.array([at(*last) - at(*(last - np.eye(3)[axis])) for axis in range(3)])
    steps = np.linalg.norm(ahead, axis=1)
    angles = ahead @ ahead.T / np.outer(steps, steps) - np.eye(3)
    if not np.allclose(ahead, behind, atol=_TRUE * steps.min()) or np.abs(angles).max() > _TRUE:
        raise ValueError(
            f"“{name}” is sheared or bent, by its own axes or by its transform: a pixel has no one "
            "size. Resample it to a straight grid to measure"
        )
    kept = kept_scale(volume)
    if kept is None:
        return Scale.of(steps.tolist(), "derived", _HOW)
    told = result.layout.order((kept.bscan, kept.row, kept.column))
    # Whoever gave an axis another length since knows better than the file.
    return Scale(*(
        one if np.isclose(one.mm or 1.0, step, rtol=1e-4) else Length(float(step), "derived", _HOW)
        for one, step in zip(told, steps, strict=True)
    ))  # fmt: skip
