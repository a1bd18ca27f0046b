"""Colours of 16 bits in PNG, which Pillow cuts to 8: both bytes of each, put together again."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut_by_pillow", "sixteen_bits"]

# What Pillow takes them for -> how one unpacks all bytes, or the upper and the lower one.
_BYTES: dict[str, tuple[str, tuple[str, ...]]] = {
    "LA;16B": ("RGBA", ("RGBA",)),  # upper and lower byte of the grey, then of the transparency
    "RGB;16B": ("RGB", ("RGB;16B", "RGB;16L")),
    "RGBA;16B": ("RGBA", ("RGBA;16B", "RGBA;16L")),
}


def _layout(file: Any) -> str:
    """How Pillow calls the pixels of a PNG that is not decoded yet; empty for other files."""
    if file.format != "PNG" or not file.tile:
        return ""
    raw = file.tile[0][3]
    return str(raw if isinstance(raw, str) or not raw else raw[0])


def cut_by_pillow(file: Any) -> bool:
    """Whether an image that is not decoded yet is such a PNG."""
    return _layout(file) in _BYTES


def sixteen_bits(path: Path, file: Any) -> NDArray[np.uint16] | None:
    """Pixels of such a PNG, (H, W) or (H, W, 3), as they lie in the file; None for another one."""
    layout = _layout(file)
    if layout not in _BYTES:
        return None
    import PIL.Image

    file.load()  # with its check sums, so that damage is told
    mode, unpacked = _BYTES[layout]
    stream, interlaced = _stream(path.read_bytes())
    halves = [
        np.asarray(PIL.Image.frombytes(mode, file.size, stream, "zip", (raw, interlaced)))
        for raw in unpacked
    ]
    if len(halves) == 1:
        upper, lower = halves[0][..., 0], halves[0][..., 1]
    else:
        upper, lower = halves[0][..., :3], halves[1][..., :3]
    together: NDArray[np.uint16] = (upper.astype(np.uint16) << 8) | lower
    return together


def _stream(data: bytes) -> tuple[bytes, bool]:
    """The packed pixels of a PNG, and whether they are interlaced."""
    parts, at = [], 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(parts), bool(data[28])
