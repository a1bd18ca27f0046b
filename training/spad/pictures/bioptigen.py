"""Bioptigen's ``.OCT``: named fields, each with its length, those of the scan among them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from spad.measuring import Scale
from spad.pictures.limits import refuse_bomb, refuse_large
from spad.pictures.scans import Scan, day, parsing

__all__ = ["is_bioptigen", "read"]

_NESTED = ("FRAMEHEADER", "FRAMEDATA")  # what they hold are fields again
_RECTANGLE = 1  # of the scan types
_SAMPLES = "FRAMESAMPLES"


def is_bioptigen(path: Path) -> bool:
    """Whether a file begins as Bioptigen's do."""
    with path.open("rb") as file:
        return file.read(21)[10:] == b"FRAMEHEADER"


def read(path: Path) -> Scan:
    """B-scans of uint16; see `spad.pictures.read_scan`."""
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
    return Scan(np.stack(samples), scale, day(when[0], when[1], when[3]), tuple(notes))


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
