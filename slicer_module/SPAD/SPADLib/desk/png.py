"""PNG of an array by VTK, and of a B-scan as the model sees it, small, to be shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from scipy import ndimage
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from spad.cases import luminance
from SPADLib.scene import Source

__all__ = ["outlined_png", "png_bytes", "png_of", "thumbnail"]

SIDE = 160
WIDE = 320
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


def thumbnail(source: Source, bscan: int | None = None, side: int = SIDE) -> NDArray[np.uint8]:
    """Shrink a B-scan (the middle one by default), (h, w) uint8, to at most `side` a side."""
    at = source.depth // 2 if bscan is None else bscan
    image = np.asarray(source.stack[at], np.float64)
    if source.rgb:
        image = luminance(image)
    step = max(-(-max(image.shape) // side), 1)
    rows, columns = (n // step * step for n in image.shape)
    blocks = image[:rows, :columns].reshape(rows // step, step, columns // step, step)
    small = np.nan_to_num(blocks.mean((1, 3)))
    low, high = np.percentile(small, (0.5, 99.5))
    grey = np.clip((small - low) / max(high - low, 1e-12), 0, 1)
    shown: NDArray[np.float64] = 1 - grey if source.inverted else grey
    return np.rint(255 * shown).astype(np.uint8)


def png_of(source: Source) -> bytes:
    """Give it as a PNG file's bytes, which every Qt can read."""
    return png_bytes(thumbnail(source))


def outlined_png(
    source: Source, bscan: int, now: NDArray[np.bool_], other: NDArray[np.bool_]
) -> bytes:
    """Give a B-scan as a PNG's bytes, a structure as it is in white, as it might be in orange.

    Parameters
    ----------
    source : Source
    bscan : int
    now, other : array of bool, shape (H, W)
    """
    grey = thumbnail(source, bscan, WIDE)
    step = max(-(-max(now.shape) // WIDE), 1)
    picture = np.repeat(grey[..., None], 3, 2)
    for where, color in ((now, (255, 255, 255)), (other, (230, 159, 0))):
        rows, columns = grey.shape
        blocks = where[: rows * step, : columns * step].reshape(rows, step, columns, step)
        small = blocks.mean((1, 3)) >= 0.5
        picture[small & ~ndimage.binary_erosion(small)] = color
    return png_bytes(picture)
