"""Files of Bioptigen, Optovue and Topcon in their written layout."""

from __future__ import annotations

import io
import struct
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
