"""Files of bare pixels: Zeiss's ``.img`` and Optovue's ``.OCT``.

Optovue writes their size into a ``.txt`` beside them, Zeiss nowhere: the length of the file must be
that of one of the Cirrus' cubes, or a person says how large the cube is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spad.measuring import Scale
from spad.pictures.limits import refuse_large
from spad.pictures.scans import Scan

__all__ = ["CubeSize", "UnknownSize", "fitting", "read_optovue", "read_zeiss"]

_CUBES = ((128, 1024, 512), (200, 1024, 200))  # of the Cirrus: B-scans, rows, columns
_CUBE_MM = (6.0, 2.0, 6.0)
_TYPES: dict[int, Any] = {1: np.uint8, 2: "<u2"}  # by the bytes of a pixel
_NEAR = 4  # times larger or smaller


class UnknownSize(ValueError):
    """An ``.img`` tells no size, and none that was said fits."""


@dataclass(frozen=True, slots=True)
class CubeSize:
    """How large a cube of bare pixels is, as a person says.

    Parameters
    ----------
    shape : (B-scans, rows, columns)
    mm : (across the B-scans, down, along a B-scan)
        How long the scan is; None where it is not known.

    Raises
    ------
    ValueError
        A number that is not above 0, or B-scans of more than 64 million pixels.
    """

    shape: tuple[int, int, int]
    mm: tuple[float | None, float | None, float | None] = (None, None, None)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"a cube of {in_words(self.shape)}; each number is above 0")
        if not all(0 < s < math.inf for s in self.mm if s is not None):
            raise ValueError(f"a scan of {self.mm} mm; each length is above 0, in mm")
        try:
            refuse_large(*self.shape[1:])
        except ValueError as error:
            raise ValueError(f"a B-scan of this size {error}") from None

    @classmethod
    def of(cls, shape: Sequence[int] | None, mm: Sequence[float] | None) -> CubeSize | None:
        """The size that a command line's ``--cube`` and ``--cube-mm`` say, if any; 0 mm is unknown.

        Raises
        ------
        ValueError
            Lengths without a size, or as the class.
        """
        if shape is None:
            if mm is not None:
                raise ValueError(
                    "--cube-mm says how long a scan is that --cube describes; give both"
                )
            return None
        bscans, rows, columns = shape
        across, down, along = (one or None for one in mm or (0, 0, 0))
        return cls((bscans, rows, columns), (across, down, along))

    @property
    def scale(self) -> Scale:
        """Distances of neighbours, typed; unknown where no length is."""
        return Scale.of([(s or 0) / n for s, n in zip(self.mm, self.shape, strict=True)], "typed")


def in_words(shape: tuple[int, int, int]) -> str:
    """A size in words: "128 B-scans of 1024 rows and 512 columns"."""
    return f"{shape[0]} B-scans of {shape[1]} rows and {shape[2]} columns"


def fitting(length: int, near: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Sizes, of 1 or 2 bytes a pixel, that fill so many bytes; the nearest first, at most three.

    Parameters
    ----------
    length : int
        Bytes.
    near : (B-scans, rows, columns)
        Nothing more than four times as large or small is looked at.
    """
    found = set()
    for width in _TYPES:
        pixels = length // width if length % width == 0 else 0
        small = [n for n in range(1, math.isqrt(pixels) + 1) if pixels % n == 0]
        divisors = {*small, *(pixels // n for n in small)}
        bscans, rows = (
            [n for n in divisors if one // _NEAR <= n <= one * _NEAR] for one in near[:2]
        )
        found |= {(z, y, pixels // (z * y)) for z in bscans for y in rows if pixels % (z * y) == 0}

    def away(shape: tuple[int, int, int]) -> float:
        return sum(abs(math.log(n / wanted)) for n, wanted in zip(shape, near, strict=True))

    limit = near[2] * _NEAR
    return sorted((s for s in found if limit / _NEAR**2 <= s[2] <= limit), key=away)[:3]


def read_zeiss(path: Path, size: CubeSize | None = None) -> Scan:
    """B-scans of uint8, or of uint16 where they fill the file so; see `spad.pictures.read_scan`."""
    if path.with_suffix(".hdr").exists():
        raise ValueError(
            f"{path.name} has a .hdr beside it: an Analyze or NIfTI pair, none of Zeiss's; convert "
            "it to .nii"
        )
    length = path.stat().st_size
    shape = size.shape if size else next((s for s in _CUBES if math.prod(s) == length), None)
    width = 0 if shape is None else length / math.prod(shape)
    if shape is None or width not in _TYPES:
        raise UnknownSize(f"{path.name} has {length} bytes; {_refusal(length, size)}")
    # Rows run upwards and columns from right to left, as readers of the Cirrus agree.
    pixels = np.ascontiguousarray(
        np.fromfile(path, _TYPES[int(width)]).reshape(shape)[:, ::-1, ::-1]
    )
    if size is not None:
        note = f"read as {in_words(shape)}, as was typed: look whether the image is right"
        return Scan(pixels, size.scale, notes=(note,))
    spacing = [mm / n for mm, n in zip(_CUBE_MM, shape, strict=True)]
    scale = Scale.of(spacing, "derived", "from a nominal cube of 6 × 6 × 2 mm")
    note = (
        f"taken by its length for a cube of {shape[2]} × {shape[0]} × {shape[1]}; the file tells "
        "neither size, scale nor eye: look whether the image is right, and type the scale if the "
        "scan was not 6 × 6 mm"
    )
    return Scan(pixels, scale, notes=(note,))


def _refusal(length: int, size: CubeSize | None) -> str:
    """Why no size fits, and which would."""
    near = fitting(length, _CUBES[0] if size is None else size.shape)
    would = "; it could be " + ", or ".join(map(in_words, near)) if near else ""
    if size is not None:
        return (
            f"{in_words(size.shape)} are {math.prod(size.shape)}, or twice that with 2 bytes a "
            f"pixel{would}. Type the size that the device was set to, or export it as DICOM"
        )
    known = " or ".join(f"{math.prod(s)} ({s[2]} × {s[0]} × {s[1]})" for s in _CUBES)
    return (
        f"a Cirrus cube has {known}, and the file tells no other size{would}. Say its size "
        "(--cube on a command line), copy it again, or export it as DICOM or as images"
    )


def read_optovue(path: Path) -> Scan:
    """Floats, column by column, each from its lowest row up; see `spad.pictures.read_scan`."""
    told = next((p for s in (".txt", ".TXT") if (p := path.with_suffix(s)).is_file()), None)
    if told is None:
        raise ValueError(
            f"{path.name} is no Bioptigen file, and Optovue's .OCT need the .txt of the same name "
            "beside them, which tells their size; put it there, or export as DICOM or images"
        )
    text = told.read_text("iso-8859-1")
    heights = re.findall(r"Window Height[^\d\n]*(\d+)", text)
    scans = re.findall(r"Scan Length[^\d\n]*(\d+).*\n.*Scan Usage[^\d\n]*(\d+)", text)
    size = path.stat().st_size
    if len(heights) != 1 or len(scans) != 1:
        raise ValueError(
            f"{told.name} tells {len(scans)} scans and {len(heights)} window heights; one scan of "
            f"one height is read from {path.name}. Export it as DICOM or as images"
        )
    bscans, columns, rows = int(scans[0][1]), int(scans[0][0]), int(heights[0])
    if 4 * bscans * columns * rows != size or not size:
        raise ValueError(
            f"{path.name} has {size} bytes, but {told.name} tells {bscans} B-scans of {rows} rows "
            f"and {columns} columns, {4 * bscans * columns * rows} bytes; copy both again"
        )
    pixels = np.fromfile(path, "<f4").reshape(bscans, columns, rows)
    upright = np.ascontiguousarray(pixels.transpose(0, 2, 1)[:, ::-1])
    return Scan(upright, Scale(), notes=("it tells no scale: type it",))
