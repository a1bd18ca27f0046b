"""Files of Bioptigen, Optovue, Topcon and Heidelberg in their written layout."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Picture

FRAMES = np.arange(5 * 30 * 40).reshape(5, 30, 40).astype(np.uint16)  # 5 of 30 rows, 40 columns


def field(name: bytes, content: bytes) -> bytes:
    return struct.pack("<I", len(name)) + name + struct.pack("<I", len(content)) + content


def whole(name: bytes, value: int, size: int = 4) -> bytes:
    return field(name, value.to_bytes(size, "little"))


def bioptigen(path: Path, *, kind: int = 1, frames: int = 5, scans: int = 1) -> Path:
    """Write 5 B-scans of 8 by 6.4 mm, 2.4 mm deep, of 3 February 2020."""
    lengths = {b"SCANDEPTH": 2.4, b"SCANLENGTH": 8.0, b"AZSCANLENGTH": 8.0, b"ELSCANLENGTH": 6.4}
    header = b"".join(
        [
            whole(b"FRAMECOUNT", 5), whole(b"LINECOUNT", 40), whole(b"LINELENGTH", 30),
            whole(b"SAMPLEFORMAT", 2), field(b"DESCRIPTION", b"Doe, John: OD macula"),
            whole(b"SCANTYPE", kind),
            *(field(k, struct.pack("<d", v)) for k, v in lengths.items()),
            whole(b"SCANS", scans), whole(b"FRAMES", frames), whole(b"DOPPLERFLAG", 0, 1),
            field(b"CONFIG", bytes(100)),
        ]
    )  # fmt: skip
    parts = [b"\x0a\x0d\x0b\x0e", struct.pack("<H", 0x100), field(b"FRAMEHEADER", b"")[:-4]]
    parts += [struct.pack("<I", len(header)), header, bytes(4)]
    for one in FRAMES:
        inner = [
            field(b"FRAMEDATETIME", struct.pack("<8H", 2020, 2, 1, 3, 9, 30, 0, 0)),
            field(b"FRAMETIMESTAMP", struct.pack("<d", 0.5)), whole(b"FRAMELINES", 40),
            field(b"FRAMESAMPLES", np.ascontiguousarray(one.T).astype("<u2").tobytes()),
        ]  # fmt: skip
        content = b"".join(inner)
        parts += [field(b"FRAMEDATA", b"")[:-4], struct.pack("<I", len(content)), content, bytes(4)]
    path.write_bytes(b"".join(parts))
    return path


def optovue(path: Path, *, told: int = 5) -> Path:
    """Write the B-scans of `FRAMES` as 32-bit floats, and their size beside them."""
    FRAMES[:, ::-1].transpose(0, 2, 1).astype("<f4").tofile(path)
    text = f"Scan Type = 3D\nWindow Height = 30\nScan Length = 40\nScan Usage = {told}\n"
    path.with_suffix(".txt").write_text(text)
    return path


def chunk(name: bytes, content: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack("<I", len(content)) + content


def topcon(path: Path, *, mode: int = 2, jpeg: bool = True) -> np.ndarray:
    """Write 4 B-scans of 30x40 pixels, 6 mm wide and 6 mm high."""
    rows, columns = np.mgrid[:30, :40]
    bscans = np.stack([(rows * 6 + columns + 10 * z) for z in range(4)]).astype(np.uint16)
    lengths = struct.pack("<3d", 6.0, 6.0, 2.6)
    if jpeg:
        image = struct.pack("<B6I", mode, 0, 0, 40, 30, 4, 0)
        for one in bscans:
            file = io.BytesIO()
            Picture.fromarray(one.astype(np.uint8)).save(file, "JPEG", quality=95)
            image += struct.pack("<I", len(file.getvalue())) + file.getvalue()
        parts = [chunk(b"@IMG_JPEG", image), chunk(b"@PARAM_SCAN_04", bytes(12) + lengths)]
        date = bytes(105) + struct.pack("<6H", 2021, 3, 4, 10, 0, 0)
        parts.append(chunk(b"@CAPTURE_INFO_02", b"\1" + date))
    else:
        image = struct.pack("<B4IBI", mode, 40, 30, 16, 4, 0, bscans.nbytes) + bscans.tobytes()
        parts = [chunk(b"@IMG_SCAN_03", image), chunk(b"@PARAM_SCAN_02", bytes(21) + lengths)]
        parts.append(chunk(b"@CAPTURE_INFO", b"\0" + struct.pack("<6H", 2021, 3, 4, 10, 0, 0)))
    parts.append(chunk(b"@PATIENT_INFO_02", b"HOSP-4711".ljust(32, b"\0") + b"Erika"))
    path.write_bytes(b"FOCTFDA" + bytes(8) + b"".join(parts) + b"\0")
    return bscans


def e2e(
    path: Path,
    raw: np.ndarray,
    *,
    told: int | None = None,
    pattern: int = 3,
    slices: Sequence[int] = (0, 2, 4),
    rows: int = 0,
) -> Path:
    """Write a Heidelberg file, byte by byte as eyepy's own structures read it.

    Of the left eye, on 6 May 2019; B-scans are 20 degrees long and 0.5 apart, with two lines each.

    Parameters
    ----------
    raw : ndarray of uint16, shape (Z, H, W)
        The file's own floats.
    told, pattern, slices, rows : optional
        How many B-scans the file tells of; the scan's pattern (2 is a circle); the B-scans'
        numbers; how many rows the last has.
    """
    person = b"Jane".ljust(31, b"\0") + b"Roe".ljust(70, b"\0") + b"FHOSP-4711".ljust(26, b"\0")
    series = (5, 6, 7, -1)
    parts = [((5, -1, -1, -1), 9, person), (series, 11, bytes(14) + b"L" + bytes(12))]
    for kind, words in (
        (9005, ["Retina"]),
        (9006, ["OCT ART Volume", "Volume"]),
        (9007, ["Infra-Red", "IR"]),
        (9008, ["OCT", "OCT"]),
    ):
        texts = b"".join(word.encode("utf-16-le").ljust(64, b"\0") for word in words)
        parts.append((series, kind, struct.pack("<2I", len(words), 64) + texts))
    parts.append((series, _IMAGE, _e2e_image(33620481, np.arange(64, dtype="u1").reshape(8, 8))))
    for z, one in enumerate(raw.astype("<u2")):
        ids = (*series[:3], slices[z])
        about = _e2e_bscan(z, one.shape, len(raw) if told is None else told, pattern)
        pixels = one[:rows] if rows and z == len(raw) - 1 else one
        parts += [(ids, 10004, about), (ids, _IMAGE, _e2e_image(35652097, pixels))]
        for line, row in ((0, 2.0), (1, 5.0)):  # ILM, BM
            heights = np.full(one.shape[1], row, "<f4").tobytes()
            parts.append((ids, 10019, struct.pack("<5I", 0, line, 0, one.shape[1], 0) + heights))

    def header(magic: bytes, *numbers: int) -> bytes:
        return magic.ljust(12, b"\0") + struct.pack("<I20x", 100) + struct.pack("<4I", *numbers, 0)

    folders, contents, at = b"", b"", 140 + 44 * len(parts)
    for n, (ids, kind, content) in enumerate(parts):
        about = struct.pack("<I4i2H2I", 0, *ids, kind == _IMAGE and ids[3] >= 0, 0, kind, 0)
        folders += struct.pack("<3I", 140 + 44 * n, at, len(content)) + about
        contents += b"MDbData".ljust(16, b"\0")
        contents += struct.pack("<3I", 140 + 44 * n, at, len(content)) + about + content
        at += 60 + len(content)
    path.write_bytes(
        header(b"CMDb", 0, 0, 0)[:36] + header(b"MDbMDir", 512, 36, 88)
        + header(b"MDbDir", len(parts), 88, 0) + folders + contents
    )  # fmt: skip
    return path


_IMAGE = 1073741824


def _e2e_image(kind: int, pixels: np.ndarray) -> bytes:
    head = struct.pack("<5I", pixels.nbytes + 8, kind, pixels.size, *pixels.shape)
    return head + pixels.tobytes()


def _e2e_bscan(z: int, shape: tuple[int, ...], told: int, pattern: int) -> bytes:
    """What the file says of a B-scan: 428 bytes."""
    ends = (-10.0, 0.5 * z, 10.0, 0.5 * z)
    seconds = 13201600089  # from 1601 to 6 May 2019, 7:08:09
    return (
        struct.pack("<3I4f2If", 0, *shape, *ends, 0, 0, 0.0039).ljust(60, b"\0")
        + struct.pack("<4I2fI", shape[1], told, z, pattern, 0, 0.5 * z, 120)
        + struct.pack("<QI", seconds * 10**7, 9)
    ).ljust(428, b"\0")
