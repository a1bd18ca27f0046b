"""The reverse chain: from noise, or from an edited label map, down to labels. A generator of steps.

Any grid of times may be visited, as the posterior of any two is exact (docs/method.md, section 1).
The last call goes to s = 0 and hands out probabilities: drawing there, pixel by pixel, would only
add noise. With all T times it is CCDM's ancestral chain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spad.chain import draws
from spad.chain.coherent_draws import coherent_draw
from spad.chain.diffusion import draw_posterior, end, one_hot, q_sample
from spad.chain.noise_schedule import NoiseSchedule
from spad.checkpoint import IGNORE, SamplingConfig

__all__ = ["Prior", "sample", "step_times", "times_of_use"]

Prior = Callable[[Tensor, int], Tensor]
"""``prior(x_t, t)``: label maps (B, n, H, W) to logits (B, n, K, H, W) of pi(x_0 | x_t, image).

It may overwrite neither; what it returns is overwritten."""


def step_times(
    schedule: NoiseSchedule, steps: int, grid: str = "uniform", t0: int | None = None
) -> list[int]:
    """Times at which the network is asked, falling from ``t0`` (or T) to >= 1 (method, Eq. 12).

    Parameters
    ----------
    schedule : NoiseSchedule
    steps : int
        How many; all ``t0`` times where that is less.
    grid : {"uniform", "log-snr"}
        Equal distances in t, or in the logarithm of alpha_bar / (1 - alpha_bar), which crowds the
        times at both ends: where two would fall together, the later one moves on.
    t0 : int, optional
        Where a restarted chain begins, 1..T.

    Raises
    ------
    ValueError
        Steps or t0 out of range, or an unknown grid.
    """
    t0 = schedule.steps if t0 is None else t0
    if not 1 <= t0 <= schedule.steps:
        raise ValueError(f"t0 is {t0}; it must be in 1..{schedule.steps}")
    if not 1 <= steps <= schedule.steps:
        raise ValueError(f"{steps} steps asked for; this model allows 1..{schedule.steps}")
    if grid == "uniform":
        times = np.linspace(t0, 0, steps + 1)[:-1].round()
    elif grid == "log-snr":
        snr, steps = schedule.log_snr[:t0], min(steps, t0)
        nearest = 1 + np.abs(np.linspace(snr[-1], snr[0], steps)[:, None] - snr).argmin(1)
        # Each below the one before, and above as many as are still to come.
        number = np.arange(steps)
        times = np.minimum.accumulate(nearest + number) - number
        times = np.maximum(times, steps - number)
    else:
        raise ValueError(f"step grid {grid!r} is unknown; use 'uniform' or 'log-snr'")
    return sorted({int(t) for t in times if t >= 1}, reverse=True)


def times_of_use(
    schedule: NoiseSchedule,
    sampling: SamplingConfig,
    steps: int | None = None,
    t0: int | None = None,
) -> list[int]:
    """Times that a run visits: the card's, unless the user asks for others.

    Learnt times were learnt for their own number of steps and for chains from noise; with another
    number, and for a restart, the grid is uniform.

    Parameters
    ----------
    schedule : NoiseSchedule
    sampling : SamplingConfig
    steps, t0 : int, optional
        As of :func:`step_times`; the card's number of steps if None.

    Raises
    ------
    ValueError
        As :func:`step_times`.
    """
    steps = sampling.steps if steps is None else steps
    if sampling.times is None:
        return step_times(schedule, steps, sampling.grid, t0)
    if t0 is None and steps == len(sampling.times):
        return list(sampling.times)
    return step_times(schedule, steps, "uniform", t0)


def sample(
    prior: Prior,
    schedule: NoiseSchedule,
    times: Sequence[int],
    *,
    shape: tuple[int, int],
    num_classes: int,
    seed: int,
    slices: Sequence[int],
    chains: Sequence[int],
    device: torch.device | str = "cpu",
    start: Tensor | None = None,
    clamp: Tensor | None = None,
    temperature: float = 1.0,
    coherence_px: int = 0,
    encoder: Tensor | None = None,
    group: int | None = None,
) -> Generator[int, None, Tensor]:
    """Run n chains for each of B images.

    Parameters
    ----------
    prior : callable
        See :data:`Prior`.
    schedule : NoiseSchedule
    times : sequence of int
        Falling, as from :func:`step_times`.
    shape : (int, int)
        H, W of the network's grid.
    num_classes : int
        K.
    seed : int
    slices, chains : sequence of int
        Numbers of the B images and of the n chains: with the seed they alone decide on the draws,
        so that chain 2 of 3 is chain 2 of 8.
    device : torch.device
    start : Tensor of uint8, shape (B, H, W), optional
        Label map, noised to ``times[0]`` for a restart (docs/method.md, section 10); without it the
        chains start from uniform noise.
    clamp : Tensor of uint8, shape (B, H, W), optional
        Class value of each pixel fixed by a person, 255 where free. Fixed pixels follow
        ``q(x_s | x_t, x_0)`` and end exactly at their value (method, Eq. 33).
    temperature : float, optional
        Divisor of the logarithms of what is returned, to calibrate it; it changes no draw, and no
        chain's most probable classes.
    coherence_px : int, optional
        Length over which neighbours agree in draws from an x_t that says nothing, where a chain of
        few steps gets all that tells it from the others (:mod:`spad.chain.coherent_draws`); 0:
        pixel by pixel.
    encoder : Tensor, shape (B, 1, K, H, W), optional
        Logits that are the prior's wherever x_t says nothing; by default the prior is asked there.
    group : int, optional
        How many of an image's chains the prior is asked for at once; all by default. It changes
        memory and speed, no draw.

    Yields
    ------
    int
        Number of steps done.

    Returns
    -------
    Tensor
        ``p(x_0)`` at the end of each chain, float32 (B, n, K, H, W).
    """
    n, k, size = len(chains), num_classes, group or len(chains)
    parts = [slice(first, min(first + size, n)) for first in range(0, n, size)]
    drawn = _Draws(seed, slices, shape, device)
    if clamp is not None:
        truth = one_hot(clamp, k).unsqueeze(1)
        fixed = (clamp != IGNORE)[:, None, None]

    def hold(p: Tensor) -> Tensor:
        return p if clamp is None else torch.where(fixed, truth, p)

    unread = bool(coherence_px) and len(times) > 1 and schedule.forgets(times[0])
    x_t = _first(drawn, schedule, times[0], k, chains, start, unread)
    p_0 = torch.empty(len(slices), n, k, *shape, device=device)
    for done, (t, s) in enumerate(zip(times, [*times[1:], 0], strict=True), start=1):
        jump = schedule.jump(t, s, device=device)
        # Where x_t says nothing, one answer (to chain 0's noise) serves all chains of an image.
        forgets = schedule.forgets(t)
        alike = encoder if forgets else None
        if forgets and alike is None:
            alike = prior(drawn.noise(k, schedule.steps + 1, [0]), t)
        if s > 0:
            u = drawn.uniform(t, chains)
            pi = None if alike is None else hold(alike.softmax(2))
            for part in parts:
                x = x_t[:, part]
                if pi is not None and coherence_px:
                    x_0 = drawn.coherent(pi, coherence_px, t, chains[part])
                    x_t[:, part] = q_sample(x_0, jump.alpha_bar_s[0], k, u[:, part])
                else:
                    p = hold(prior(x, t).softmax(2)) if pi is None else pi
                    x_t[:, part] = draw_posterior(x, p, jump, u[:, part])
        else:
            for part in parts:
                x = x_t[:, part]
                logits = (
                    prior(x, t)
                    if alike is None
                    else alike.expand(-1, x.shape[1], -1, -1, -1).clone()
                )
                p_0[:, part] = hold(end(x, logits, jump, temperature))
        yield done
    return p_0


def _first(
    drawn: _Draws,
    schedule: NoiseSchedule,
    t: int,
    num_classes: int,
    chains: Sequence[int],
    start: Tensor | None,
    unread: bool,
) -> Tensor:
    """Label maps (B, n, H, W) that the chains begin with: noise, or the start noised to t.

    Where the first jump draws all of them anew, whatever they are, they are anything.
    """
    if unread:
        size = (len(drawn.slices), len(chains), *drawn.shape)
        return torch.empty(size, dtype=torch.uint8, device=drawn.device)
    if start is None:
        return drawn.noise(num_classes, schedule.steps + 1, chains)
    alpha_bar = torch.tensor(schedule.alpha_bar[t], dtype=torch.float32)
    u = drawn.uniform(schedule.steps + 1, chains)
    return q_sample(start.unsqueeze(1).expand(u.shape), alpha_bar, num_classes, u)


@dataclass(frozen=True, slots=True)
class _Draws:
    """What is drawn for chains of B images at a time: by its number alone, whatever runs beside."""

    seed: int
    slices: Sequence[int]
    shape: tuple[int, int]
    device: torch.device | str

    def uniform(self, t: int, chains: Sequence[int]) -> Tensor:
        """Numbers in (0, 1), float32 (B, n, H, W)."""
        numbers = [(z, chain, t) for z in self.slices for chain in chains]
        keys = draws.keys(self.seed, numbers, "chain")
        u = draws.uniform(keys, self.shape, device=self.device)
        return u.view(len(self.slices), len(chains), *self.shape)

    def noise(self, num_classes: int, t: int, chains: Sequence[int]) -> Tensor:
        """Label maps of noise, uint8 (B, n, H, W)."""
        u = self.uniform(t, chains)
        return (u * num_classes).clamp_(max=num_classes - 1).to(torch.uint8)

    def coherent(self, pi: Tensor, length_px: float, t: int, chains: Sequence[int]) -> Tensor:
        """Label maps drawn from pi (B, 1, K, H, W), neighbours alike, uint8 (B, n, H, W)."""
        numbers = [[(z, chain, t) for chain in chains] for z in self.slices]
        return coherent_draw(pi, length_px, seed=self.seed, numbers=numbers, purpose="coherent")
