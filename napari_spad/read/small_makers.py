"""``.OCT`` of Bioptigen and of Optovue, and Zeiss's ``.img``.

Bioptigen's has named fields, each with its length, the lengths of the scan among them, as
oct-converter and Bioptigen's own MATLAB code describe. The others are bare pixels: Optovue writes
their size into a ``.txt`` beside them (as oct-converter reads it), Zeiss nowhere, so that the
length of the file must be that of one of the Cirrus' cubes. Read here: oct-converter asks for
opencv-python, which brings a Qt of its own, and gives no spacing.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.read.opened_layers import LayerData, day, image_layer, parsing
from spad.measuring import Scale
from spad.pictures import refuse_bomb, refuse_large

__all__ = ["read_dot_oct", "read_zeiss"]

_NESTED = ("FRAMEHEADER", "FRAMEDATA")  # what they hold are fields again
_RECTANGLE = 1  # of the scan types
_SAMPLES = "FRAMESAMPLES"
_CUBES = ((128, 1024, 512), (200, 1024, 200))  # of the Cirrus: B-scans, rows, columns
_CUBE_MM = (6.0, 2.0, 6.0)


def read_zeiss(path: str | Path) -> list[LayerData]:
    """Layer of a Zeiss Cirrus ``.img``: its B-scans.

    Raises
    ------
    ValueError, OSError
        No such file, or one whose length is that of none of the Cirrus' cubes.
    """
    path = Path(path)
    if path.with_suffix(".hdr").exists():
        raise ValueError(
            f"{path.name} has a .hdr beside it: an Analyze or NIfTI pair, none of Zeiss's; convert "
            "it to .nii"
        )
    size = path.stat().st_size
    shape = next((one for one in _CUBES if np.prod(one) == size), None)
    if shape is None:
        known = " or ".join(f"{np.prod(s)} ({s[2]} × {s[0]} × {s[1]})" for s in _CUBES)
        raise ValueError(
            f"{path.name} has {size} bytes; a Cirrus cube has {known}, and the file tells no other "
            "size. Copy it again, or export it as DICOM or as images"
        )
    # Rows run upwards and columns from right to left, as readers of the Cirrus agree.
    pixels = np.ascontiguousarray(np.fromfile(path, np.uint8).reshape(shape)[:, ::-1, ::-1])
    spacing = [mm / n for mm, n in zip(_CUBE_MM, shape, strict=True)]
    scale = Scale.of(spacing, "derived", "from a nominal cube of 6 × 6 × 2 mm")
    note = (
        f"taken by its length for a cube of {shape[2]} × {shape[0]} × {shape[1]}; the file tells "
        "neither size, scale nor eye: look whether the image is right, and type the scale if the "
        "scan was not 6 × 6 mm"
    )
    return [image_layer(pixels, "OCT", scale, notes=[note])]


def read_dot_oct(path: str | Path) -> list[LayerData]:
    """Layer of an ``.OCT`` of Bioptigen, or of Optovue with its ``.txt`` beside it.

    Raises
    ------
    ValueError, OSError
        No such file, a damaged one, or one of neither; the message names it and the remedy.
    """
    path = Path(path)
    with path.open("rb") as file:
        bioptigen = file.read(21)[10:] == b"FRAMEHEADER"
    return _bioptigen(path) if bioptigen else _optovue(path)


def _optovue(path: Path) -> list[LayerData]:
    """Layer of 32-bit floats, column by column, each from its lowest row up."""
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
    return [image_layer(upright, "OCT", Scale(), notes=["it tells no scale: type it"])]


def _bioptigen(path: Path) -> list[LayerData]:
    """Layer of a Bioptigen ``.OCT``: its B-scans.

    Raises
    ------
    ValueError, OSError
        No such file, a damaged one, or one of Optovue; the message names it and the remedy.
    """
    raw = path.read_bytes()
    with parsing(path):
        header, frames = _fields(raw)
        width, height = int(header["LINECOUNT"]), int(header["LINELENGTH"])
        refuse_large(height, width)
        refuse_bomb(2 * len(frames) * width * height, len(raw))
        if not frames or len(frames) != header["FRAMECOUNT"]:
            raise ValueError("frames are missing")
        samples = [
            np.frombuffer(one[_SAMPLES], "<u2", width * height).reshape(width, height).T
            for one in frames
        ]
        scale, notes = _scale(header, len(frames))
        when = struct.unpack_from("<4H", frames[0].get("FRAMEDATETIME", bytes(8)))
    date = day(when[0], when[1], when[3])
    return [image_layer(np.stack(samples), "OCT", scale, date=date, notes=notes)]


def _fields(raw: bytes) -> tuple[dict[str, Any], list[dict[str, bytes]]]:
    """The header's numbers, and the fields of each frame."""
    header: dict[str, Any] = {}
    frames: list[dict[str, bytes]] = []
    at = 6
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if not length:  # the end of a header or of a frame
            continue
        name = raw[at : at + length].decode("ascii")
        (size,) = struct.unpack_from("<I", raw, at + length)
        at += length + 4
        if name in _NESTED:
            if name == "FRAMEDATA":
                frames.append({})
            continue
        if at + size > len(raw):
            raise ValueError("cut short")
        content = raw[at : at + size]
        at += size
        if frames:
            frames[-1][name] = content
        else:
            header[name] = _number(content)
    return header, frames


def _number(content: bytes) -> float | int | None:
    """A field's value: 8 bytes are a float, fewer a whole number; texts are not needed."""
    if len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return int.from_bytes(content, "little") if 0 < len(content) <= 4 else None


def _scale(header: dict[str, Any], bscans: int) -> tuple[Scale, list[str]]:
    notes = []
    between = 0.0
    if header.get("SCANTYPE") != _RECTANGLE:
        notes.append("its B-scans are no volume (lines or radial), so they have no distance")
    elif min(header.get("FRAMES") or 1, header.get("SCANS") or 1) > 1:
        notes.append("it repeats B-scans at one place, so the distance between them is left open")
    else:
        between = (header.get("ELSCANLENGTH") or 0.0) / bscans
    down = (header.get("SCANDEPTH") or 0.0) / header["LINELENGTH"]
    along = (header.get("AZSCANLENGTH") or 0.0) / header["LINECOUNT"]
    return Scale.of((between, down, along), "derived", "from the scan's lengths"), notes
