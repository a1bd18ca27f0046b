"""Heidelberg's ``.vol`` (HSF-OCT): volumes, line, circular and radial scans.

Read here and not by eyepy, which refuses circular and radial scans: the format is small. A header
of 2048 bytes, the fundus image, then each B-scan with a header of its own, its layer lines and its
pixels as float32 in 0..1, 3.4e38 where there is none. Shown as their fourth root, as HEYEX does,
in 256 greys.
"""

from __future__ import annotations

import datetime
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.read.opened_layers import (
    UPRIGHT,
    LayerData,
    fundus_picture,
    image_layer,
    pseudonym,
    reference_layer,
)
from spad.measuring import Scale

__all__ = ["read_vol"]

_HEADER = 2048
_LINES = {
    0: "ILM", 1: "BM", 2: "RNFL", 3: "GCL", 4: "IPL", 5: "INL", 6: "OPL", 8: "ELM", 14: "PR1",
    15: "PR2", 16: "RPE",
}  # fmt: skip
_CIRCULAR, _RADIAL = 2, 5
_LARGEST = 2**31  # pixels


@dataclass(frozen=True)
class _Header:
    width: int
    bscans: int
    height: int
    spacing_mm: tuple[float, float, float]
    fundus: tuple[int, int]  # rows, columns
    fundus_mm: tuple[float, float]
    eye: str
    date: str
    pattern: int
    patient: tuple[str, ...]


def read_vol(path: str | Path) -> list[LayerData]:
    """Layers of a ``.vol`` file: the B-scans, and the bands between the vendor's layer lines.

    Raises
    ------
    ValueError, OSError
        No such file, or a damaged one; the message names it and the remedy.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        header = _header(path, file.read(_HEADER))
    least = _HEADER + header.bscans * (256 + 4 * header.width * header.height)
    if size < least:  # before memory is taken for what a damaged header tells
        raise ValueError(
            f"{path.name} is damaged or cut short: its header tells of {header.bscans} B-scans of "
            f"{header.height}×{header.width} pixels, at least {least} bytes, and it has {size}; "
            "copy or export it again"
        )
    whole = np.memmap(path, np.uint8, "r")
    shape = (header.bscans, header.height, header.width)
    pixels = np.empty(shape, np.uint8)
    lines: dict[str, NDArray[np.float32]] = {}
    ends = np.zeros((header.bscans, 4))
    at = _HEADER + header.fundus[0] * header.fundus[1]
    for z in range(header.bscans):
        # Each B-scan tells its header's size; the file's header may tell another.
        told = whole[at + 12 : at + 16]
        begin = at + int(np.frombuffer(told, "<i4")[0]) if len(told) == 4 else size
        end = begin + 4 * header.width * header.height
        if begin < at + 256 or end > size:
            raise ValueError(
                f"{path.name} is damaged or cut short after {z} of {header.bscans} B-scans; copy "
                "or export it again"
            )
        pixels[z] = _greys(np.frombuffer(whole[begin:end], "<f4").reshape(shape[1:]))
        ends[z] = struct.unpack("<4d", whole[at + 16 : at + 48].tobytes())
        for name, rows in _lines(whole[at:begin], header.width):
            lines.setdefault(name, np.full((shape[0], shape[2]), np.nan, np.float32))[z] = rows
        at = end
    notes: list[str] = []
    kind, scale, first = _placed(header, ends[:, :2], notes)
    return [
        image_layer(
            pixels,
            f"{kind} {header.eye}".strip(),
            scale,
            eye=header.eye,
            first=first,
            date=header.date,
            patient=pseudonym(*header.patient),
            fundus=_fundus(header, whole, ends),
            notes=notes,
        ),
        *reference_layer(lines, shape, scale),
    ]


def _fundus(
    header: _Header, whole: NDArray[np.uint8], ends: NDArray[np.float64]
) -> dict[str, Any] | None:
    """The picture of the fundus, with the B-scans on it, whose ends are told in mm."""
    rows, columns = header.fundus
    if not all(0 < mm < 1 for mm in header.fundus_mm):
        return None
    pixels = whole[_HEADER : _HEADER + rows * columns].reshape(rows, columns)
    places = ends.reshape(-1, 2, 2)[..., ::-1] / header.fundus_mm  # x and y become row and column
    return fundus_picture(
        pixels, places[:, 0], places[:, 1], about=header.pattern == _CIRCULAR, eye=header.eye
    )


def _placed(
    header: _Header, starts: NDArray[np.float64], notes: list[str]
) -> tuple[str, Scale, str]:
    """Kind of scan, its scale, and where its first B-scan lies."""
    between, down, along = header.spacing_mm
    if header.pattern == _CIRCULAR:
        notes.append(
            "a circular scan: its columns go round the optic disc, so left and right edge meet"
        )
        return "circular OCT", Scale.of((0.0, down, along)), ""
    if header.pattern == _RADIAL:
        notes.append("radial scans: the B-scans cross in one point, so they have no distance")
        return "radial OCT", Scale.of((0.0, down, along)), ""
    across, climb = starts[-1] - starts[0]
    first = "superior" if climb > 0 else "inferior"  # the fundus image's rows run down
    if abs(climb) <= abs(across) != 0:
        notes.append(UPRIGHT)
    return "OCT", Scale.of((between, down, along)), first if abs(climb) > abs(across) else ""


def _header(path: Path, raw: bytes) -> _Header:
    if not raw.startswith((b"HSF-OCT", b"ep-v")):
        raise ValueError(
            f"{path.name} is no Heidelberg .vol file (it does not begin with HSF-OCT); export it "
            "from HEYEX as “RAW Data”, or open it with the program that made it"
        )
    if len(raw) < _HEADER:
        raise ValueError(
            f"{path.name} is cut short: {len(raw)} bytes, of which the header alone needs "
            f"{_HEADER}; copy or export it again"
        )
    width, bscans, height = struct.unpack_from("<3i", raw, 12)
    along, between, down = struct.unpack_from("<3d", raw, 24)
    slo = struct.unpack_from("<2i2d", raw, 48)  # columns, rows, and their distances
    pattern = struct.unpack_from("<i", raw, 96)[0]
    if min(width, bscans, height) < 1 or min(slo[:2]) < 0 or bscans * width * height > _LARGEST:
        raise ValueError(
            f"{path.name} is damaged: {bscans} B-scans of {height}×{width} pixels cannot be; copy "
            "or export it again"
        )
    texts = [
        raw[at : at + length].split(b"\0")[0].decode("latin-1").strip()
        for at, length in ((84, 4), (140, 21))
    ]
    pid = struct.unpack_from("<i", raw, 136)[0]
    return _Header(
        width,
        bscans,
        height,
        (between, down, along),
        (slo[1], slo[0]),
        (slo[3], slo[2]),
        texts[0] if texts[0] in ("OD", "OS") else "",
        _date(*struct.unpack_from("<q", raw, 88)),
        pattern,
        (texts[1], f"HEYEX {pid}" if pid else ""),
    )


def _date(filetime: int) -> str:
    """Day of an examination that is told in tenths of microseconds since 1601."""
    if not 0 < filetime < 2**62:
        return ""
    day = datetime.date(1601, 1, 1) + datetime.timedelta(microseconds=filetime // 10)
    return day.isoformat() if 1980 < day.year < 2100 else ""


def _greys(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Fourth root of the intensities in 256 greys; black where there is no value."""
    known = (values >= 0) & (values < 1e30)  # NaN and 3.4e38 are not
    root = np.sqrt(np.sqrt(np.where(known, values, 0)))
    greys: NDArray[np.uint8] = np.round(np.minimum(root, 1) * 255).astype(np.uint8)
    return greys


def _lines(header: NDArray[np.uint8], width: int) -> list[tuple[str, NDArray[np.float32]]]:
    """Names and rows of a B-scan's layer lines; NaN where a line is missing."""
    count, offset = (int(n) for n in np.frombuffer(header[48:56], "<i4"))
    out = []
    for number in range(max(count, 0)):
        begin = offset + 4 * width * number
        if offset < 0 or begin + 4 * width > len(header):
            break  # the rest of the array was never written
        if number in _LINES:
            rows = np.frombuffer(header[begin : begin + 4 * width], "<f4")
            out.append((_LINES[number], np.where((rows >= 0) & (rows < 1e9), rows, np.nan)))
    return out
