"""Decoding by Pillow: PNG, JPEG and BMP, and the TIFF files that tifffile leaves to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.pictures.limits import LARGEST_IMAGE, Refused, refuse_bomb, refuse_large

__all__ = ["ORIENTATION", "decoded", "deep_png", "opened", "pillow", "turned", "upright"]

ORIENTATION = 274
"""Number of the tag, in EXIF as in TIFF."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # no other: some run programs, or open more files
_GREYS = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


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
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, which are refused here, and of odd EXIF
        try:
            # Not by its name: Pillow then maps a TIFF into memory, and one that is turned wrongly.
            file = image.open(stream, formats=_FORMATS)
        except image.DecompressionBombError:
            raise Refused(
                f"has more than {LARGEST_IMAGE / 1e6:.0f} million pixels; crop it or save it at a "
                "lower resolution"
            ) from None
        except image.UnidentifiedImageError:
            raise ValueError("it begins like no PNG, TIFF, JPEG or BMP file") from None
        width, height = file.size
        refuse_large(height, width)
        yield file


def turned(file: Any) -> int:
    """How an image lies that is opened: 1 to 8, as EXIF and TIFF number it."""
    try:
        return int(file.getexif().get(ORIENTATION, 1))
    except Exception:  # EXIF that is damaged says nothing
        return 1


def deep_png(file: Any) -> bool:
    """Whether Pillow, an old one, gives the 16 bits of this PNG as 32."""
    return bool(file.format == "PNG" and file.mode == "I")


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
    if orientation in (5, 6, 7, 8):
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
        if tiff and _planar_colours(file):
            raise Refused(_PLANES)
        frames = []
        for number in range(count if tiff else 1):
            if number:
                file.seek(number)
                refuse_large(*file.size)
            frames.append(_frame(file, indexes))
    if len({frame.shape for frame in frames}) > 1:
        raise Refused("its pages differ in size or in colour; save each as a file of its own")
    array = frames[0] if len(frames) == 1 else np.stack(frames)
    return array, frames[0].ndim == 3


_PLANES = (
    "its planes may be colours or the slices of a stack; save it with one page a slice, or the "
    "colours pixel by pixel"
)


def _planar_colours(file: Any) -> bool:
    return bool(file.tag_v2.get(284) == 2 and file.tag_v2.get(277, 1) > 1)


def _frame(file: Any, indexes: bool) -> NDArray[Any]:
    tags = getattr(file, "tag_v2", {})
    bits, kind = tags.get(258, (8,)), tags.get(339, (1,))[0]
    if max(bits) > 32 or (len(bits) > 1 and max(bits) > 8):
        raise Refused(
            f"its {max(bits)}-bit pixels need tifffile, which this Python lacks: pip install "
            "tifffile"
        )
    inverted = tags.get(262) == 0 and file.mode not in ("1", "L")  # Pillow inverts only those
    spread = _spread(file) if indexes else 1
    orientation = 1 if tags else turned(file)  # Pillow turns a TIFF that it decodes
    frame = file
    if file.mode in ("LA", "La"):
        frame = file.convert("L")
    elif file.mode not in (*_GREYS, *(("P",) if indexes else ())):
        frame = file.convert("RGB")
    array = np.asarray(frame)
    if file.mode == "I" and tags and kind == 1 and max(bits) == 32:
        array = array.view(np.uint32)  # which Pillow takes for signed
    if deep_png(file):
        array = array.astype(np.uint16)
    if inverted and not indexes and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    if spread > 1:
        array = array // np.uint8(spread)
    return upright(array, orientation, colour=array.ndim == 3)


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
