"""JPEG that was cut and closed again: it decodes to its end, the rest of it one grey.

Pillow tells only of a file without an end marker. But a scan that holds all its blocks is decoded
without a look at what comes after them, and one that does not takes whatever comes: so bytes that
are put in before the marker change no pixel of the first, and many of the second.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_cut", "may_be_cut", "with_more"]

FEW = 1024
"""So many pixels may be missing: some encoders leave out the last bits, which costs a block."""
_MORE = bytes(np.random.default_rng(0).integers(0, 255, 4096, np.uint8))  # 255 begins a marker
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not 0 and not D0 to D7: those are data
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_TABLES = (0xC4, 0xC8, 0xCC)
_SCAN, _END, _INTERVAL = 0xDA, 0xD9, 0xDD
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_RESTARTS = 64


def may_be_cut(data: bytes, corner: NDArray[np.uint8]) -> bool:
    """Whether a file has to be decoded again to tell; most need not, for that takes as long again.

    What is missing of a file of one scan is grey alone in its last block, ``corner``, which the
    noise of an image is not. A scan among several may be cut where others are not.
    """
    one = data.count(b"\xff\xda") == 1  # an image within the file, a thumbnail, has its own
    return not one or bool((corner == corner[0, 0]).all())


def with_more(data: bytes) -> bytes | None:
    """The file with more bytes at the end of each of its scans.

    None where that would tell nothing: of arithmetic coding, which may leave out zeros at the end,
    and of a file that is not made as JPEG is.
    """
    out: list[bytes] = []
    copied, at, restarts = 0, 0, False
    while marker := _MARKER.search(data, at):
        code, at = marker[1][0], marker.end()
        if code == _END:
            return b"".join((*out, data[copied:])) if out else None
        if 0xC0 <= code <= 0xCF and code not in (*_HUFFMAN, *_TABLES):
            return None
        if code in (0x01, 0xD8):  # without a length
            continue
        restarts |= code == _INTERVAL
        at += int.from_bytes(data[at : at + 2])
        if code == _SCAN and (end := _MARKER.search(data, at)):
            out += [data[copied : end.start()], _MORE]
            out += _more_restarts(data[at : end.start()]) if restarts else []
            copied = at = end.start()
    return None


def _more_restarts(scan: bytes) -> list[bytes]:
    """More of a scan that is in parts, each begun by a mark that is counted from 0 to 7."""
    seen = _RESTART.findall(scan)
    first = seen[-1][0] + 1 if seen else 0
    marks = (bytes([0xFF, 0xD0 + (first + n) % 8]) for n in range(_RESTARTS))
    return [mark + _MORE[:_RESTARTS] for mark in marks]


def is_cut(pixels: NDArray[np.uint8], more: NDArray[np.uint8]) -> bool:
    """Whether what was decoded from a file, and from `with_more` of it, is of one that was cut."""
    differ = pixels != more
    return int(np.count_nonzero(differ.any(-1) if differ.ndim == 3 else differ)) > FEW
