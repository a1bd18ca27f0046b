"""PNG of an array by VTK, since Slicer may lack an image library."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

__all__ = ["png_bytes"]

_COMPRESSION = 3


def png_bytes(array: NDArray[Any]) -> bytes:
    """Encode (H, W) or (H, W, 3), uint8 or uint16, as PNG: Slicer may lack an image library."""
    rows, columns = array.shape[:2]
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    upside_down = np.ascontiguousarray(array[::-1])  # VTK's first row is the lowest
    image.GetPointData().SetScalars(
        numpy_to_vtk(upside_down.reshape(rows * columns, -1), deep=True)
    )
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    writer.SetCompressionLevel(_COMPRESSION)
    writer.WriteToMemoryOn()
    writer.Write()
    return bytes(vtk_to_numpy(writer.GetResult()))
