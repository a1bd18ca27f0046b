"""What chains of few steps meet: label maps that a network draws itself, and a teacher's ends.

In training x_t is the truth's, ``q(x_t | x_0)``; in use it comes from the network's own prediction
one jump above. Two ways to train for that start here. *Recycling* (Fu et al., MICCAI 2023) keeps
the truth as the target. x_t drawn from a prediction knows nothing of the truth that the image does
not tell, so on such samples alone the best answer is to ignore it, and all chains would end alike;
mixed with samples of the truth, it teaches how far x_t is to be trusted. *Distilling* takes the end
of a long chain from that x_t as the target: what x_t tells of where that chain ends is kept, its
faults too. One jump gives each pixel a class by itself, given x_t; so at t = T, where x_t tells
nothing, no training makes one step give samples that differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from spad.chain import NoiseSchedule, draws, posterior, prior_logits
from spad.network import Network

__all__ = ["Logits", "end_of_chain", "from_noise"]

Logits = Callable[[Tensor, Tensor], Tensor]
"""Label maps (B, 1, H, W) and t / T, float32 (B,), to the denoiser's logits (B, 1, K, H, W)."""


def from_noise(
    network: Network,
    logits: Logits,
    schedule: NoiseSchedule,
    times: Sequence[int],
    shape: tuple[int, int],
    *,
    seed: int,
    numbers: Sequence[int],
    device: torch.device,
) -> Tensor:
    """Jump from pure noise to one time for each sample, as a chain's first step does.

    Parameters
    ----------
    network : Network
        Whose logits they are.
    logits : callable
        See :data:`Logits`.
    schedule : NoiseSchedule
    times : sequence of int, length B
        Below T.
    shape : (int, int)
        H, W.
    seed : int
    numbers : sequence of int, length B
        Sample numbers: with the seed they decide on the draws.
    device : torch.device

    Returns
    -------
    Tensor of uint8, shape (B, H, W)
        x_t, without a gradient.
    """
    k = network.num_classes
    x = _uniform(seed, numbers, "own x_T", shape, device).mul_(k).clamp_(max=k - 1).to(torch.uint8)
    top = np.full(len(times), schedule.steps)
    return _jump(network, logits, schedule, x, top, np.asarray(times), seed, numbers, "own x_t")


def end_of_chain(
    network: Network,
    logits: Logits,
    schedule: NoiseSchedule,
    x_t: Tensor,
    times: Sequence[int],
    steps: int,
    *,
    seed: int,
    numbers: Sequence[int],
) -> Tensor:
    """Sample x_0 by a chain of equal steps from x_t down to 0; arguments as :func:`from_noise`.

    The last step too is drawn, pixel by pixel: a target must be a sample, not its likeliest class.

    Parameters
    ----------
    x_t : Tensor of uint8, shape (B, H, W)
    steps : int
        At most the lowest of the times.

    Returns
    -------
    Tensor of uint8, shape (B, H, W)
    """
    grid = np.rint(np.linspace(np.asarray(times), 0, steps + 1)).astype(int)
    for number, (t, s) in enumerate(itertools.pairwise(grid)):
        x_t = _jump(network, logits, schedule, x_t, t, s, seed, numbers, f"teacher {number}")
    return x_t


@torch.no_grad()
def _jump(
    network: Network,
    logits: Logits,
    schedule: NoiseSchedule,
    x_t: Tensor,
    t: np.ndarray,
    s: np.ndarray,
    seed: int,
    numbers: Sequence[int],
    purpose: str,
) -> Tensor:
    """Draw x_s from ``p(x_s | x_t)``, each sample at times of its own."""
    jump = schedule.jump(t, s, device=x_t.device)
    # Made on the CPU: on the device, torch.tensor would wait for it.
    time = torch.tensor(t, dtype=torch.float32).to(x_t.device, non_blocking=True) / schedule.steps
    found = logits(x_t.unsqueeze(1), time).squeeze(1).float()
    if network.predicts == "x_0":
        found = prior_logits(found, x_t, jump)
    u = _uniform(seed, numbers, purpose, (x_t.shape[1], x_t.shape[2]), x_t.device)
    # Inverse cumulative distribution; with K - 1 boundaries rounding leads to no class K.
    boundaries = posterior(x_t, found.softmax(1), jump).cumsum(1)[:, :-1]
    return (boundaries <= u.unsqueeze(1)).sum(1, dtype=torch.uint8)


def _uniform(
    seed: int, numbers: Sequence[int], purpose: str, shape: tuple[int, int], device: torch.device
) -> Tensor:
    return draws.uniform(draws.keys(seed, numbers, purpose), shape, device=device)
