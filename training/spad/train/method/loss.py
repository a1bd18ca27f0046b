"""A batch's loss: KL between posteriors, cross-entropy and Dice (docs/method.md, section 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spad.chain import Jump, NoiseSchedule, draws, evidence, kl, prior_logits, q_sample, sent
from spad.checkpoint import IGNORE
from spad.learning import soft_dice, truth
from spad.network import Network, Outputs, autocast
from spad.train.config import Loss
from spad.train.method.recycling import recycled_x_t, visited_jumps

__all__ = ["diffusion_times", "loss_terms"]

_NEVER = -69.0  # logarithm of 1e-30: a probability of 0 with which every term stays finite


def _merged(log_p: Tensor, judged: Tensor | None) -> Tensor:
    """Log-probabilities (B, K, H, W) in which background is "none of the structures looked for".

    The annotator of a partially labelled case told fewer classes apart, so the model is judged as
    one that tells no more: what it gives to the classes that nobody looked for counts as
    background's. A marginal loss (Shi et al., Medical Image Analysis 2021), for every term alike:
    the KL is that of the diffusion of the coarser label map, whose x_t is that of background. It
    favours neither background nor such a class where either may be.
    """
    if judged is None:
        return log_p
    judged = judged[:, :, None, None]
    open_ = ~judged
    open_[:, 0] = True
    # method, Eq. 11
    background = log_p.masked_fill(~open_, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([background, torch.where(judged, log_p, _NEVER)[:, 1:]], dim=1)


def diffusion_times(
    schedule: NoiseSchedule, at_T: float, seed: int, numbers: list[int]
) -> list[int]:
    """Time of each sample: T for a share ``at_T``, else uniform in 1..T (method, Eq. 10)."""
    u = draws.uniform(draws.keys(seed, numbers, "time"), (2,)).numpy().astype(np.float64)
    times = np.where(u[:, 0] < at_T, schedule.steps, 1 + np.floor(u[:, 1] * schedule.steps))
    return [int(t) for t in times]


def loss_terms(
    network: Network,
    schedule: NoiseSchedule,
    config: Loss,
    image: Tensor,
    labels: Tensor,
    *,
    seed: int,
    numbers: list[int],
    judged: Tensor | None = None,
    visited: Sequence[int] = (),
    forward: Callable[..., Outputs] | None = None,
    count: Callable[[int], Tensor] | None = None,
    pool: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """The weighted terms of the loss; their sum is trained on (method, Eq. 8).

    Parameters
    ----------
    network : Network
    schedule : NoiseSchedule
    config : Loss
    image : Tensor, shape (B, 1, H, W)
        Perturbed.
    labels : Tensor of uint8, shape (B, H, W)
        255 is ignored.
    seed : int
    numbers : list of int
        Sample numbers: with the seed they decide on all draws.
    judged : Tensor of bool, shape (B, K), optional
        Which classes were looked for in each image; None: all. Where one was not, background
        stands for "background or a class that was not looked for", and so do labels of that class.
    visited : sequence of int, optional
        Times at which the chain that is trained for asks the denoiser, falling; for
        ``config.recycled``. Without T among them the encoder's logits stand in for it there.
    forward : callable, optional
        The network as something wraps it (DDP, compile); called once, in place of the network, and
        once more, without a gradient, where samples are recycled.
    count : callable, optional
        For a part of a batch: stride -> the mean number of known pixels in a part, every so many
        rows and columns, so that the mean of the parts' sums over pixels is the whole batch's mean
        over pixels. The part's own by default.
    pool : callable, optional
        As of :func:`soft_dice`.

    Returns
    -------
    dict of scalar Tensor
        Terms whose weight is 0 are left out.
    """
    # "is None": a compiled module has no truth value.
    run = network if forward is None else forward
    noised = None
    if network.diffuses:
        noised = _noised(
            network, run, schedule, config, image, labels, judged, visited,
            seed=seed, numbers=numbers,
        )  # fmt: skip
    with autocast(image.device):
        if noised is None:
            out = run(image, None, None)
        else:
            out = run(image, noised.x_t.unsqueeze(1), noised.time)
    terms = _encoder_terms(config, out.encoder, labels, judged, count, pool)
    if noised is None or out.denoiser is None:
        return terms
    logits = out.denoiser.squeeze(1)
    if network.predicts == "x_0":
        logits = prior_logits(logits, noised.x_t, noised.jump)
    log_prior = _merged(F.log_softmax(logits, dim=1), judged)
    return {**terms, **_denoiser_terms(config, log_prior, noised, labels, judged, count, pool)}


class _Noised(NamedTuple):
    """Label maps x_t, uint8 (B, H, W), the jumps from them, and t / T, float32 (B,)."""

    x_t: Tensor
    jump: Jump
    time: Tensor


def _noised(
    network: Network,
    run: Callable[..., Outputs],
    schedule: NoiseSchedule,
    config: Loss,
    image: Tensor,
    labels: Tensor,
    judged: Tensor | None,
    visited: Sequence[int],
    *,
    seed: int,
    numbers: list[int],
) -> _Noised:
    """Draw the time and x_t of each sample."""
    times = diffusion_times(schedule, config.at_T, seed, numbers)
    until = [t - 1 for t in times]
    jumps, recycled = visited_jumps(config.recycled, visited, schedule.steps, seed, numbers)
    for place, (t, s) in jumps.items():
        times[place], until[place] = t, s
    jump = schedule.jump(times, until, device=image.device)
    u = draws.uniform(draws.keys(seed, numbers, "x_t"), labels.shape[1:], device=image.device)
    # An ignored pixel tells nothing: pure noise, whatever the time.
    kept = jump.alpha_bar_t.view(-1, 1, 1) * (labels != IGNORE)
    x_t = q_sample(truth(labels, judged), kept, network.num_classes, u).to(torch.uint8)
    # Made on the CPU: on the device, torch.tensor would wait for it.
    time = sent(torch.from_numpy(np.array(times, np.float32)), image.device)
    if recycled:
        rows = sent(torch.from_numpy(np.array(recycled)), image.device)
        drawn = recycled_x_t(
            network, run, schedule, image[rows], [times[p] for p in recycled],
            encoder=schedule.steps not in visited,
            seed=seed, numbers=[numbers[p] for p in recycled],
        )  # fmt: skip
        x_t = x_t.index_copy(0, rows, drawn)
    return _Noised(x_t, jump, time / schedule.steps)


def _denoiser_terms(
    config: Loss,
    log_prior: Tensor,
    noised: _Noised,
    labels: Tensor,
    judged: Tensor | None,
    count: Callable[[int], Tensor] | None,
    pool: Callable[[Tensor], Tensor] | None,
) -> dict[str, Tensor]:
    """Terms of the logarithm of p(x_0 | x_t, image) without what x_t tells, (B, K, H, W)."""
    x_t, jump, _ = noised
    known = labels != IGNORE
    pixels = (known.sum() if count is None else count(1)).clamp_min(1)
    x_0 = truth(labels, judged)
    terms = {}
    if config.kl:
        terms["kl"] = config.kl * (kl(x_t, x_0, log_prior, jump) * known).sum() / pixels
    if config.cross_entropy:
        at_truth = log_prior.gather(1, x_0.unsqueeze(1)).squeeze(1)
        hit = torch.where(x_t == x_0, jump.alpha_bar_t.squeeze(1), 0)
        log_q = (hit + jump.alpha_bar_t_lost.squeeze(1) / log_prior.shape[1]).log()
        log_p_0 = at_truth + log_q - evidence(x_t, log_prior, jump)
        terms["cross_entropy"] = -config.cross_entropy * (log_p_0 * known).sum() / pixels
    if config.dice:
        terms["dice"] = config.dice * soft_dice(log_prior.exp(), labels, judged, pool=pool)
    return terms


def _encoder_terms(
    config: Loss,
    scales: tuple[Tensor, ...],
    labels: Tensor,
    judged: Tensor | None,
    count: Callable[[int], Tensor] | None,
    pool: Callable[[Tensor], Tensor] | None,
) -> dict[str, Tensor]:
    """Terms of the logits told by the image alone; coarser scales weigh 1/2, 1/4, ... (nnU-Net)."""
    terms: dict[str, Tensor] = {}
    for depth, logits in enumerate(scales):
        share = 2.0**-depth / sum(2.0**-d for d in range(len(scales)))
        stride = 2**depth
        here = labels[:, ::stride, ::stride]
        known = here != IGNORE
        if config.encoder_cross_entropy:
            pixels = (known.sum() if count is None else count(stride)).clamp_min(1)
            ce = F.nll_loss(
                _merged(F.log_softmax(logits, 1), judged), truth(here, judged), reduction="none"
            )
            term = config.encoder_cross_entropy * (ce * known).sum() / pixels
            _add(terms, "encoder_cross_entropy", share * term)
        if config.encoder_dice:
            term = config.encoder_dice * soft_dice(logits.softmax(1), here, judged, pool=pool)
            _add(terms, "encoder_dice", share * term)
    return terms


def _add(terms: dict[str, Tensor], name: str, term: Tensor) -> None:
    terms[name] = terms[name] + term if name in terms else term
