"""PNG, TIFF and JPEG files by VTK alone: Slicer's own readers would look for a series of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

__all__ = ["PICTURES", "add_picture", "picture"]

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


def picture(path: Path) -> Any:
    """Pixels of a picture, (Z, H, W) or (Z, H, W, 3): Slicer's readers would look for a series."""
    reader = vtk.vtkImageReader2Factory.CreateImageReader2(str(path))
    if reader is None or not reader.CanReadFile(str(path)):
        raise ValueError(f"“{path.name}” cannot be read as a picture: is it whole, and an image?")
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    if not image.GetNumberOfPoints():
        raise ValueError(f"“{path.name}” has no pixels: is it whole?")
    width, height, depth = image.GetDimensions()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    array = flat.reshape(depth, height, width, -1)[:, ::-1]  # VTK's first row is the lowest
    return array[..., 0] if array.shape[-1] == 1 else array


def add_picture(array: Any, kind: str, path: Path) -> Any:
    """A picture as a volume: columns to the left, rows to posterior, as Slicer loads one."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.CreateDefaultDisplayNodes()
    return node
