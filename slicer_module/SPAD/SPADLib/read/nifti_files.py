"""Is a NIfTI file one that Slicer reads, and whole? What is missing its reader fills with zeros."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

__all__ = ["is_nifti", "refuse_cut"]

_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile, struct.error, OverflowError, ValueError)


class _Later(Exception):
    """NIfTI-2."""


class _Series(Exception):
    """Several volumes, as Slicer reads into a sequence alone; how many."""


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def refuse_cut(path: Path) -> None:
    """Read a NIfTI file to its end.

    Raises
    ------
    ValueError
        It is cut short or damaged, NIfTI-2, a series of volumes, or holds gigabytes in a small
        file; with its name.
    OSError
        It cannot be opened.
    """
    from spad.pictures import refuse_bomb, refuse_cut_gzip

    own = path.stat().st_size
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            needed = _bytes_needed(file.read(352))
        if packed:
            refuse_bomb(needed, own)
        held = refuse_cut_gzip(path) if packed else own
    except _Later:
        raise ValueError(
            f"“{path.name}” is NIfTI-2, which Slicer does not read: save it as NIfTI-1 or NRRD, or "
            "open it in napari"
        ) from None
    except _FAULTS as error:
        raise ValueError(
            f"“{path.name}” is damaged or cut short ({error}): copy or export it again"
        ) from None
    except _Series as error:
        raise ValueError(
            f"“{path.name}” holds a series of {error} (4-D), not one volume: save the volume that "
            "is meant as a file of its own, and B-scans along the third axis"
        ) from None
    if held < needed:
        raise ValueError(
            f"“{path.name}” is cut short: it holds {held} bytes of the {needed} that its header "
            "tells of; copy or export it again"
        )


def _bytes_needed(header: bytes) -> int:
    """From the beginning of the file to its last voxel."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0]
        if size == 348:
            dims = struct.unpack_from(f"{order}8h", header, 40)
            bits = struct.unpack_from(f"{order}h", header, 72)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
        elif size == 540:
            raise _Later
        else:
            continue
        shape = dims[1 : dims[0] + 1]
        if not 1 <= dims[0] <= 7 or min(shape) < 1 or bits < 1 or not math.isfinite(offset):
            raise ValueError(f"{dims[0]} axes of {shape} voxels of {bits} bits cannot be")
        if len(shape) == 4 and shape[3] > 1:
            raise _Series(shape[3])
        if offset < size:
            raise ValueError(f"its pixels begin at byte {offset:.0f}, within its header")
        return int(offset + math.prod(shape) * bits // 8)
    raise ValueError("it does not begin as NIfTI does")
