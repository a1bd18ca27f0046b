"""eyepy's own file of a volume with its layers: what eyelab and eyepy's users go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders import Lines
from spad.cases import replaced

__all__ = ["SUFFIX", "read_eyepy", "write_eyepy"]

SUFFIX = ".eye"


def write_eyepy(
    lines: Lines, pixels: NDArray[Any], spacing_mm: tuple[float, float, float] | None, path: Path
) -> None:
    """Write a volume with its lines.

    Parameters
    ----------
    lines : Lines
    pixels : array, (Z, H, W)
    spacing_mm : (between B-scans, row, column) or None
        Where it is not known the file is in pixels.
    path : Path

    Raises
    ------
    ImportError
        eyepy is missing, with the remedy.
    OSError
        It cannot be written.
    """
    eyepy = _eyepy()
    volume = eyepy.EyeVolume(data=np.asarray(pixels))
    if spacing_mm is not None:
        volume.meta["scale_z"], volume.meta["scale_y"], volume.meta["scale_x"] = spacing_mm
        volume.meta["scale_unit"] = "mm"
    for name, heights in zip(lines.names, lines.heights, strict=True):
        volume.add_layer_annotation(np.asarray(heights, np.float64), name=name)
    with replaced(path) as beside:
        volume.save(beside)


def read_eyepy(path: Path) -> Lines:
    """Lines of a file that eyepy wrote.

    Raises
    ------
    ImportError
        eyepy is missing, with the remedy.
    OSError
        There is no such file, or it may not be read.
    ValueError
        It is damaged, or none of eyepy's.
    """
    eyepy = _eyepy()
    path.stat()  # a missing file is said in the system's words
    try:
        layers = eyepy.EyeVolume.load(path).layers
        return Lines.of({name: np.asarray(layer.data) for name, layer in layers.items()})
    except Exception as error:  # a parser of bytes raises anything on a damaged file
        why = str(error) or type(error).__name__
        raise ValueError(
            f"{path.name} is no file of eyepy that can be read ({why}); save it there again"
        ) from None


def _eyepy() -> Any:
    try:
        import eyepy
    except ImportError as error:
        raise ImportError(
            f'eyepy\'s files need eyepy ({error}): pip install "napari-spad[oct]"'
        ) from None
    return eyepy
