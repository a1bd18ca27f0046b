"""Is a packed file whole? Its readers leave to chance what is missing or damaged of it.

ITK fills a packed MetaImage with what lies in memory, and says nothing. Of gzip, nibabel and
pynrrd, ITK and teem read as far as the last voxel, before the check sum that would tell.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

from spad.pictures.limits import Refused, refuse_bomb
from spad.pictures.scans import parsing

__all__ = ["refuse_cut_gzip", "refuse_cut_metaimage", "refuse_cut_nrrd"]

_HEAD = 2**16  # bytes; headers are shorter
_BLOCK = 2**16
_UNPACKED_BLOCK = 2**20
_EITHER = 47  # of zlib's window bits: zlib or gzip
_BYTES = {"char": 1, "short": 2, "int": 4, "long": 4, "long_long": 8, "float": 4, "double": 8}


def refuse_cut_gzip(path: Path, begins: int = 0) -> int:
    """Unpack a gzip stream to its end, where its check sum and its length stand; keep nothing.

    Parameters
    ----------
    path : Path
    begins : int, optional
        Where in the file the stream begins.

    Returns
    -------
    int
        Bytes that came out.

    Raises
    ------
    Refused
        It unfolds to gigabytes, of a small file.
    EOFError, zlib.error, gzip.BadGzipFile
        It is cut short or damaged; for the caller to put into words.
    OSError
        It cannot be opened.
    """
    held, size = 0, path.stat().st_size
    with path.open("rb") as file:
        file.seek(begins)
        with gzip.GzipFile(fileobj=file) as unpacked:
            while block := unpacked.read(_UNPACKED_BLOCK):
                held += len(block)
                refuse_bomb(held, size)
    return held


def refuse_cut_nrrd(path: Path) -> None:
    """`refuse_cut_gzip` of an NRRD's pixels, in it or beside it; of one that is not packed nothing.

    Raises
    ------
    Refused, EOFError, zlib.error, OSError
        As `refuse_cut_gzip`.
    """
    said: dict[str, str] = {}
    with path.open("rb") as file:
        while line := file.readline(_HEAD).strip():
            name, _, value = line.decode("latin-1").partition(":")
            if not value.startswith("="):  # a key of the writer's own
                said[name.strip().lower()] = value.strip()
        at = file.tell()
    if said.get("encoding", "").lower() not in ("gzip", "gz") or "line skip" in said:
        return
    beside = said.get("data file", said.get("datafile"))
    if beside is None:
        refuse_cut_gzip(path, at)
    elif not beside.startswith("LIST") and "%" not in beside:
        refuse_cut_gzip(path.parent / beside)


def refuse_cut_metaimage(path: Path) -> None:
    """Unpack a MetaImage to its end, if it is a packed one; what is not packed ITK checks itself.

    Raises
    ------
    ValueError
        It is cut short or damaged, or holds gigabytes in a small file; with its name.
    OSError
        It, or the file of its pixels, cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    said, at = _fields(head)
    if said.get("compresseddata", "").lower() not in ("true", "1"):
        return
    name = said.get("elementdatafile", "")
    pixels = path
    if name.lower() != "local":
        if name.lower().startswith("list") or "%" in name:
            return  # one file a slice
        pixels, at = path.parent / name, 0
        if not pixels.is_file():
            raise ValueError(
                f"{path.name} says that its pixels are in “{name[:80]}”, which is not beside it; "
                "copy both again"
            )
    size = pixels.stat().st_size
    with parsing(path):
        if pixels == path and "compresseddatasize" not in said:
            raise Refused("tells no CompressedDataSize, without which ITK spoils its pixels")
        packed = int(said.get("compresseddatasize", size - at))
        kind = said["elementtype"].lower().removeprefix("met_").removeprefix("u")
        needed = math.prod(map(int, said["dimsize"].split())) * _BYTES[kind]
        needed *= int(said.get("elementnumberofchannels", 1))
        refuse_bomb(needed, size)
        held = _unpacked(pixels, at, packed)
        if held < needed:
            raise ValueError(f"{held} bytes of {needed}")


def _fields(head: bytes) -> tuple[dict[str, str], int]:
    """What a header says, by names in lower case, and where the pixels begin."""
    end = re.search(rb"^\s*ElementDataFile\s*=[^\n]*\n?", head, re.MULTILINE | re.IGNORECASE)
    at = end.end() if end else 0
    lines = head[:at].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, at


def _unpacked(path: Path, at: int, packed: int) -> int:
    """How many bytes come out of so many, whose check sum is right."""
    held, unpack = 0, zlib.decompressobj(_EITHER)
    with path.open("rb") as file:
        file.seek(at)
        while not unpack.eof:
            block = file.read(min(_BLOCK, max(packed, 0)))
            if not block:
                raise EOFError("no end")
            packed -= len(block)
            held += len(unpack.decompress(block))
    return held
