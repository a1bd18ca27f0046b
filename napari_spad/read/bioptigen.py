"""Bioptigen's ``.OCT``: named fields, each with its length, the lengths of the scan among them.

Read here: oct-converter asks for opencv-python, which brings a Qt of its own, and gives no spacing.
The layout is the one that it and Bioptigen's own MATLAB code describe. Optovue's files have the
same suffix and nothing of this: they are refused by their first bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.read.opened_layers import LayerData, day, image_layer
from spad.measuring import Scale
from spad.pictures import Refused, refuse_bomb, refuse_large

__all__ = ["read_bioptigen"]

_NESTED = ("FRAMEHEADER", "FRAMEDATA")  # what they hold are fields again
_RECTANGLE = 1  # of the scan types
_SAMPLES = "FRAMESAMPLES"


def read_bioptigen(path: str | Path) -> list[LayerData]:
    """Layer of a Bioptigen ``.OCT``: its B-scans.

    Raises
    ------
    ValueError, OSError
        No such file, a damaged one, or one of Optovue; the message names it and the remedy.
    """
    path = Path(path)
    raw = path.read_bytes()
    if raw[10:21] != b"FRAMEHEADER":
        raise ValueError(
            f"{path.name} is no Bioptigen file (Optovue's .OCT tell neither their size nor their "
            "scale); export it as DICOM or as images, and type the scale"
        )
    try:
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
    except Refused as error:
        raise ValueError(f"{path.name} {error}; export it as DICOM or as images") from None
    except Exception as error:  # a parser of bytes raises anything on a damaged file
        raise ValueError(
            f"{path.name} is damaged or cut short ({type(error).__name__}); copy or export it again"
        ) from None
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
