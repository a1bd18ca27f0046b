"""Recycling: training on label maps that the network draws itself, as chains of few steps meet.

In training x_t is the truth's, ``q(x_t | x_0)``; in use it comes from the network's own prediction
one jump above. Recycling (Fu et al., MICCAI 2023) draws it from that prediction and keeps the truth
as the target. Such an x_t knows nothing of the truth that the image does not tell, so on these
samples alone the best answer is to ignore it, and all chains would end alike; mixed with samples of
the truth, it teaches how far x_t is to be trusted. One jump gives each pixel a class by itself,
given x_t; so at t = T, where x_t tells nothing, no training makes one step give samples that
differ.

With it most samples take a jump of the chain that is trained for, from a visited time to the next
and not to t - 1: the KL of these is that chain's own variational bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from spad.chain import NoiseSchedule, draws, posterior, prior_logits, sent
from spad.network import Network, Outputs, autocast

__all__ = ["AT_VISITED", "Logits", "from_noise", "recycled_x_t", "visited_jumps"]

AT_VISITED = 0.75
"""Share of the samples that take a jump of the chain, as it was measured (docs/results.md)."""

Logits = Callable[[Tensor, Tensor], Tensor]
"""Label maps (B, 1, H, W) and t / T, float32 (B,), to the denoiser's logits (B, 1, K, H, W)."""


def visited_jumps(
    recycled: float, visited: Sequence[int], last: int, seed: int, numbers: list[int]
) -> tuple[dict[int, tuple[int, int]], list[int]]:
    """Which samples of a batch take a jump of the chain whose times are ``visited``, each as often.

    ``recycled`` is the share, of those below ``last`` (T, where x_t is pure noise and nobody's
    own), whose x_t is the network's; 0 leaves all samples as they are.

    Returns
    -------
    jumps : dict of int to (int, int)
        Place in the batch of each such sample: its t and s.
    places : list of int
        Of those that are recycled.
    """
    jumps: dict[int, tuple[int, int]] = {}
    places: list[int] = []
    if recycled:
        grid = [*visited, 0]
        us = draws.uniform(draws.keys(seed, numbers, "visited"), (3,)).tolist()
        for place, (whether, which, whose) in enumerate(us):
            if whether >= AT_VISITED:
                continue
            step = int(which * len(visited))
            jumps[place] = grid[step], grid[step + 1]
            if grid[step] < last and whose < recycled:
                places.append(place)
    return jumps, places


def recycled_x_t(
    network: Network,
    forward: Callable[..., Outputs],
    schedule: NoiseSchedule,
    image: Tensor,
    times: Sequence[int],
    *,
    encoder: bool,
    seed: int,
    numbers: Sequence[int],
) -> Tensor:
    """Draw x_t of some samples from what the network says of their images at T.

    Parameters
    ----------
    network : Network
    forward : callable
        The network as something wraps it.
    schedule : NoiseSchedule
    image : Tensor, shape (B, 1, H, W)
    times : sequence of int, length B
        Below T.
    encoder : bool
        Whether at T the encoder's own logits answer, if the network has them.
    seed : int
    numbers : sequence of int, length B
        Sample numbers.

    Returns
    -------
    Tensor of uint8, shape (B, H, W)
    """
    alone = encoder and network.predicts == "prior"

    def logits(x_t: Tensor, time: Tensor) -> Tensor:
        with autocast(image.device):
            if alone:
                return forward(image).encoder[0].unsqueeze(1)
            found = forward(image, x_t, time).denoiser
        assert found is not None  # noqa: S101  (for the type checker)
        return found

    return from_noise(
        network, logits, schedule, times, (image.shape[2], image.shape[3]),
        seed=seed, numbers=numbers, device=image.device,
    )  # fmt: skip


@torch.no_grad()
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

    def uniform(purpose: str) -> Tensor:
        return draws.uniform(draws.keys(seed, numbers, purpose), shape, device=device)

    k, top = network.num_classes, np.full(len(times), schedule.steps)
    x_T = uniform("own x_T").mul_(k).clamp_(max=k - 1).to(torch.uint8)
    jump = schedule.jump(top, np.asarray(times), device=device)
    # Made on the CPU: on the device, torch.tensor would wait for it.
    time = sent(torch.from_numpy(top.astype(np.float32)), device) / schedule.steps
    found = logits(x_T.unsqueeze(1), time).squeeze(1).float()
    if network.predicts == "x_0":
        found = prior_logits(found, x_T, jump)
    # Inverse cumulative distribution; with K - 1 boundaries rounding leads to no class K.
    boundaries = posterior(x_T, found.softmax(1), jump).cumsum(1)[:, :-1]
    return (boundaries <= uniform("own x_t").unsqueeze(1)).sum(1, dtype=torch.uint8)
