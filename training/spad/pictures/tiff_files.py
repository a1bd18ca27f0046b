"""Decoding by tifffile, which keeps every dtype; what it cannot do alone is left to Pillow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.pictures.limits import Refused, refuse_bomb, refuse_large
from spad.pictures.pillow_files import LYING, ORIENTATION, upright

__all__ = ["LeftToPillow", "decoded", "header", "tifffile"]

_STACK_AXES = "ZTQI"  # tifffile: depth, time, and two ways to say that it does not know


class LeftToPillow(Exception):
    """A compression or a kind of colours that tifffile alone does not turn into pixels."""


def tifffile() -> Any:
    """The module.

    Raises
    ------
    ImportError
        With the remedy.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError('TIFF files need tifffile: pip install "napari-spad[train]"') from error
    return tifffile


@contextmanager
def _series(path: Path) -> Iterator[Any]:
    try:
        module = tifffile()
    except ImportError as error:
        raise LeftToPillow from error
    log = logging.getLogger("tifffile")  # what it says of a damaged file is said by the caller
    before, log.disabled = log.disabled, True
    try:
        with module.TiffFile(path) as file:
            _refuse_broken_chain(file)
            if len(file.series) != 1:
                raise Refused(
                    f"holds {len(file.series)} series of images; save each as a file of its own"
                )
            yield file.series[0]
    finally:
        log.disabled = before


def _refuse_broken_chain(file: Any) -> None:
    """Each page tells where the next one begins, the last 0; in a cut file tifffile ends early."""
    len(file.pages)  # reads them all
    file.filehandle.seek(file.pages.next_page_offset)
    told = file.filehandle.read(file.tiff.offsetsize)
    if len(told) < file.tiff.offsetsize or any(told):
        raise ValueError(f"after page {len(file.pages)} the next one is missing")


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape of the grey pixels, upright, ``(H, W)`` or ``(Z, H, W)``, and their dtype in the file.

    Raises
    ------
    LeftToPillow
        Its pixels have to be decoded to know.
    """
    with _series(path) as series:
        if series.keyframe.photometric.name not in ("MINISWHITE", "MINISBLACK", "RGB"):
            raise LeftToPillow
        shape, axes = _axes(series)
        dtype = np.dtype(series.dtype)
        turns = _turns(series, shape[0])
    shape = shape[: len(axes.removesuffix("S"))]
    if turns[0] in LYING:
        shape = (*shape[:-2], shape[-1], shape[-2])
    return shape, dtype


def decoded(path: Path, *, indexes: bool) -> tuple[NDArray[Any], bool]:
    """As `spad.pictures.pillow_files.decoded`.

    Raises
    ------
    LeftToPillow
    """
    with _series(path) as series:
        page = series.keyframe
        photometric = page.photometric.name
        if photometric not in ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE"):
            raise LeftToPillow  # CMYK, YCbCr, CIELab
        shape, axes = _axes(series, slices=indexes)
        refuse_bomb(series.size * series.dtype.itemsize, path.stat().st_size)
        _refuse_holes(series)
        try:
            array = series.asarray().reshape(shape)
        except ImportError:  # of a compression that newer Pythons know, as Zstandard
            raise LeftToPillow from None
        except (MemoryError, OSError):
            raise
        except Exception as error:  # of a decoder
            if "imagecodecs" in str(error):  # LZW, JPEG and others
                raise LeftToPillow from error
            raise ValueError(f"{_damaged(series)}{error}") from error
        turns = _turns(series, shape[0])
        palette = page.colormap if photometric == "PALETTE" else None
        alpha = [int(one) in (1, 2) for one in page.extrasamples]
    if photometric == "MINISWHITE" and not indexes and array.dtype.kind in "ub":
        array = ~array  # as Pillow and every viewer do; of 1 bit, too
    colour = axes.endswith("S")
    if colour and photometric != "RGB" and array.shape[-1] == 2 and any(alpha):
        array, colour = array[..., 0], False  # grey with transparency
    if palette is not None and not indexes:
        levels = palette >> 8 if palette.max() > 255 else palette  # some write 8 bits of the 16
        colour = bool((levels != levels[0]).any())
        array = (levels.T if colour else levels[0])[array].astype(np.uint8)
    if len(turns) == 1:
        return upright(array, turns[0], colour=colour), colour
    each = [upright(one, turn, colour=colour) for one, turn in zip(array, turns, strict=True)]
    return np.stack(each), colour


def _damaged(series: Any) -> str:
    """Which page of a stack cannot be decoded, the first one from 1."""
    for number, page in enumerate(series.pages, start=1):
        try:
            page.asarray()
        except Exception:
            return f"page {number} of {len(series.pages)}: " * (len(series.pages) > 1)
    return ""


def _turns(series: Any, depth: int) -> list[int]:
    """How the pages lie: one number where it is one for all, else one for each of so many.

    A tag tells of its own page and of no other (TIFF 6.0: each page has a directory of its own,
    and where that lacks the tag, it is upright); so Pillow turns them, too.

    Raises
    ------
    Refused
        Some of the pages lie on their side, and are not square.
    """
    pages = list(series.pages)
    if len(pages) != depth or any(page is None or page.is_virtual for page in pages):
        pages = [series.keyframe]  # one page tells of a whole stack, as ImageJ writes it
    tags = [page.aspage().tags.get(ORIENTATION) for page in pages]
    turns = [1 if tag is None else tag.value for tag in tags]
    if len({turn in LYING for turn in turns}) > 1 and len(set(series.keyframe.shape[:2])) > 1:
        raise Refused(
            "some of its pages lie on their side and others do not, so that they differ in size; "
            "save each as a file of its own"
        )
    return turns if len(set(turns)) > 1 else turns[:1]


def _axes(series: Any, slices: bool = False) -> tuple[tuple[int, ...], str]:
    """Shape and axes of a series without those of length 1, where it is an image or a stack.

    `slices` says that planes are slices, where they may be colours as well.
    """
    keep = [n > 1 or axis in "YX" for n, axis in zip(series.shape, series.axes, strict=True)]
    shape = tuple(int(n) for n, k in zip(series.shape, keep, strict=True) if k)
    axes = "".join(axis for axis, k in zip(series.axes, keep, strict=True) if k)
    if axes == "SYX" and slices:
        axes = "QYX"
    if axes == "SYX":  # what tifffile makes of a stack of 3 or 4 slices when not told better
        raise Refused(
            f"its {shape[0]} planes may be colours or the slices of a stack; save it with one page "
            "a slice, or the colours pixel by pixel"
        )
    planes = axes.removesuffix("S")
    if planes != "YX" and not (planes[1:] == "YX" and planes[0] in _STACK_AXES):
        raise Refused(
            f"its axes are {axes} {shape}; a grey or colour image or one stack of them is needed, "
            "so save each channel as a file of its own; if they are B-scans, save them as slices "
            "(Fiji: Image › Properties)"
        )
    rows = len(planes) - 2
    refuse_large(shape[rows], shape[rows + 1])
    return shape, axes


def _refuse_holes(series: Any) -> None:
    """Pages and strips that are not there, which tifffile fills with zeros."""
    if series.dataoffset is None and any(page is None for page in series.pages):
        raise Refused(
            f"tells of {len(series.pages)} pages, of which some are not in it (OME: in files "
            "beside it); save them all in one file"
        )
    for page in series.pages:
        counts = getattr(page, "databytecounts", ())
        if counts and not all(counts):
            raise ValueError("strips of it have no bytes")
