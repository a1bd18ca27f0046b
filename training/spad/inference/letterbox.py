"""The network's grid: how an image comes onto it, and how a result comes back.

Not stretched (docs/method.md, section 7): the aspect is kept; right and bottom are padded with
the edge's value up to the next multiple of the network's stride, no further. Trainer and segmenter
share this file, so that a model sees the same images in both. PyTorch is loaded where an image is
scaled: a desk whose model is elsewhere normalises without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import without_empty
from spad.checkpoint import IGNORE, InputConfig

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Frame", "frame_of", "normalise"]

_HUGE = 1e300
_ROWS = 256  # at once, where an index takes eight times the room of its pixel
_TALLEST = 4  # with fit = "width": at most this many training heights, so that memory stays bounded


@dataclass(frozen=True, slots=True)
class Frame:
    """One image's place on the network's grid; all sizes (height, width) in pixels.

    Parameters
    ----------
    shape : (int, int)
        The image's own size.
    inner : (int, int)
        Its size after scaling.
    padded : (int, int)
        The network input's size.
    """

    shape: tuple[int, int]
    inner: tuple[int, int]
    padded: tuple[int, int]

    def scale(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Image (H, W) at the network's scale, unpadded: (h, w), smoothed where it shrinks."""
        if self.inner == self.shape:
            return image
        import torch
        import torch.nn.functional as F

        x = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        x = F.interpolate(x, self.inner, mode="bilinear", antialias=True, align_corners=False)
        return np.asarray(x[0, 0].numpy())

    def image(self, image: NDArray[np.float32]) -> Tensor:
        """Normalised image (H, W) to the network's input, float32 (1, 1, h, w) on the CPU."""
        import torch
        import torch.nn.functional as F

        (h, w), (ph, pw) = self.inner, self.padded
        x = torch.from_numpy(self.scale(image))[None, None]
        if self.inner == self.padded:
            return x
        return F.pad(x, (0, pw - w, 0, ph - h), mode="replicate")

    def labels(self, labels: NDArray[Any], padding: int) -> NDArray[Any]:
        """Label map (H, W) at the network's grid by nearest neighbour, padded with a value."""
        (h, w), (ph, pw) = self.inner, self.padded
        rows = ((np.arange(h) + 0.5) * self.shape[0] / h).astype(np.intp)
        columns = ((np.arange(w) + 0.5) * self.shape[1] / w).astype(np.intp)
        out = np.full((ph, pw), padding, dtype=labels.dtype)
        out[:h, :w] = labels[rows[:, None], columns]
        return out

    def strokes(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label map (H, W), 255 where nobody said anything, as :meth:`labels`; no stroke is lost.

        One thinner than a cell of the grid may lie between the pixels that are looked at. Where the
        cell of a pixel is 255, and none of the eight around it has that pixel's value, the cell
        takes it; of several values the greatest, so a structure's. Thicker ones are as they were.
        """
        out: NDArray[np.uint8] = self.labels(labels, IGNORE)
        if (out[: self.inner[0], : self.inner[1]] != IGNORE).all():  # no cell is free
            return out
        places = np.nonzero(labels != IGNORE)
        sides = zip(places, self.shape, self.inner, strict=True)
        rows, columns = ((2 * at + 1) * inner // (2 * side) for at, side, inner in sides)
        free = out[rows, columns] == IGNORE
        values, rows, columns = labels[places][free], rows[free], columns[free]
        around = np.pad(out, 1, constant_values=IGNORE)
        shown = np.zeros(len(values), bool)
        for y, x in np.ndindex(3, 3):
            shown |= around[rows + y, columns + x] == values
        lost = rows[~shown], columns[~shown]
        greatest = np.zeros_like(out)
        np.maximum.at(greatest, lost, values[~shown])
        out[lost] = greatest[lost]
        return out

    def restore(self, maps: Tensor) -> Tensor:
        """Maps (N, K, h, w) on the network's grid back to the image's: (N, K, H, W)."""
        inner = maps[..., : self.inner[0], : self.inner[1]]
        if self.inner == self.shape:
            return inner
        import torch.nn.functional as F

        return F.interpolate(inner, self.shape, mode="bilinear", align_corners=False)


def frame_of(shape: tuple[int, int], config: InputConfig, stride: int) -> Frame:
    """The frame of an image (method, Eq. 23).

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    config : InputConfig
        Training size, and whether an image must fit inside it or only in its width.
    stride : int
        The padded sides are multiples of it.
    """
    height, width = shape
    train_height, train_width = config.size
    limit = train_height * (_TALLEST if config.fit == "width" else 1)
    factor = min(train_width / width, limit / height)
    inner = (max(1, round(height * factor)), max(1, round(width * factor)))
    padded = (-(-inner[0] // stride) * stride, -(-inner[1] // stride) * stride)
    return Frame(shape, inner, padded)


def normalise(
    image: NDArray[Any], config: InputConfig, *, inverted: bool = False
) -> NDArray[np.float32]:
    """Map an image's percentiles to -1 and 1 and clip what is outside (method, Eq. 22).

    Parameters
    ----------
    image : array of any real dtype, shape (H, W)
        Pixels without a value (±3.4e38) count as the darkest ones.
    config : InputConfig
    inverted : bool
        The image shows high values dark (DICOM MONOCHROME1).

    Returns
    -------
    array of float32, shape (H, W), in [-1, 1]; zeros for an image of one value
    """
    pixels, shares = np.asarray(image), [config.low_percentile, config.high_percentile]
    few = pixels.dtype.kind in "bu" and pixels.dtype.itemsize <= 2
    # float64: large offsets, as of 32-bit integers, and values beyond float32 keep their detail.
    if few:  # count the values and map each of them once: the same numbers in a tenth of the time
        counts = np.bincount(pixels.ravel().astype(np.uint16, copy=False))
        low, high = (_percentile(counts, share) for share in shares)
        x = np.arange(len(counts), dtype=np.float64)
    else:
        x = np.asarray(without_empty(pixels, inverted=inverted), dtype=np.float64)
        if max(abs(float(x.min())), abs(float(x.max()))) > _HUGE:
            x = x * 2.0**-64  # a power of two changes no digit, and differences stay finite
        low, high = np.percentile(x, shares)
    if not high > low:
        return np.zeros(pixels.shape, np.float32)
    # One array after the other: an image of 64 million pixels takes 0.5 GB in float64.
    x = x - low
    x /= high - low
    x *= 2
    x -= 1
    np.clip(x, -1, 1, out=x)
    values = (-x if inverted else x).astype(np.float32)
    if not few:
        return values
    out = np.empty(pixels.shape, np.float32)
    for top in range(0, len(pixels), _ROWS):
        out[top : top + _ROWS] = values[pixels[top : top + _ROWS].astype(np.intp)]
    return out


def _percentile(counts: NDArray[np.intp], share: float) -> float:
    """``numpy.percentile``, to the bit, of values 0, 1, 2, ... that occur so many times."""
    upto = np.cumsum(counts)
    place = share / 100 * (upto[-1] - 1)
    low, high = np.searchsorted(upto, [np.floor(place), np.ceil(place)], side="right")
    part = place % 1
    return float(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))
