"""Exponential moving average of the weights: what is validated and shipped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["average", "decay_at"]


def decay_at(step: int, decay: float) -> float:
    """Decay after ``step`` updates: a short memory at first, to forget the random start."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def average(mean: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the module's, in place.

    Parameters
    ----------
    mean : dict of str to Tensor
        Averages by name, as of ``module.state_dict()``.
    module : nn.Module
    decay : float
        Share of the old average that stays, 0..1.
    """
    weights = module.state_dict()
    torch._foreach_lerp_(list(mean.values()), [weights[n] for n in mean], 1 - decay)
