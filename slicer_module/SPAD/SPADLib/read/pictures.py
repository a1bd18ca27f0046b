"""PNG, TIFF, JPEG and BMP files by the engine's reader: the pixels that every host sees.

Not by VTK, whose TIFF reader has other rows first than its PNG reader, and which damage can crash.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spad.measuring import Scale

__all__ = ["PICTURES", "add_picture", "label_map", "picture", "scaled"]

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def picture(path: Path) -> NDArray[Any]:
    """Pixels of a picture, upright, (Z, H, W) or (Z, H, W, 3|4); all pages of a TIFF.

    Raises
    ------
    ValueError, OSError
        With the file's name and the remedy.
    """
    from spad.pictures import image_files

    array, colour = image_files.decoded(path)
    if array.dtype.kind == "c":
        raise ValueError(f"{path}: its pixels are complex numbers; save their magnitude")
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    wide = np.float32 if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    array = array.astype(wide, copy=False)
    return array if array.ndim == (4 if colour else 3) else array[None]


def label_map(path: Path) -> NDArray[np.uint8]:
    """Class values of a label map, upright, (Z, H, W): of a palette the indexes.

    Raises
    ------
    ValueError, OSError
        As `picture`; colours, or values that are no classes.
    """
    from spad.pictures import image_files

    labels = image_files.read_label_file(path, stack=True)
    return labels if labels.ndim == 3 else labels[None]


def add_picture(array: NDArray[Any], kind: str, path: Path) -> Any:
    """A picture as a volume: columns to the left, rows to posterior, as Slicer loads one."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.CreateDefaultDisplayNodes()
    return node


def scaled(node: Any, scale: Scale) -> Any:
    """A volume with the lengths of its pixels, B-scans along K: 1 mm where one is not known."""
    from SPADLib.scene import keep_scale  # which needs the engine

    node.SetSpacing(*(mm or 1.0 for mm in reversed(scale.spacing_mm)))
    keep_scale(node, scale)
    return node
