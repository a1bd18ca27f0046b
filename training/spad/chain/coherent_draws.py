"""Label maps drawn so that neighbours agree, each pixel's own law being exact.

A jump of the reverse chain draws every pixel by itself. After a small step the network mends what
that tears apart; after the one jump from noise that a chain of two or three steps makes it cannot:
where two classes are equally likely over a whole lesion, single draws give the same half-and-half
texture in every chain, and all chains end alike. Here the classes are drawn by Gumbel's trick,
``argmax_i log p_i + G_i``, with fields G that are smooth in space and independent between classes:
a Gaussian copula. Any one pixel takes class i with probability p_i, whatever the length; whole
regions now change together from chain to chain. The fields are drawn for blocks of an eighth of the
length, within which they would hardly change. (Our choice. Stochastic segmentation networks,
Monteiro et al., NeurIPS 2020, learn such a correlation; this one is fixed.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad.chain import draws
from spad.chain.launches import few_launches

__all__ = ["coherent_draw", "field_words", "smooth_normal"]

_BLOCKS = 8
"""To a length; neighbouring blocks' fields have a correlation of 0.98 in the mean."""


def field_words(seed: int, numbers: Sequence[Sequence[int]], purpose: str) -> NDArray[np.int32]:
    """What decides on smooth fields, int32 (B, 4): each one's key, and where its grid lies.

    Parameters
    ----------
    seed : int
    numbers : sequence of sequences of int, length B
        With seed and purpose they alone decide on a field.
    purpose : str
    """
    # Few numbers: the places are drawn on the CPU, and go as they are.
    moved = draws.uniform(draws.keys(seed, numbers, f"{purpose}: place"), (2,)).numpy()
    return np.hstack([draws.keys(seed, numbers, purpose), moved.view(np.int32)])


def smooth_normal(words: Tensor, shape: tuple[int, int], length_px: float) -> Tensor:
    """Normal fields that change over about ``length_px``, float32 (B, H, W).

    Independent normal numbers on a coarse grid, laid at random for each field, and blended with
    weights whose squares sum to 1: each pixel is exactly standard normal.

    Parameters
    ----------
    words : Tensor of int32, shape (B, 4)
        From :func:`field_words`; on the device of the fields.
    shape : (int, int)
        H, W.
    length_px : float
        Distance of the coarse grid's points; pixels two of them apart are independent.
    """
    keys, moved = words[:, :2], words[:, 2:].view(torch.float32)
    sides = [int(np.ceil(side / length_px)) + 2 for side in shape]
    field = draws.normal(keys, sides)
    rows, columns = (
        _blend(_numbers(side, words) / length_px + moved[:, axis, None], points)
        for axis, (side, points) in enumerate(zip(shape, sides, strict=True))
    )
    return rows @ field @ columns.mT


def _blend(places: Tensor, points: int) -> Tensor:
    """Weights of the grid's points at each place, (B, N, points); their squares sum to 1."""
    distance = (places[..., None] - _numbers(points, places)).abs()
    return (distance.clamp_max_(1) * (np.pi / 2)).cos_()


def _numbers(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=torch.float32, device=like.device)


def coherent_draw(probabilities: Tensor, length_px: float, words: Tensor) -> Tensor:
    """Draw n label maps for each of B images, neighbours alike, each pixel by its own law.

    Parameters
    ----------
    probabilities : Tensor, shape (B, n, K, H, W) or (B, 1, K, H, W)
        One may serve all n.
    length_px : float
        See :func:`smooth_normal`.
    words : Tensor of int32, shape (B, n, K, 4)
        From :func:`field_words`, a field for each class of each label map.

    Returns
    -------
    Tensor of uint8, shape (B, n, H, W)
    """
    h, w = probabilities.shape[-2:]
    block = max(1, int(length_px / _BLOCKS))
    sides = (-(-h // block), -(-w // block))

    def ratios(values: slice) -> Tensor:
        """For some classes p / -log u, u being the distribution function at a smooth field."""
        fields = smooth_normal(words[:, :, values].reshape(-1, 4), sides, length_px / block)
        # exp(-G) of a Gumbel number G is exponential, and so is -log u: the largest log p + G is
        # the largest p / -log u, in any unit. Never 0, as 0 / 0 is no number (method, Eq. 13).
        wait = (1 - fields.mul_(-(2**-0.5)).erfc_().log2_()).clamp_min_(1e-12)  # erfc is 2 u
        wait = wait.repeat_interleave(block, -1).repeat_interleave(block, -2)[:, :h, :w]
        return probabilities[:, :, values] / wait.reshape(*words.shape[:2], -1, h, w)

    k = probabilities.shape[2]
    if few_launches(probabilities):
        return ratios(slice(None)).argmax(2).to(torch.uint8)
    best = probabilities.new_zeros(*words.shape[:2], h, w)
    x = torch.zeros_like(best, dtype=torch.uint8)
    for value in range(k):  # class by class, which a CPU's caches hold
        ratio = ratios(slice(value, value + 1)).squeeze(2)
        # Values rise, so the last that was best is the largest: no branch a pixel.
        torch.maximum(x, (ratio > best).view(torch.uint8).mul_(value), out=x)
        torch.maximum(best, ratio, out=best)
    return x
