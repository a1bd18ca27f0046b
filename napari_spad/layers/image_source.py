"""Image layers in: which B-scans of a layer to segment, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers.colour_planes import may_be_colours
from napari_spad.layers.geometry import bscan_sizes, leading_index, level_0, spacing_mm
from napari_spad.layers.numbering import numbered
from spad.cases import foreign, luminance, pixel_digest, without_empty
from spad.inference import order_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["Part", "Source", "open_source", "part_at"]

LARGEST_BSCAN = 64_000_000
"""Pixels; more than that is no B-scan, and its samples would not fit into memory."""
LOOKED_AT = 3
"""B-scans of a lazy image that are read to know it again."""
NARROW = 16
"""Of so many rows and four columns or fewer, the columns are channels."""


@dataclass(frozen=True)
class Part:
    """One B-scan of an image layer.

    Parameters
    ----------
    index : tuple of int
        Its place on the leading axes of the layer; empty for a 2-D image.
    height, width : int
        Its extent; less than the layer's where B-scans of several sizes share a padded stack.
    """

    index: tuple[int, ...]
    height: int
    width: int

    @property
    def region(self) -> tuple[int | slice, ...]:
        """What to index a layer's data with."""
        return (*self.index, slice(0, self.height), slice(0, self.width))


def part_at(layer: Image, index: tuple[int, ...], extent: tuple[int, ...]) -> Part:
    """Return the B-scan at a place; of `extent` where the layer does not say otherwise.

    The B-scans of a padded stack have sizes of their own (layer metadata ``bscan_sizes``).
    """
    sizes = bscan_sizes(layer)
    return Part(index, *(sizes[index[-1]] if sizes and index else extent))


@dataclass
class Source:
    """An image layer as the engine sees it: parts to segment, and how to read them.

    Parameters
    ----------
    layer : napari.layers.Image
    data : array
        Its pixels: NumPy, dask, zarr or memory-mapped; a trailing axis of 3 or 4 where `rgb`.
    rgb : bool
    parts : tuple of Part
    spacing_mm : (row, column) or None
    notes : list of str
        What the user should know about how the layer is read; reading adds to them.
    inverted : bool
        High values are dark (the layer's metadata say so: a radiograph stored as MONOCHROME1).
    """

    layer: Image
    data: Any
    rgb: bool
    parts: tuple[Part, ...]
    spacing_mm: tuple[float, float] | None
    notes: list[str] = field(default_factory=list)
    inverted: bool = False
    placement: dict[str, Any] = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.shape = tuple(self.data.shape[:-1] if self.rgb else self.data.shape)
        self.name = self.layer.name
        # Taken now: the image layer may be moved or removed while the run goes on.
        self.placement = {
            key: getattr(self.layer, key)
            for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        }

    def read(self, part: Part) -> NDArray[Any]:
        """Pixels of one B-scan, (H, W) or (H, W, 3). Meant for a worker thread: it may be slow.

        A grey B-scan that was exported in colour comes as the grey one that it is. What Heidelberg
        writes where it has no pixels (3.4e38) is as dark as the darkest pixel.

        Raises
        ------
        ValueError
            If the pixels are not real and finite.
        """
        pixels = self._loaded(part)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise ValueError(
                f"{self._where(part)} holds NaN or infinite pixels; replace them, for instance "
                "with numpy.nan_to_num, and add the image again"
            )
        known = without_empty(pixels, inverted=self.inverted)
        if known is not pixels:
            self._note("pixels without a value (3.4e38) are taken as the darkest")
        return known

    def grey(self, part: Part) -> NDArray[Any]:
        """Grey values of one B-scan, (H, W), for who looks at its edges alone: NaN stays.

        Raises
        ------
        ValueError, OSError
            It cannot be read, or its pixels are not real; in words.
        """
        pixels = self._loaded(part)
        grey = luminance(pixels) if pixels.ndim == 3 else pixels
        return without_empty(grey, inverted=self.inverted)

    def _where(self, part: Part) -> str:
        bscan = f"B-scan {numbered(part.index[-1])} of " if part.index else ""
        return f"{bscan}“{self.name}”"

    def _loaded(self, part: Part) -> NDArray[Any]:
        where = self._where(part)
        try:
            with foreign():
                pixels = np.asarray(self.data[part.region])
        except MemoryError:
            raise
        except Exception as error:  # whatever the reader of a lazy layer raises
            raise OSError(
                f"{where} cannot be read ({str(error) or type(error).__name__}); is its file still "
                "there? Open it again"
            ) from error
        if pixels.shape[:2] != (part.height, part.width):
            raise OSError(
                f"{where} cannot be read (its reader gave {pixels.shape}, the layer says "
                f"{(part.height, part.width)}); open its file again"
            )
        if self.rgb:
            pixels = self._without_colours(pixels[..., :3])
        if pixels.dtype.kind not in "buif":
            raise ValueError(
                f"{where} has pixels of type {pixels.dtype}; convert it to integers or floats"
            )
        return pixels

    def shows(self, hashes: Mapping[tuple[int, ...], str]) -> bool:
        """Whether its B-scans have these pixels; of an image that lies in a file the first few.

        Parameters
        ----------
        hashes : mapping of tuple to str
            SHA-256 by place, as the runs on them noted it.
        """
        lazy = not isinstance(self.data, np.ndarray)
        for index in list(hashes)[: LOOKED_AT if lazy else None]:
            try:
                pixels = self.read(part_at(self.layer, index, self.shape[-2:]))
            except Exception:  # a lazy layer's reader raises anything
                return False
            if pixel_digest(pixels).hex() != hashes[index]:
                return False
        return True

    def replaced(self) -> bool:
        """Whether its layer has been given another array meanwhile."""
        return level_0(self.layer) is not self.data

    def _without_colours(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if (pixels == pixels[..., :1]).all():
            self._note("its three channels are equal: read as grey")
            return pixels[..., 0]
        self._note("colours are converted to grey; the model sees drawn lines and text too")
        return pixels

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def open_source(layer: Image, viewer: ViewerModel, *, whole_stack: bool) -> Source:
    """Decide what to segment of an image layer. Reads no pixels.

    Parameters
    ----------
    layer : napari.layers.Image
    viewer : napari.components.ViewerModel
        Its slider says which B-scan is on screen.
    whole_stack : bool
        All B-scans along the third axis from the end, the one on screen first and then its
        neighbours outwards; else that one alone.

    Raises
    ------
    ValueError
        With what to do about it, where the layer holds no B-scan.
    """
    data = level_0(layer)
    notes = ["the full-resolution level is used"] if layer.multiscale else []
    if layer.ndim < 2:
        raise ValueError(f"“{layer.name}” is one-dimensional; choose an image layer with B-scans")
    if not all(np.isfinite(data.shape)):
        raise ValueError(
            f"“{layer.name}” does not know its size (shape {data.shape}); call compute_chunk_sizes "
            "on its dask array, and add the image again"
        )
    shape = tuple(int(n) for n in data.shape[: layer.ndim])
    if 0 in shape:
        raise ValueError(f"“{layer.name}” is empty (shape {shape}); choose another image layer")
    height, width = shape[-2:]
    if len(shape) > 2 and 2 <= width <= 4 and height >= NARROW:
        raise ValueError(
            f"“{layer.name}” has the shape {shape}: its last axis holds {width} channels, and no "
            "B-scan has so few columns. Add one of them from napari's console, for instance "
            f"viewer.add_image(viewer.layers[{layer.name!r}].data[..., 0]), and choose that"
        )
    if height * width > LARGEST_BSCAN:
        raise ValueError(
            f"A B-scan of “{layer.name}” has {height}×{width} pixels, more than "
            f"{LARGEST_BSCAN / 1e6:.0f} million; crop it or choose a lower resolution"
        )
    if may_be_colours(layer):
        notes.append(f"its {shape[-3]} planes are taken for B-scans, not for colours")
    here = leading_index(layer, viewer)
    places: list[tuple[int, ...]] = [here]
    if whole_stack and here:
        places = [(*here[:-1], z) for z in order_of(shape[-3], here[-1])]
    if len(here) > 1:
        notes.append(f"only the stack at {here[:-1]} on the leading axes is used")
    parts = tuple(part_at(layer, place, (height, width)) for place in places)
    spacing = spacing_mm(layer, 2)
    inverted = bool(layer.metadata.get("inverted"))
    rgb = bool(layer.rgb)
    return Source(layer, data, rgb, parts, spacing, notes, inverted)  # type: ignore[arg-type]
