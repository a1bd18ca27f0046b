"""Label maps drawn so that neighbours agree, each pixel's own law being exact.

A jump of the reverse chain draws every pixel by itself. After a small step the network mends what
that tears apart; after the one jump from noise that a chain of two or three steps makes it cannot:
where two classes are equally likely over a whole lesion, single draws give the same half-and-half
texture in every chain, and all chains end alike. Here the classes are drawn by Gumbel's trick,
``argmax_i log p_i + G_i``, with fields G that are smooth in space and independent between classes:
a Gaussian copula. Any one pixel takes class i with probability p_i, whatever the length; whole
regions now change together from chain to chain. (Our choice. Stochastic segmentation networks,
Monteiro et al., NeurIPS 2020, learn such a correlation; this one is fixed.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spad.chain import draws
from spad.chain.launches import few_launches

__all__ = ["coherent_draw", "smooth_normal"]


def smooth_normal(
    seed: int,
    numbers: Sequence[Sequence[int]],
    purpose: str,
    shape: tuple[int, int],
    length_px: float,
    *,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Normal fields that change over about ``length_px``, float32 (B, H, W).

    Independent normal numbers on a coarse grid, laid at random for each field, and blended with
    weights whose squares sum to 1: each pixel is exactly standard normal.

    Parameters
    ----------
    seed : int
    numbers : sequence of sequences of int, length B
        With seed and purpose they alone decide on a field.
    purpose : str
    shape : (int, int)
        H, W.
    length_px : float
        Distance of the coarse grid's points; pixels two of them apart are independent.
    device : torch.device
    """
    # Few numbers: made on the CPU, whatever the device.
    moved = draws.uniform(draws.keys(seed, numbers, f"{purpose}: place"), (2,))
    moved = moved.to(device, non_blocking=True)
    sides = [int(np.ceil(side / length_px)) + 2 for side in shape]
    field = draws.normal(draws.keys(seed, numbers, purpose), sides, device=device)
    rows, columns = (
        _blend(torch.arange(side, device=device) / length_px + moved[:, axis, None], points)
        for axis, (side, points) in enumerate(zip(shape, sides, strict=True))
    )
    return rows @ field @ columns.mT


def _blend(places: Tensor, points: int) -> Tensor:
    """Weights of the grid's points at each place, (B, N, points); their squares sum to 1."""
    distance = (places[..., None] - torch.arange(points, device=places.device)).abs()
    return (distance.clamp_max_(1) * (np.pi / 2)).cos_()


def coherent_draw(
    probabilities: Tensor,
    length_px: float,
    *,
    seed: int,
    numbers: Sequence[Sequence[tuple[int, ...]]],
    purpose: str,
) -> Tensor:
    """Draw n label maps for each of B images, neighbours alike, each pixel by its own law.

    Parameters
    ----------
    probabilities : Tensor, shape (B, n, K, H, W) or (B, 1, K, H, W)
        One may serve all n.
    length_px : float
        See :func:`smooth_normal`.
    seed : int
    numbers : sequence of B sequences of n tuples of int
        With seed and purpose they alone decide on a draw.
    purpose : str

    Returns
    -------
    Tensor of uint8, shape (B, n, H, W)
    """
    h, w = probabilities.shape[-2:]
    all_numbers = [number for row in numbers for number in row]
    size = (len(numbers), len(numbers[0]), -1, h, w)

    def ratios(values: range) -> Tensor:
        """For some classes p / -log u, u being the distribution function at a smooth field."""
        fields = smooth_normal(
            seed,
            [(*number, value) for number in all_numbers for value in values],
            purpose,
            (h, w),
            length_px,
            device=probabilities.device,
        )
        # exp(-G) of a Gumbel number G is exponential, and so is -log u: the largest log p + G is
        # the largest p / -log u. Never 0, since 0 / 0 is no number (method, Eq. 13).
        wait = fields.mul_(-(2**-0.5)).erfc_().mul_(0.5).log_().neg_().clamp_min_(1e-12)
        return torch.div(probabilities[:, :, values.start : values.stop], wait.view(size))

    k = probabilities.shape[2]
    if few_launches(probabilities):
        return ratios(range(k)).argmax(2).to(torch.uint8)
    best = torch.zeros(*size[:2], h, w, device=probabilities.device)
    x = torch.zeros_like(best, dtype=torch.uint8)
    for value in range(k):  # class by class, which a CPU's caches hold
        ratio = ratios(range(value, value + 1)).squeeze(2)
        x = torch.where(ratio > best, value, x)
        torch.maximum(best, ratio, out=best)
    return x
