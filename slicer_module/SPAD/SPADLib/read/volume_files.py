"""Files that hold a volume or a segmentation, each read alone, as nodes of the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from SPADLib.read.pictures import PICTURES, add_picture, picture

__all__ = ["IMAGES", "LABELS", "load_segmentation", "load_volume"]

IMAGES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", *PICTURES)
LABELS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif")


def load_volume(path: Path) -> Any:
    """Load one file, and no file beside it, as a volume into the scene.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    if path.name.lower().endswith(PICTURES):
        array = picture(path)
        kind = "vtkMRMLScalarVolumeNode" if array.ndim == 3 else "vtkMRMLVectorVolumeNode"
        return add_picture(array, kind, path)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)  # else numbered pictures of a folder become one stack
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
        if storage.ReadData(node) and node.GetImageData() is not None:
            node.CreateDefaultDisplayNodes()
            return node
        slicer.mrmlScene.RemoveNode(node)
    raise ValueError(f"“{path.name}” cannot be read as a volume: is it whole, and an image?")


def load_segmentation(path: Path) -> Any:
    """Load a segmentation (``.seg.nrrd``) or a label map into the scene.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    if path.name.lower().endswith(PICTURES):
        return add_picture(picture(path), "vtkMRMLLabelMapVolumeNode", path)
    kind, storage = "vtkMRMLLabelMapVolumeNode", slicer.vtkMRMLVolumeArchetypeStorageNode()
    if path.name.endswith(".seg.nrrd"):
        kind, storage = "vtkMRMLSegmentationNode", slicer.vtkMRMLSegmentationStorageNode()
    else:
        storage.SetSingleFile(True)
    storage.SetFileName(str(path))
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        raise ValueError(f"“{path.name}” cannot be read as a segmentation or label map")
    return node
