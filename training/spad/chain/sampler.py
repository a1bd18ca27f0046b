"""The reverse chain: from noise, or from an edited label map, down to labels.

Any grid of times may be visited, as the posterior of any two is exact (docs/method.md, section 1).
The last step goes to s = 0 and hands out probabilities: drawing there, pixel by pixel, would only
add noise. So would what the labels drawn for a pixel itself tell of it, where many chains are
averaged: their mean is of the prior, which has the same expectation and less variance
(Rao-Blackwell); of a pixel's own labels only the one counts that a restart begins with. With all T
times it is CCDM's ancestral chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from spad.chain import draws
from spad.chain.coherent_draws import coherent_draw
from spad.chain.diffusion import draw_posterior, end, one_hot, q_sample
from spad.chain.noise_schedule import NoiseSchedule
from spad.checkpoint import IGNORE, SamplingConfig

__all__ = ["Chains", "Prior", "step_times", "times_of_use"]

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


class Chains:
    """n chains for each of B images, step by step, on tensors that stay where they are.

    No step makes numbers on the host, nor waits for the device: so they can be recorded.

    Parameters
    ----------
    prior : callable
        See :data:`Prior`.
    schedule : NoiseSchedule
    times : sequence of int
        Falling, as from :func:`step_times`.
    words : mapping of Tensors
        From :func:`spad.chain.host_words.chain_words`, on the chains' device: with them it is
        settled which images and chains these are, and chain 2 of 3 is chain 2 of 8.
    shape : (int, int)
        H, W of the network's grid.
    num_classes : int
        K.
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

    Attributes
    ----------
    p_0 : Tensor of float32, shape (B, n, K, H, W)
        ``p(x_0)`` at the end of each chain, after the last step.
    told : Tensor of float32, shape (B, K, H, W)
        Sum over the chains of their priors at the last step, weighed by what a restart begins with.
    """

    def __init__(
        self,
        prior: Prior,
        schedule: NoiseSchedule,
        times: Sequence[int],
        words: Mapping[str, Tensor],
        *,
        shape: tuple[int, int],
        num_classes: int,
        start: Tensor | None = None,
        clamp: Tensor | None = None,
        temperature: float = 1.0,
        coherence_px: int = 0,
        encoder: Tensor | None = None,
        group: int | None = None,
    ) -> None:
        self._prior, self._words, self._times = prior, words, list(times)
        self._shape, self._k, self._temperature = shape, num_classes, temperature
        self._start, self._clamp = start, clamp
        self._coherence_px, self._encoder = coherence_px, encoder
        b, n = words["first"].shape[:2]
        device, size = words["first"].device, group or n
        self._parts = [slice(first, min(first + size, n)) for first in range(0, n, size)]
        self._forgets = [schedule.forgets(t) for t in times]
        jumps = schedule.jump(self._times, [*times[1:], 0], device=device)  # sent at once
        self._jumps = [jumps.of(number) for number in range(len(times))]
        self._x_t: Tensor
        self._first: Tensor | None = None
        self.p_0 = torch.empty(b, n, num_classes, *shape, dtype=torch.float32, device=device)
        self.told = torch.empty(b, num_classes, *shape, dtype=torch.float32, device=device)

    def step(self, number: int) -> None:
        """Do a step, the number-th of as many as there are times; in this order."""
        if number == 0:
            self._begin()
        t, x_t = self._times[number], self._x_t
        # Where x_t says nothing, one answer (to chain 0's noise) serves all chains of an image.
        alike = None
        if self._forgets[number]:
            alike = self._encoder
            if alike is None:
                alike = self._prior(self._noise("one"), t)
        if number + 1 < len(self._times):
            u = self._uniform(f"draw {t}")
            pi = None if alike is None else self._held(alike.softmax(2))
            for part in self._parts:
                x_t[:, part] = self._drawn(number, x_t[:, part], pi, u, part)
            return
        for part in self._parts:
            x = x_t[:, part]
            if alike is None:
                logits = self._prior(x, t)
            else:
                logits = alike.expand(-1, x.shape[1], -1, -1, -1).clone()
            self._end(number, x, logits, part)

    def _end(self, number: int, x: Tensor, logits: Tensor, part: slice) -> None:
        """What some of the chains tell, and how each of them ends."""
        if self._temperature != 1:
            logits /= self._temperature
        if self._first is None:
            told = self._held(logits.softmax(2))
        else:
            first = self._first[:, part]
            told = self._held(end(first, logits.clone(), self._jumps[0], self._temperature))
        if part.start:
            self.told += told.sum(1)
        else:
            torch.sum(told, 1, out=self.told)
        p_0 = self.p_0[:, part]
        end(x, logits, self._jumps[number], self._temperature, out=p_0)
        if self._clamp is not None:
            p_0.copy_(self._held(p_0))

    def _begin(self) -> None:
        """Noise, or the start noised to the first time; and what a person fixed."""
        if self._clamp is not None:
            self._truth = one_hot(self._clamp, self._k).unsqueeze(1)
            self._fixed = (self._clamp != IGNORE)[:, None, None]
        if self._coherence_px and len(self._times) > 1 and self._forgets[0]:
            self._x_t = self.p_0.new_empty(self.p_0[:, :, 0].shape, dtype=torch.uint8)  # not read
        elif self._start is None:
            self._x_t = self._noise("first")
        else:
            u = self._uniform("first")
            start = self._start.unsqueeze(1).expand(u.shape)
            self._x_t = q_sample(start, self._jumps[0].alpha_bar_t[0], self._k, u)
        self._first = None if self._forgets[0] else self._x_t.clone()

    def _drawn(self, number: int, x: Tensor, pi: Tensor | None, u: Tensor, part: slice) -> Tensor:
        """Label maps at the next time, of a part of the chains."""
        t, jump = self._times[number], self._jumps[number]
        if pi is not None and self._coherence_px:
            x_0 = coherent_draw(pi, self._coherence_px, self._words[f"fields {t}"][:, part])
            return q_sample(x_0, jump.alpha_bar_s[0], self._k, u[:, part])
        p = self._held(self._prior(x, t).softmax(2)) if pi is None else pi
        return draw_posterior(x, p, jump, u[:, part])

    def _held(self, p: Tensor) -> Tensor:
        return p if self._clamp is None else torch.where(self._fixed, self._truth, p)

    def _uniform(self, purpose: str) -> Tensor:
        """Numbers in (0, 1), float32 (B, n, H, W)."""
        words = self._words[purpose]
        return draws.uniform(words.flatten(0, 1), self._shape).view(*words.shape[:2], *self._shape)

    def _noise(self, purpose: str) -> Tensor:
        """Label maps of noise, uint8 (B, n, H, W)."""
        u = self._uniform(purpose)
        return (u * self._k).clamp_(max=self._k - 1).to(torch.uint8)
