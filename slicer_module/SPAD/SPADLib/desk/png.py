"""A small picture of a B-scan as the model sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SPADLib.scene import Input, png_bytes

__all__ = ["outlined_png", "png_of", "thumbnail"]

SIDE = 160
WIDE = 320


def thumbnail(source: Input, bscan: int | None = None, side: int = SIDE) -> NDArray[np.uint8]:
    """Shrink a B-scan (the middle one by default), (h, w) uint8, to at most `side` a side."""
    at = source.depth // 2 if bscan is None else bscan
    image = np.asarray(source.stack[at], np.float64)
    if source.rgb:
        image = image[..., :3].mean(-1)
    step = max(-(-max(image.shape) // side), 1)
    rows, columns = (n // step * step for n in image.shape)
    blocks = image[:rows, :columns].reshape(rows // step, step, columns // step, step)
    small = np.nan_to_num(blocks.mean((1, 3)))
    low, high = np.percentile(small, (0.5, 99.5))
    grey = np.clip((small - low) / max(high - low, 1e-12), 0, 1)
    shown: NDArray[np.float64] = 1 - grey if source.inverted else grey
    return np.rint(255 * shown).astype(np.uint8)


def png_of(source: Input) -> bytes:
    """Give it as a PNG file's bytes, which every Qt can read."""
    return png_bytes(thumbnail(source))


def outlined_png(
    source: Input, bscan: int, now: NDArray[np.bool_], other: NDArray[np.bool_]
) -> bytes:
    """Give a B-scan as a PNG's bytes, a structure as it is in white, as it might be in orange.

    Parameters
    ----------
    source : Input
    bscan : int
    now, other : array of bool, shape (H, W)
    """
    grey = thumbnail(source, bscan, WIDE)
    step = max(-(-max(now.shape) // WIDE), 1)
    picture = np.repeat(grey[..., None], 3, 2)
    for where, color in ((now, (255, 255, 255)), (other, (230, 159, 0))):
        rows, columns = grey.shape
        blocks = where[: rows * step, : columns * step].reshape(rows, step, columns, step)
        small = blocks.mean((1, 3)) >= 0.5
        picture[small & ~ndimage.binary_erosion(small)] = color
    return png_bytes(picture)
