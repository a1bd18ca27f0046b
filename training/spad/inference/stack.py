"""An image as slices: told apart from what is none, and read one by one, each once.

Beside it what else of a request is checked without a model, so also where a server has it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import LARGEST_SEED, foreign, pixel_digest, stack_sha256
from spad.checkpoint import IGNORE, refuse_masked, short

__all__ = [
    "BScans",
    "BadSlice",
    "Stack",
    "checked_bscans",
    "checked_spacing",
    "order_of",
    "seed_number",
    "whole_number",
]

BScans = Sequence[tuple[NDArray[Any], NDArray[np.uint8]]]
"""Images (H, W), or (H, W, 3) of colours, and label maps (H, W), 255 where they do not count."""
_NARROW = 16
"""Rows from which on a B-scan of 3 or 4 columns is none."""


class BadSlice(ValueError):
    """A slice of a lazy stack that cannot be read or holds no numbers."""


class Stack:
    """The slices of an image.

    Parameters
    ----------
    image : array-like of any real dtype, shape (H, W) or (Z, H, W)
        What names its shape and type as NumPy does (dask, zarr, h5py, a memory map) is *lazy* where
        it has slices: it is read slice by slice, each once. Everything else is an array in memory.
    rgb : bool
        A last axis of 3 or 4 holds colours.
    first : int
        Number of the first slice, for what is said of bad ones; people count from 1.

    Attributes
    ----------
    shape : tuple of int
        Of the label map: (H, W) or (Z, H, W).
    plane : (int, int)
    depth : int
    lazy : bool

    Raises
    ------
    ValueError
        Neither B-scan nor stack, or not of real numbers; or, in memory, a slice with NaN or
        infinity.
    """

    def __init__(self, image: Any, rgb: bool, first: int = 0) -> None:
        arrayish = hasattr(getattr(image, "dtype", None), "kind")
        in_memory = isinstance(image, np.ndarray) and not isinstance(image, np.memmap)
        self.lazy = len(getattr(image, "shape", ())) > 2 and arrayish and not in_memory
        refuse_masked("the image", image)
        stack = image if self.lazy else _in_memory(image)
        if any(s != s for s in stack.shape):  # dask's word for unknown is NaN
            raise ValueError(
                f"an image of shape {stack.shape} has chunks of unknown size; call its "
                "compute_chunk_sizes() first"
            )
        shape = tuple(int(s) for s in stack.shape)
        if rgb and (len(shape) < 3 or shape[-1] not in (3, 4)):
            raise ValueError(f"an RGB image ends in an axis of 3 or 4; this one has shape {shape}")
        self.shape = shape[:-1] if rgb else shape
        if len(self.shape) not in (2, 3) or 0 in self.shape:
            raise ValueError(
                f"an image of shape {shape} is neither a B-scan (H, W) nor a stack (Z, H, W); "
                "choose the axes to segment, or say that the last axis holds colours"
            )
        if len(self.shape) == 3 and self.shape[-1] in (3, 4) and self.shape[-2] >= _NARROW:
            raise ValueError(
                f"an image of shape {shape} would be {shape[0]} B-scans of {shape[-1]} columns; "
                "its last axis looks like colours: say rgb=True"
            )
        kind = np.dtype(stack.dtype).kind
        if kind not in "buif":
            raise ValueError(
                f"pixels of type {stack.dtype} are not real numbers; convert the image"
            )
        self._slices = stack[None] if len(self.shape) == 2 else stack
        self._digests: dict[int, bytes] = {}
        self._first = first + 1
        self.plane = (self.shape[-2], self.shape[-1])
        self.depth = int(self._slices.shape[0])
        self.lazy = self.lazy and len(self.shape) == 3
        if kind == "f" and not self.lazy:
            for z in range(self.depth):
                _check(self._slices[z], self._first + z)

    def read(self, z: int) -> NDArray[Any]:
        """Slice z, (H, W) or (H, W, 3).

        Raises
        ------
        BadSlice
            A slice of a lazy stack that cannot be read, or holds NaN or infinity.
        """
        try:
            with foreign():
                pixels = np.asarray(self._slices[z])
        except MemoryError:
            raise
        except Exception as error:  # whatever the reader of a lazy stack raises
            raise BadSlice(
                f"B-scan {self._first + z} of the image cannot be read "
                f"({str(error) or type(error).__name__})"
            ) from error
        if pixels.shape != self._slices.shape[1:] or pixels.dtype.kind not in "buif":
            raise BadSlice(
                f"B-scan {self._first + z} of the image cannot be read (its reader gave "
                f"{pixels.shape} {pixels.dtype} for {tuple(self._slices.shape[1:])})"
            )
        if self.lazy and pixels.dtype.kind == "f":
            _check(pixels, self._first + z)
        self._digests[z] = pixel_digest(pixels)
        return pixels

    def sha256(self) -> str:
        """Of the pixels that were read; of a stack, the hash of its slices' hashes.

        So it does not depend on the order in which they were read.
        """
        if len(self.shape) == 2:
            return self._digests[0].hex()
        return stack_sha256(digest for _, digest in sorted(self._digests.items()))


def _in_memory(image: Any) -> NDArray[Any]:
    try:
        with foreign():
            return np.asarray(image)
    except ValueError as error:
        if not isinstance(image, (list, tuple)):
            raise
        raise ValueError(
            "the image is a list of lists that are not equally long; give an array (H, W) or "
            "(Z, H, W)"
        ) from error
    except (TypeError, RuntimeError) as error:  # of a tensor: bfloat16, on a GPU, with gradients
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"NumPy takes the image for no array ({said[0]}); convert it, a tensor of PyTorch by "
            "image.detach().cpu().float().numpy()"
        ) from error


def checked_spacing(given: Any) -> tuple[float, ...] | None:
    """Distances in mm as floats, or None; a ValueError where they are none."""
    if given is None:
        return None
    try:
        found = tuple(float(mm) for mm in given)
    except (TypeError, ValueError):
        found = ()
    if len(found) not in (2, 3) or not all(0 < mm < math.inf for mm in found):
        raise ValueError(
            f"spacing_mm is {str(given)[:60]}; give the distances of rows and of columns in mm, of "
            "a stack first that of its B-scans, each above 0, or None where they are not known"
        )
    return found


def checked_bscans(
    images: Sequence[Any], label_maps: Sequence[Any], count: int, *, earlier: bool = False
) -> BScans:
    """B-scans of a lesson in memory, each with its label map; a ValueError names the one that errs.

    Parameters
    ----------
    images : sequence of arrays of any real dtype, shape (H, W), or (H, W, 3) for colours
    label_maps : sequence of arrays of uint8, shape (H, W)
    count : int
        Values from here on are no class.
    earlier : bool
        They are of earlier cases, for what is said of them.
    """
    if len(images) != len(label_maps):
        raise ValueError(
            f"{len(images)} images and {len(label_maps)} label maps; give one of each a B-scan"
        )
    kind = "earlier " if earlier else ""
    checked = []
    for number, (image, labels) in enumerate(zip(images, label_maps, strict=True), start=1):
        try:
            stack = Stack(
                image, np.ndim(image if hasattr(image, "ndim") else _in_memory(image)) == 3
            )
            pixels = stack.read(0)
        except ValueError as error:
            raise ValueError(f"{kind}image {number}: {error}") from error
        refuse_masked(name := f"{kind}label map {number}", labels)
        values = np.asarray(labels)
        if values.shape != stack.shape or values.dtype != np.uint8:
            raise ValueError(
                f"{name} has shape {values.shape} and type {values.dtype}; its image asks for "
                f"{stack.shape} and uint8"
            )
        found = np.unique(values)
        if (wrong := found[(found >= count) & (found != IGNORE)]).size:
            raise ValueError(
                f"{name} holds the values {wrong.tolist()}; the model has classes 0..{count - 1} "
                "(and 255 for what does not count); give new classes as `classes`"
            )
        checked.append((pixels, values))
    return checked


def whole_number(name: str, value: Any) -> int:
    """Give a setting as Python's int (JSON takes no NumPy ones)."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; give a whole number") from None


def seed_number(value: Any) -> int:
    """Give a seed as Python's int, in 0 to `LARGEST_SEED`."""
    if 0 <= (seed := whole_number("seed", value)) <= LARGEST_SEED:
        return seed
    raise ValueError(f"seed is {short(seed)}; choose one from 0 to {LARGEST_SEED}")


def order_of(depth: int, current: int | None) -> list[int]:
    """Slices in the order of a run: the current one first, then its neighbours, outwards.

    Parameters
    ----------
    depth : int
    current : int, optional
        0..depth-1; from the first to the last if None.
    """
    if current is None:
        return list(range(depth))
    return sorted(range(depth), key=lambda z: (abs(z - current), z < current))


def _check(pixels: NDArray[Any], number: int) -> None:
    if not np.isfinite(pixels).all():
        raise BadSlice(f"B-scan {number} of the image holds NaN or infinity; replace them first")
