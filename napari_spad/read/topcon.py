"""Topcon's ``.fda`` and ``.fds``: chunks, each with its name, its size and what it holds.

Read here: the package oct-converter asks for opencv-python, which brings a Qt of its own, and its
release 0.7 cannot read these files with NumPy 2.3 or newer. The layout is the one that it and uocte
describe. The B-scans come from the first of `_IMAGES` that is there.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_spad.read.opened_layers import LayerData, image_layer, pseudonym
from spad.measuring import Scale
from spad.pictures import Refused, day, parsing, refuse_bomb, refuse_large

__all__ = ["read_topcon"]

_IMAGES = (b"@IMG_JPEG", b"@IMG_MOT_COMP_03", b"@IMG_SCAN_03")
_PARAMETERS = {b"@PARAM_SCAN_04": 12, b"@PARAM_SCAN_02": 21}  # where the three lengths begin
_CAPTURES = {b"@CAPTURE_INFO_02": 106, b"@CAPTURE_INFO": 1}  # where the date begins
_PATIENTS = (b"@PATIENT_INFO_02", b"@PATIENT_INFO")
_VOLUME = 2  # of the scan modes
_HOW = "from the size of the scanned field"


@dataclass(frozen=True)
class _Stack:
    mode: int
    width: int
    height: int
    bscans: int


def read_topcon(path: str | Path) -> list[LayerData]:
    """Layer of a ``.fda`` or ``.fds`` file: its B-scans.

    Raises
    ------
    ValueError, OSError
        No such file, a damaged one, or one without B-scans; the message names it and the remedy.
    """
    path = Path(path)
    raw = path.read_bytes()
    if not raw.startswith(b"FOCT"):
        raise ValueError(
            f"{path.name} is no Topcon file (it does not begin with FOCT); export it again, or "
            "open it with the program that made it"
        )
    with parsing(path):
        chunks = _chunks(raw)
        name = next((n for n in _IMAGES if n in chunks), None)
        if name is None:
            raise Refused(f"holds no B-scans under {', '.join(n.decode() for n in _IMAGES)}")
        stack, pixels = _pixels(name, chunks[name])
        scale = _scale(chunks, stack)
        eye, date = _capture(chunks)
        patient = next((chunks[n][:32] for n in _PATIENTS if n in chunks), b"")
    notes = []
    if stack.mode != _VOLUME:
        notes.append("its B-scans are no volume (radial or crossed), so they have no distance")
    who = patient.split(b"\0")[0].decode("latin-1").strip()
    kind = f"OCT {eye}".strip()
    return [
        image_layer(pixels, kind, scale, eye=eye, date=date, patient=pseudonym(who), notes=notes)
    ]


def _chunks(raw: bytes) -> dict[bytes, bytes]:
    """What each chunk holds; of several with one name the first."""
    found: dict[bytes, bytes] = {}
    at = 15
    while at < len(raw) and raw[at]:
        name = raw[at + 1 : at + 1 + raw[at]]
        at += 1 + raw[at]
        (size,) = struct.unpack_from("<I", raw, at)
        found.setdefault(name, raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _pixels(name: bytes, chunk: bytes) -> tuple[_Stack, NDArray[np.uint8 | np.uint16]]:
    """B-scans, (Z, H, W)."""
    if name == b"@IMG_JPEG":
        mode, _, _, width, height, bscans, _ = struct.unpack_from("<B6I", chunk)
    else:
        mode, width, height, _, bscans, _, _ = struct.unpack_from("<B4IBI", chunk)
    refuse_large(height, width)
    if name != b"@IMG_JPEG":
        values = np.frombuffer(chunk, "<u2", width * height * bscans, 22)
        return _Stack(mode, width, height, bscans), values.reshape(bscans, height, width)
    refuse_bomb(bscans * width * height, len(chunk))
    from PIL import Image

    pixels = np.empty((bscans, height, width), np.uint8)
    at = 25
    for z in range(bscans):
        (size,) = struct.unpack_from("<I", chunk, at)
        with Image.open(io.BytesIO(chunk[at + 4 : at + 4 + size])) as one:
            pixels[z] = np.asarray(one.convert("L"))
        at += 4 + size
    return _Stack(mode, width, height, bscans), pixels


def _scale(chunks: dict[bytes, bytes], stack: _Stack) -> Scale:
    name = next((n for n in _PARAMETERS if n in chunks), None)
    if name is None:
        return Scale()
    wide, high, row_um = struct.unpack_from("<3d", chunks[name], _PARAMETERS[name])
    between = high / stack.bscans if stack.mode == _VOLUME else 0.0
    field = Scale.of((between, None, wide / stack.width), "derived", _HOW)
    row = Scale.of((row_um / 1000, None)).row
    return Scale(field.bscan, row, field.column)


def _capture(chunks: dict[bytes, bytes]) -> tuple[str, str]:
    """Eye and day."""
    name = next((n for n in _CAPTURES if n in chunks), None)
    if name is None:
        return "", ""
    chunk = chunks[name]
    date = day(*struct.unpack_from("<3H", chunk, _CAPTURES[name]))
    return {0: "OD", 1: "OS"}.get(chunk[0], ""), date
