"""Lines to files and back: CSV, NumPy's npz, eyepy's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Vectors

from napari_spad.borders.eyepy_file import SUFFIX, read_eyepy, write_eyepy
from napari_spad.borders.line_layers import borders_of, image_of
from napari_spad.layers import open_source, part_at, spacing_mm
from spad.borders import Lines, check_size, read_lines, write_lines

__all__ = ["FILTER", "export_lines", "import_lines"]

FILTER = "CSV (*.csv);;NumPy (*.npz);;eyepy (*.eye)"


def export_lines(layer: Vectors, path: Path, viewer: Any) -> str:
    """Write the lines of a layer, in the format that the name tells.

    Returns
    -------
    str
        What the file lacks, in words; mostly nothing.

    Raises
    ------
    ValueError, OSError, ImportError
        In words.
    """
    borders = borders_of(layer)
    if borders is None:
        raise ValueError(f"“{layer.name}” holds no lines; choose a layer of lines")
    if path.suffix.lower() != SUFFIX:
        write_lines(borders.lines, path)
        return ""
    image = image_of(borders, viewer)
    if image is None:
        raise ValueError("eyepy's file holds the B-scans, too: open the image under the lines")
    source = open_source(image, viewer, whole_stack=False)
    places = [(z,) if image.ndim > 2 else () for z in range(borders.bscans)]
    size = source.shape[-2:]
    pixels = np.stack([source.grey(part_at(image, place, size)) for place in places])
    lengths = spacing_mm(image, image.ndim)
    if lengths is None:
        write_eyepy(borders.lines, pixels, None, path)
        return "in pixels, for the scale is not known along every axis: type it (✎), export again"
    between, row, column = (1.0, *lengths)[-3:]  # of a single B-scan it tells nothing
    write_eyepy(borders.lines, pixels, (between, row, column), path)
    return ""


def import_lines(path: Path, shape: tuple[int, int, int]) -> Lines:
    """Read lines for an image of a shape, (Z, H, W).

    Raises
    ------
    ValueError, OSError, ImportError
        In words; also where the lines are of another size.
    """
    lines = read_eyepy(path) if path.suffix.lower() == SUFFIX else read_lines(path)
    check_size(lines, shape[0], shape[2], path.name)
    return lines
