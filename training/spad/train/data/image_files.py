"""Image files in, image files out: PNG, TIFF and JPEG for the trainer and the command line.

The engine itself never opens an image file. Pillow and tifffile belong to the ``train`` extra, are
imported when the first file is opened, and their absence is said with its remedy.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SUFFIXES",
    "image_size",
    "png_bytes",
    "read_file",
    "read_label_file",
    "read_rgb",
    "tiff_bytes",
]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
"""Names of the image files that `read_file` opens end so (in either case)."""
_TIFF = (".tif", ".tiff")
_REMEDY = 'pip install "napari-spad[train]"'
_STACK_AXES = "ZTQI"  # tifffile: depth, time, and two ways to say that it does not know


def _pillow() -> Any:
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError(f"reading image files needs Pillow: {_REMEDY}") from error
    return PIL.Image


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(f"reading TIFF files needs tifffile: {_REMEDY}") from error
    return tifffile


def _pillow_array(path: Path, *, indexes: bool) -> tuple[NDArray[Any], bool]:
    """Pixels ``(H, W)``, ``(H, W, 3)`` or with a stack's axis in front, and whether in colour."""
    with _pillow().open(path) as file:
        grey = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
        frames = []
        for number in range(getattr(file, "n_frames", 1) if path.suffix.lower() in _TIFF else 1):
            if number:
                file.seek(number)
            frame = file
            if frame.mode in ("LA", "La"):
                frame = frame.convert("L")
            elif frame.mode not in (*grey, *(("P",) if indexes else ())):
                frame = frame.convert("RGB")
            frames.append(np.asarray(frame))
    if len({frame.shape for frame in frames}) > 1:
        raise ValueError("its pages differ in size; save each as a file of its own")
    array = frames[0] if len(frames) == 1 else np.stack(frames)
    return array, frames[0].ndim == 3


def _tiff_array(path: Path, *, indexes: bool) -> tuple[NDArray[Any], bool]:
    """As `_pillow_array`, by tifffile, which keeps every dtype."""
    with _tifffile().TiffFile(path) as file:
        if len(file.series) > 1:
            raise ValueError(
                f"it holds {len(file.series)} series of images; save each as a file of its own"
            )
        series = file.series[0]
        inverted = series.keyframe.photometric.name == "MINISWHITE"
        array, axes = series.asarray(), series.axes
    if inverted and not indexes and array.dtype.kind == "u":  # as Pillow and every viewer do
        array = np.iinfo(array.dtype).max - array
    keep = [n > 1 or axis in "YX" for n, axis in zip(array.shape, axes, strict=True)]
    array = array.reshape([n for n, k in zip(array.shape, keep, strict=True) if k])
    axes = "".join(axis for axis, k in zip(axes, keep, strict=True) if k)
    if axes == "SYX":  # what tifffile makes of a stack of 3 or 4 slices when not told better
        raise ValueError(
            f"its {array.shape[0]} planes may be colours or the slices of a stack; save it with "
            "one page a slice, or the colours pixel by pixel"
        )
    colour = axes.endswith("S")
    axes = axes.removesuffix("S")
    if axes != "YX" and not (axes[1:] == "YX" and axes[0] in _STACK_AXES):
        raise ValueError(
            f"its axes are {axes} {array.shape}; a grey or colour image or one stack of them is "
            "needed, so save each channel as a file of its own"
        )
    return array, colour


def _array(path: Path, *, indexes: bool) -> tuple[NDArray[Any], bool]:
    """Decode a file; whatever the decoder stumbles over becomes a ValueError with the file's name.

    With `indexes` a palette's indexes are returned, else its colours.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: not a {', '.join(SUFFIXES)} file; convert it to PNG or TIFF")
    try:
        if path.suffix.lower() in _TIFF:
            try:
                return _tiff_array(path, indexes=indexes)
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise  # else a compression that Pillow knows (LZW) and bare tifffile does not
        return _pillow_array(path, indexes=indexes)
    except ImportError:
        raise
    except Exception as error:  # decoders raise anything on a damaged file: SyntaxError, struct...
        text = str(error).replace(str(path), "the file") or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read ({text}); is it damaged or cut short? Save it again"
        ) from error


def _luminance(array: NDArray[Any]) -> NDArray[Any]:
    if array.shape[-1] not in (3, 4):
        raise ValueError(f"{array.shape[-1]} colour channels, not 3 or 4; save it as grey")
    rgb = array[..., :3]
    first = rgb[..., 0]
    if np.array_equal(first, rgb[..., 1]) and np.array_equal(first, rgb[..., 2]):
        return first
    # One text and one place, so that Python's default filter says it once.
    warnings.warn("colour images are reduced to their luminance (Rec. 601)", stacklevel=3)
    from spad.inference import luminance  # brings torch, which few images need

    luma = luminance(rgb)
    return luma if array.dtype.kind == "f" else np.rint(luma).astype(array.dtype)


def read_file(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an image or a stack as grey values.

    Parameters
    ----------
    path : path
        PNG, TIFF (also with several pages) or JPEG.

    Returns
    -------
    ndarray, shape (H, W) or (Z, H, W)
        uint8, uint16 or float32; other types become float32. Colours become luminance (Rec. 601),
        with a warning that Python's default filter shows once.

    Raises
    ------
    ValueError
        A file that cannot be decoded, has channels other than colours, or NaN or infinite pixels.
    FileNotFoundError
    ImportError
        Pillow or tifffile is missing; the message says how to install it.
    """
    path = Path(path)
    array, colour = _array(path, indexes=False)
    if colour:
        try:
            array = _luminance(array)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "c":
        raise ValueError(f"{path}: its pixels are complex numbers; save their magnitude")
    dtype = array.dtype.newbyteorder("=")
    array = array.astype(dtype if dtype in (np.uint8, np.uint16) else np.float32, copy=False)
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise ValueError(f"{path}: has NaN or infinite pixels; replace them by a number")
    return np.ascontiguousarray(array)


def read_label_file(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a label map: grey values or palette indexes, as they stand in the file.

    Parameters
    ----------
    path : path
        PNG (1 to 16 bits, or a palette, whose indexes count) or TIFF of integers.

    Returns
    -------
    ndarray of uint8, shape (H, W)

    Raises
    ------
    ValueError
        Colours, floats, a stack, values outside 0..255, or a file that cannot be decoded.
    FileNotFoundError, ImportError
        As `read_file`.
    """
    path = Path(path)
    array, colour = _array(path, indexes=True)
    if colour:
        raise ValueError(
            f"{path}: holds colours, not class values; save the class values as 8-bit grey PNG"
        )
    if array.ndim != 2:
        raise ValueError(
            f"{path}: has shape {array.shape}, not (H, W); save each slice as a case of its own"
        )
    if array.dtype.kind not in "bui":
        raise ValueError(f"{path}: holds {array.dtype} values; save the class values as uint8")
    low, high = int(array.min()), int(array.max())
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
    array, colour = _array(path, indexes=False)
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
    if path.suffix.lower() != ".png":
        shape = read_file(path).shape
        if len(shape) != 2:
            raise ValueError(f"{path}: is a stack of shape {shape}; save each slice as a case")
        return shape[0], shape[1]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    image = _pillow()
    try:
        with image.open(path) as file:
            width, height = file.size
            file.verify()  # the check sums of all chunks: finds truncation and flipped bits
    except Exception as error:
        text = str(error).replace(str(path), "the file") or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read ({text}); is it damaged or cut short? Save it again"
        ) from error
    return height, width


def png_bytes(array: NDArray[Any], palette: list[int] | None = None) -> bytes:
    """Encode ``(H, W)`` uint8 or uint16 as PNG; with a palette (R, G, B, ...) as indexes."""
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"a PNG holds (H, W) uint8 or uint16, not {array.shape} {array.dtype}; convert it"
        )
    file = _pillow().fromarray(array)
    if palette is not None:
        file.putpalette(palette)
    stream = io.BytesIO()
    file.save(stream, format="PNG")
    return stream.getvalue()


def tiff_bytes(array: NDArray[Any]) -> bytes:
    """Encode ``(H, W)`` or ``(Z, H, W)`` as a deflated TIFF."""
    stream = io.BytesIO()
    _tifffile().imwrite(stream, array, photometric="minisblack", compression="zlib")
    return stream.getvalue()
