"""Scans of devices whose files are read here: Bioptigen's and Optovue's ``.OCT``, Zeiss's ``.img``.

Read here and not by oct-converter: it asks for opencv-python, which brings a Qt of its own, and
gives no spacing. The layouts are those that it, and Bioptigen's own MATLAB code, describe.
"""

from __future__ import annotations

import os
from pathlib import Path

from spad.pictures import bare_pixels, bioptigen
from spad.pictures.bare_pixels import CubeSize
from spad.pictures.scans import Scan

__all__ = ["SCANS", "read_scan"]

SCANS = (".oct", ".img")
"""Names of the files that `read_scan` opens end so (in either case)."""


def read_scan(path: str | os.PathLike[str], size: CubeSize | None = None) -> Scan:
    """Read a scan.

    Parameters
    ----------
    path : path
        ``.OCT`` of Bioptigen, or of Optovue with its ``.txt`` beside it; ``.img`` of Zeiss.
    size : CubeSize, optional
        That an ``.img`` has, as a person says; the other files tell theirs.

    Raises
    ------
    UnknownSize
        A ValueError: an ``.img`` of no known size, or of another than was said.
    ValueError, OSError
        No such file, a damaged one, or of none of these makers; the message names it and the
        remedy.
    """
    path = Path(path)
    if path.suffix.lower() == ".img":
        return bare_pixels.read_zeiss(path, size)
    return bioptigen.read(path) if bioptigen.is_bioptigen(path) else bare_pixels.read_optovue(path)
