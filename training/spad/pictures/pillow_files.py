"""Decoding by Pillow: PNG, JPEG and BMP, and the TIFF files that tifffile leaves to it."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.pictures.cut_jpeg import is_cut, may_be_cut, with_more
from spad.pictures.deep_png import cut_by_pillow, sixteen_bits
from spad.pictures.limits import LARGEST_IMAGE, Refused, refuse_bomb, refuse_large
from spad.quiet import unwarned

__all__ = ["LYING", "ORIENTATION", "decoded", "deep_png", "opened", "pillow", "turned", "upright"]

ORIENTATION = 274
"""Number of the tag, in EXIF as in TIFF."""
LYING = (5, 6, 7, 8)
"""Its values where rows are stored as columns."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # no other: some run programs, or open more files
_GREYS = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_OTHERS = {  # how files begin that are often given the name of a picture
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "HEIC or AVIF": rb"....ftyp(?:hei|hev|mif|avi)",
    "PNM": rb"P[1-7]\s",
    "DICOM": rb".{128}DICM",
    "PDF": rb"%PDF",
    "a web page": rb"\s*<(?:!doctype|html)",
    "a pointer of Git LFS, not the file": rb"version https://git-lfs",
}


def pillow() -> Any:
    """``PIL.Image``.

    Raises
    ------
    ImportError
        With the remedy.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError(
            'reading image files needs Pillow: pip install "napari-spad[train]"'
        ) from error
    return PIL.Image


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An image of Pillow, not decoded yet, of no more than `LARGEST_IMAGE` pixels."""
    image = pillow()
    with path.open("rb") as stream, unwarned:  # of bombs, refused here, and of odd EXIF
        try:
            # Not by its name: Pillow then maps a TIFF into memory, and one that is turned wrongly.
            file = image.open(stream, formats=_FORMATS)
        except image.DecompressionBombError:
            raise Refused(
                f"has more than {LARGEST_IMAGE / 1e6:.0f} million pixels; crop it or save it at a "
                "lower resolution"
            ) from None
        except image.UnidentifiedImageError:
            stream.seek(0)
            _refuse_other(stream.read(132))
            raise ValueError("it begins like no PNG, TIFF, JPEG or BMP file") from None
        width, height = file.size
        refuse_large(height, width)
        yield file


def _refuse_other(start: bytes) -> None:
    """Raise `Refused` for a whole file of another kind: nobody need look for damage."""
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        raise ValueError("a TIFF that Pillow does not open; save it without compression")
    for kind, pattern in _OTHERS.items():
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            raise Refused(
                f"cannot be read: whatever its name says, it is {kind}; save it as PNG or TIFF"
            )


def turned(file: Any) -> int:
    """How an image lies that is opened: 1 to 8, as EXIF and TIFF number it."""
    try:
        return int(file.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF that is damaged says nothing
        return 1


def deep_png(file: Any) -> bool:
    """Whether Pillow gives the 16 bits of this PNG, not decoded yet, as 8 or (an old one) as 32."""
    return cut_by_pillow(file) or bool(file.format == "PNG" and file.mode == "I")


def upright(array: NDArray[Any], orientation: int, *, colour: bool) -> NDArray[Any]:
    """Turn pixels as their orientation tag says.

    Parameters
    ----------
    array : array, shape (..., H, W), or (..., H, W, C) where `colour`
    orientation : int
        1 to 8, of EXIF or of TIFF; others turn nothing, as in every viewer.
    colour : bool
    """
    row = array.ndim - (3 if colour else 2)
    if orientation in LYING:
        array = np.swapaxes(array, row, row + 1)
    if orientation in (3, 4, 7, 8):
        array = np.flip(array, row)
    if orientation in (2, 3, 6, 7):
        array = np.flip(array, row + 1)
    return array


def decoded(path: Path, *, indexes: bool) -> tuple[NDArray[Any], bool]:
    """Pixels upright, ``(H, W)``, ``(H, W, 3)`` or with a stack's axis in front; and if in colour.

    With `indexes` the values that a label map holds: a palette's indexes, and greys of 2 and 4 bits
    as they stand in the file, where Pillow spreads them over 8.
    """
    with opened(path) as file:
        tiff = file.format == "TIFF"
        count = getattr(file, "n_frames", 1)
        if count > 1 and file.format == "PNG":
            raise Refused(f"is an animation of {count} images; save each as a file of its own")
        width, height = file.size
        refuse_bomb(count * width * height * 3 if tiff else 0, path.stat().st_size)
        if tiff:
            _refuse_layout(file, count)
        if (deep := sixteen_bits(path, file)) is not None:
            return upright(deep, turned(file), colour=deep.ndim == 3), deep.ndim == 3
        frames = []
        for number in range(count if tiff else 1):
            with _named(number, count):
                if number:
                    file.seek(number)
                    refuse_large(*file.size)
                frames.append(_frame(file, indexes))
        if file.format in ("JPEG", "MPO"):
            _refuse_cut(path.read_bytes(), file, frames[0], indexes)
    if len({(frame.shape, frame.dtype) for frame in frames}) > 1:
        raise Refused("its pages differ in size, colour or depth; save each as a file of its own")
    array = frames[0] if len(frames) == 1 else np.stack(frames)
    return array, frames[0].ndim == 3


@contextmanager
def _named(number: int, count: int) -> Iterator[None]:
    """Say which page of several it is that cannot be decoded."""
    try:
        yield
    except (Refused, MemoryError):
        raise
    except Exception as error:  # of a decoder, or of the system
        if count == 1 or getattr(error, "errno", None) is not None:
            raise
        raise OSError(f"page {number + 1} of {count}: {error}") from error


def _refuse_cut(data: bytes, file: Any, frame: NDArray[Any], indexes: bool) -> None:
    """Raise a ValueError where a JPEG, decoded to `frame`, was cut and closed again."""
    corner = np.asarray(file.crop((*((n - 1) // 8 * 8 for n in file.size), *file.size)))
    if not may_be_cut(data, corner) or (more := with_more(data)) is None:
        return
    with pillow().open(io.BytesIO(more), formats=_FORMATS) as again:
        if is_cut(frame, _frame(again, indexes)):
            raise ValueError("its end mark is there, but not all of the picture before it")


_PLANES = (
    "its planes may be colours or the slices of a stack; save it with one page a slice, or the "
    "colours pixel by pixel"
)


def _refuse_layout(file: Any, count: int) -> None:
    """Raise `Refused` where the pages are not the slices of one stack, or not all are here."""
    if file.tag_v2.get(284) == 2 and file.tag_v2.get(277, 1) > 1:
        raise Refused(_PLANES)
    told = str(file.tag_v2.get(270, ""))
    axes = {}
    if told.startswith("ImageJ="):
        axes = {name: int(number) for name, number in _IMAGEJ.findall(told)}
    elif (channels := _CHANNELS.search(told)) and int(channels[1]) > file.tag_v2.get(277, 1):
        axes = {"channels": int(channels[1])}  # OME's, pages of their own
    if axes.get("channels", 1) > 1 or min(axes.get("slices", 1), axes.get("frames", 1)) > 1:
        several = " and ".join(f"{n} {name}" for name, n in axes.items() if n > 1)
        raise Refused(
            f"has {several}; save each channel as a file of its own; if they are B-scans, save "
            "them as slices (Fiji: Image › Properties)"
        )
    numbers = [int(number) for number in _TOLD.findall(told)]  # ImageJ's images, or OME's Z and T
    if '"truncated": true' in told or math.prod(numbers) > count:
        raise Refused(
            "tells of more images than it has pages: tifffile reads such files where they are "
            "whole (pip install tifffile); or save it anew, one page a slice"
        )


_IMAGEJ = re.compile(r"^(channels|slices|frames)=(\d{1,9})$", re.MULTILINE)
_CHANNELS = re.compile(r"\bSizeC=\"(\d{1,9})\"")
_TOLD = re.compile(r"(?:^images=|\bSize[ZT]=\")(\d{1,9})", re.MULTILINE)


def _frame(file: Any, indexes: bool) -> NDArray[Any]:
    tags = getattr(file, "tag_v2", {})
    bits, kind = tags.get(258, (8,)), tags.get(339, (1,))[0]
    if max(bits) > 32 or (len(bits) > 1 and max(bits) > 8):
        raise Refused(
            f"its {max(bits)}-bit pixels need tifffile, which this Python lacks: pip install "
            "tifffile"
        )
    white, by_pillow = tags.get(262) == 0, file.mode in ("1", "L")  # it inverts only those
    spread = _spread(file) if indexes else 1
    swapped = _swapped(file)
    orientation = 1 if tags else turned(file)  # Pillow turns a TIFF that it decodes
    levels = tags.get(320, ()) if file.mode == "P" and not indexes else ()
    few = bool(levels) and max(levels) < 256  # some write 8 bits of a palette's 16
    dark = _dark_greys(file)
    frame = file
    if file.mode in ("LA", "La"):
        frame = file.convert("L")
    elif not few and file.mode not in (*_GREYS, *(("P",) if indexes else ())):
        frame = file.convert("RGB")
    array = np.asarray(frame)
    if few:
        array = np.reshape(levels, (3, -1)).astype(np.uint8).T[array]
    if file.mode == "P" and not indexes and _is_grey(levels or file.getpalette()):
        array = array[..., 0]
    if dark:
        array = array // np.uint8(17)
    if swapped:
        array = array.astype(np.int16 if max(bits) == 16 else array.dtype).byteswap()
    if file.mode == "I" and tags and kind == 1 and max(bits) == 32:
        array = array.view(np.uint32)  # which Pillow takes for signed
    if file.mode == "L" and kind == 2 and max(bits) == 8:
        array = array.view(np.int8)  # which it takes for unsigned
    if deep_png(file):
        array = array.astype(np.uint16)
    if white and by_pillow and indexes:
        array = ~array
    elif white and not by_pillow and not indexes and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    if spread > 1:
        array = array // np.uint8(spread)
    return upright(array, orientation, colour=array.ndim == 3)


def _is_grey(palette: Any) -> bool:
    """Whether a palette (R, G, B, ..., of TIFF all R first) holds greys alone."""
    levels = np.asarray(palette)
    planes = levels.reshape(3, -1) if isinstance(palette, tuple) else levels.reshape(-1, 3).T
    return bool((planes == planes[0]).all())


def _dark_greys(file: Any) -> bool:
    """Let Pillow read a BMP of 4 bits whose greys are its indexes, which it spreads over 8 then.

    It takes that for a file of 8 bits, and fails, or reads other pixels where the rows are short.
    """
    if file.format != "BMP" or file.mode != "L" or file.tile[0][0] != "raw":
        return False
    file.fp.seek(14)
    told = file.fp.read(16)
    at = 10 if told[0] == 12 else 14  # OS/2's header, and Windows'
    if told[at] != 4:
        return False
    codec, where, offset, (_, *rest) = file.tile[0]
    file.tile = [(codec, where, offset, ("L;4", *rest))]
    return True


def _swapped(file: Any) -> bool:
    """Whether Pillow will swap the bytes of a packed TIFF which libtiff has put right already."""
    if not file.tile or file.tile[0][0] != "libtiff":
        return False
    return str(file.tile[0][3][0]) in ("I;16BS", "I;32BS", "F;32BF")


def _spread(file: Any) -> int:
    """By what Pillow multiplies the greys of a file of 2 or 4 bits."""
    bits = 8
    if file.format == "TIFF":
        bits = file.tag_v2.get(258, (8,))[0]
    elif file.format == "PNG" and file.mode == "L" and file.tile:
        raw = file.tile[0][3]
        raw = raw if isinstance(raw, str) or not raw else raw[0]
        bits = {"L;2": 2, "L;4": 4}.get(raw, 8)
    return {2: 85, 4: 17}.get(bits, 1) if file.mode == "L" else 1
