"""Image files in, image files out: one reader for every host, so that all see the same pixels.

Pillow and tifffile belong to the extras ``train`` and ``napari``, Slicer ships Pillow; they are
imported when the first file is opened. Without tifffile Pillow reads the TIFF files that it can.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import foreign, is_dangling, luminance
from spad.pictures import pillow_files, tiff_files
from spad.pictures.limits import Refused

__all__ = [
    "SUFFIXES",
    "class_values",
    "decoded",
    "header",
    "image_size",
    "in_words",
    "png_bytes",
    "read_file",
    "read_label_file",
    "read_rgb",
    "refuse_missing",
    "tiff_bytes",
]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
"""Names of the image files that `read_file` opens end so (in either case)."""
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_TURNING = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""Chunks of a PNG that may say that it is turned."""


def decoded(path: str | os.PathLike[str], *, indexes: bool = False) -> tuple[NDArray[Any], bool]:
    """Read the pixels of a file, upright.

    Parameters
    ----------
    path : path
        By its first bytes it is told what it is, not by its name.
    indexes : bool, optional
        What a label map holds: of a palette the indexes, else its colours; greys of less than 8
        bits and of a TIFF in which 0 is white as they stand in the file.

    Returns
    -------
    array, shape (H, W), (H, W, C) or with a stack's axis in front
        In the file's dtype. Turned as its orientation tag (EXIF, TIFF) says.
    colour : bool
        Whether the last axis is RGB(A).

    Raises
    ------
    ValueError
        A file that cannot be decoded, or holds no image or stack; with its name.
    OSError, ImportError
        As `read_file`.
    """
    path = Path(path)
    _refuse_missing(path)
    with in_words(path):
        array, colour = _by_kind(path, indexes)
        if not array.size:
            raise Refused(f"has no pixels (shape {array.shape}); export it again")
        return array, colour


def _by_kind(path: Path, indexes: bool) -> tuple[NDArray[Any], bool]:
    if _start(path).startswith(_TIFF_STARTS):
        try:
            return tiff_files.decoded(path, indexes=indexes)
        except tiff_files.LeftToPillow as error:
            if isinstance(error.__cause__, ImportError):
                return _without_tifffile(path, indexes)
    return pillow_files.decoded(path, indexes=indexes)


def _without_tifffile(path: Path, indexes: bool) -> tuple[NDArray[Any], bool]:
    """What Pillow reads of TIFF alone, as in Slicer; the remedy where it does not."""
    try:
        return pillow_files.decoded(path, indexes=indexes)
    except Refused:
        raise
    except ValueError as error:
        raise ValueError(f"{error}; or tifffile reads it: pip install tifffile") from error


def header(path: str | os.PathLike[str]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of what `read_file` gives; pixels are decoded where that alone tells.

    Returns
    -------
    (H, W) or (Z, H, W), and a dtype

    Raises
    ------
    ValueError, OSError, ImportError
        As `read_file`; but the pixels may yet turn out to be damaged.
    """
    path = Path(path)
    _refuse_missing(path)
    with in_words(path):
        start = _start(path)
        if start.startswith(_TIFF_STARTS):
            with contextlib.suppress(tiff_files.LeftToPillow):
                shape, dtype = tiff_files.header(path)
                return shape, _kept(dtype)
        elif not (start.startswith(_PNG_START) and _may_be_turned(path)):
            with pillow_files.opened(path) as file:
                width, height = file.size
                sixteen = "16" in file.mode or pillow_files.deep_png(file)
                if file.format != "PNG" and pillow_files.turned(file) in pillow_files.LYING:
                    width, height = height, width
                deep = "u2" if sixteen else {"F": "f4", "I": "f8"}.get(file.mode, "u1")
                return (height, width), np.dtype(deep)
    read = read_file(path, quiet=True)
    return read.shape, read.dtype


def refuse_missing(path: Path) -> None:
    """Raise an OSError that says what is there instead of a file."""
    if is_dangling(path):
        raise FileNotFoundError(f"{path}: its link leads to no file; mend or remove the link")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, not a file; rename it, or name a file in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")


def _refuse_missing(path: Path) -> None:
    refuse_missing(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: not a {', '.join(SUFFIXES)} file; convert it to PNG or TIFF")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _may_be_turned(path: Path) -> bool:
    data = path.read_bytes()
    return any(mark in data for mark in _TURNING)


@contextlib.contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Put a file's name before what is refused, and before what a decoder stumbles over."""
    try:
        with foreign():
            yield
    except ImportError:
        raise
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except MemoryError as error:
        raise OSError(
            f"{path}: does not fit into memory; close other programs, or save it in parts"
        ) from error
    except Exception as error:  # decoders raise anything on a damaged file: SyntaxError, struct...
        if isinstance(error, OSError) and error.errno is not None:
            said = f"{path}: cannot be opened ({error.strerror}); check its permissions and disk"
            raise OSError(said) from error
        text = str(error).replace(str(path), "the file") or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read ({text}); is it damaged or cut short? Save it again"
        ) from error


def _kept(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that holds all greys of another: uint8, uint16, float32 or float64."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.newbyteorder("=") in (np.uint8, np.uint16):
        return dtype.newbyteorder("=")
    small = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32 if small else np.float64)


def _luminance(array: NDArray[Any], quiet: bool) -> NDArray[Any]:
    if array.shape[-1] not in (3, 4):
        raise ValueError(f"{array.shape[-1]} colour channels, not 3 or 4; save it as grey")
    rgb = array[..., :3]
    first = rgb[..., 0]
    if np.array_equal(first, rgb[..., 1]) and np.array_equal(first, rgb[..., 2]):
        return first
    # One text and one place, so that Python's default filter says it once.
    if not quiet:
        warnings.warn("colour images are reduced to their luminance (Rec. 601)", stacklevel=3)
    luma = luminance(rgb)
    return luma if array.dtype.kind == "f" else np.rint(luma).astype(array.dtype)


def read_file(
    path: str | os.PathLike[str], *, quiet: bool = False, gaps: bool = False
) -> NDArray[Any]:
    """Read an image or a stack as grey values.

    Parameters
    ----------
    path : path
        PNG, TIFF, JPEG or BMP. All pages of a TIFF together are a stack.
    quiet : bool, optional
        Do not warn of colours.
    gaps : bool, optional
        Slices of a stack, but not all of them, may have NaN or infinite pixels.

    Returns
    -------
    ndarray, shape (H, W) or (Z, H, W)
        Upright, as the file's orientation tag says. uint8, uint16, float32 or, for integers and
        floats of more bits, float64. Colours become luminance (Rec. 601), with a warning that
        Python's default filter shows once.

    Raises
    ------
    ValueError
        A file that cannot be decoded, has channels other than colours, or NaN or infinite pixels.
    OSError
        There is no such file, it may not be read, or does not fit into memory.
    ImportError
        Pillow is missing, or tifffile where that is needed; with how to install it.
    """
    path = Path(path)
    array, colour = decoded(path)
    if colour:
        try:
            array = _luminance(array, quiet)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "c":
        raise ValueError(f"{path}: its pixels are complex numbers; save their magnitude")
    array = array.astype(_kept(array.dtype), copy=False)
    if array.dtype.kind == "f":
        whole = np.isfinite(array).all((-2, -1))
        if not (whole.any() if gaps else whole.all()):
            raise ValueError(f"{path}: has NaN or infinite pixels; replace them by a number")
    return np.ascontiguousarray(array)


def read_label_file(path: str | os.PathLike[str], *, stack: bool = False) -> NDArray[np.uint8]:
    """Read a label map: grey values or palette indexes, as they stand in the file.

    Parameters
    ----------
    path : path
        PNG (1 to 16 bits, or a palette, whose indexes count) or TIFF of integers.
    stack : bool, optional
        Take several pages, too.

    Returns
    -------
    ndarray of uint8, shape (H, W), or (Z, H, W) of a `stack`
        Upright, as its image.

    Raises
    ------
    ValueError
        Colours, floats, a stack, values outside 0..255, or a file that cannot be decoded.
    FileNotFoundError, ImportError
        As `read_file`.
    """
    path = Path(path)
    array, colour = decoded(path, indexes=True)
    if colour:
        raise ValueError(
            f"{path}: holds colours, not class values; save the class values as 8-bit grey PNG"
        )
    if array.ndim != 2 and not stack:
        raise ValueError(
            f"{path}: has shape {array.shape}, not (H, W); save each slice as a case of its own"
        )
    return class_values(path, array)


def class_values(path: Path, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of a label map as uint8; others are refused (ValueError), with the file's name."""
    if array.dtype.kind not in "bui":
        raise ValueError(f"{path}: holds {array.dtype} values; save the class values as uint8")
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > 255:
        raise ValueError(
            f"{path}: has values {low}..{high}; class values are 0..254 and 255 is ignored, "
            "so renumber them"
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def read_rgb(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read the colours of an image.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        A palette's colours; without transparency.

    Raises
    ------
    ValueError
        Grey values, a stack, more than 8 bits, or a file that cannot be decoded.
    FileNotFoundError, ImportError
        As `read_file`.
    """
    path = Path(path)
    array, colour = decoded(path)
    if not colour or array.ndim != 3 or array.shape[-1] not in (3, 4) or array.dtype != np.uint8:
        raise ValueError(
            f"{path}: holds {array.shape} {array.dtype}, not one image of 8-bit colours; save it "
            "as RGB"
        )
    return array[..., :3]


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a 2-D image; the file is verified but, if a PNG, not decoded.

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        As `read_file`; a stack is refused.
    """
    path = Path(path)
    _refuse_missing(path)
    if not _start(path).startswith(_PNG_START) or _may_be_turned(path):
        shape = read_file(path, quiet=True).shape
        if len(shape) != 2:
            raise ValueError(f"{path}: is a stack of shape {shape}; save each slice as a case")
        return shape[0], shape[1]
    with in_words(path), pillow_files.opened(path) as file:
        width, height = file.size
        file.verify()  # the check sums of all chunks: finds truncation and flipped bits
    return height, width


def png_bytes(array: NDArray[Any], palette: list[int] | None = None) -> bytes:
    """Encode ``(H, W)`` uint8 or uint16 as PNG; with a palette (R, G, B, ...) as indexes."""
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"a PNG holds (H, W) uint8 or uint16, not {array.shape} {array.dtype}; convert it"
        )
    file = pillow_files.pillow().fromarray(array)
    if palette is not None:
        file.putpalette(palette)
    stream = io.BytesIO()
    file.save(stream, format="PNG")
    return stream.getvalue()


def tiff_bytes(array: NDArray[Any]) -> bytes:
    """Encode ``(H, W)`` or ``(Z, H, W)`` as a deflated TIFF."""
    stream = io.BytesIO()
    tiff_files.tifffile().imwrite(stream, array, photometric="minisblack", compression="zlib")
    return stream.getvalue()
