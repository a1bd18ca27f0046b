"""How well label maps of one image agree with each other: Dice of every pair, per structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE
from spad.metrics.dice import dice_per_slice
from spad.metrics.live_confusion import LiveConfusion

__all__ = ["pairwise_dice"]


def pairwise_dice(
    label_maps: Sequence[NDArray[np.uint8]], num_classes: int
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Dice of every pair of label maps, one pair at a time, so that a host may stop in between.

    Parameters
    ----------
    label_maps : sequence of array of uint8, shape (H, W) or (Z, H, W)
        All of one shape; 255 is left out of every pair that has it. Other values outside 0..K-1
        are no structure.
    num_classes : int
        K, background included.

    Yields
    ------
    first, second : int
        Which two, the first before the second.
    dice : ndarray of float64, shape (K,)
        Of each class, over all pixels; NaN where neither has it.
    """
    for first, second in combinations(range(len(label_maps)), 2):
        one, two = label_maps[first], label_maps[second]
        counted = (one != IGNORE) & (two != IGNORE)
        # As reference, values that are no class count as background.
        rows = np.where(counted, np.where(one < num_classes, one, 0), IGNORE).astype(np.uint8)
        matrix = LiveConfusion(two, rows, num_classes).matrix[None]
        yield first, second, np.array([dice_per_slice(matrix, v)[0] for v in range(num_classes)])
