"""The categorical diffusion of label maps: pure functions on tensors.

CCDM (Zbinden et al., ICCV 2023) with D3PM's uniform transitions (Austin et al., NeurIPS 2021,
appendix A.2.1). Label maps are integers ``(B, H, W)``, distributions over classes ``(B, K, H, W)``.
The reverse process is told by a *prior* ``pi(x_0)``, what is known of a pixel without its own x_t;
with ``q(x_t | x_0)`` it gives ``p(x_0 | x_t)``. Each function computes in the dtype it is given;
give float32 or float64, since bfloat16 turns posterior and KL into NaN at t = 1, 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spad.chain.launches import few_launches
from spad.chain.noise_schedule import Jump

__all__ = [
    "draw_posterior",
    "end",
    "evidence",
    "kl",
    "likelihood",
    "one_hot",
    "posterior",
    "prior_logits",
    "q_sample",
]


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integers ``(B, H, W)`` to ``(B, K, H, W)`` of 0 and 1; a value outside 0..K-1 gives zeros."""
    classes = torch.arange(num_classes, device=labels.device, dtype=labels.dtype)
    return (labels.unsqueeze(-3) == classes.view(-1, 1, 1)).to(dtype)


def q_sample(x_0: Tensor, alpha_bar: Tensor, num_classes: int, u: Tensor) -> Tensor:
    """Draw x_t from ``q(x_t | x_0) = Cat(alpha_bar_t x_0 + (1 - alpha_bar_t) / K)``.

    Parameters
    ----------
    x_0 : Tensor of integers, shape (B, H, W)
    alpha_bar : Tensor, broadcastable to (B, H, W)
    num_classes : int
        K.
    u : Tensor, shape (B, H, W)
        Uniform in (0, 1): one number decides both whether a label is lost and what replaces it.

    Returns
    -------
    Tensor of x_0's dtype, shape (B, H, W)
    """
    # method, Eq. 3
    replacement = (u - alpha_bar) / (1 - alpha_bar).clamp_min(1e-12) * num_classes
    replacement = replacement.clamp_(0, num_classes - 1).to(x_0.dtype)
    return torch.where(u < alpha_bar, x_0, replacement)


def likelihood(x_t: Tensor, jump: Jump, num_classes: int) -> Tensor:
    """``q(x_t | x_0 = i)`` for every class i: ``alpha_bar_t [x_t = i] + (1 - alpha_bar_t) / K``.

    Parameters
    ----------
    x_t : Tensor of integers, shape (B, H, W)
    jump : Jump
        Only its t counts.
    num_classes : int

    Returns
    -------
    Tensor, shape (B, K, H, W)
    """
    x = one_hot(x_t, num_classes, jump.kept.dtype)
    return torch.addcmul(jump.alpha_bar_t_lost / num_classes, x, jump.alpha_bar_t)


def prior_logits(logits: Tensor, x_t: Tensor, jump: Jump) -> Tensor:
    """Logits of the prior from those of ``p(x_0 | x_t)``, which CCDM's network predicts.

    What x_t says is divided out: ``pi_i ~ p(x_0 = i | x_t) / q(x_t | x_0 = i)``. Whatever then
    weighs x_t anew (:func:`posterior`, :func:`kl`) is D3PM's mixture with ``p(x_0 | x_t)``.

    Parameters
    ----------
    logits : Tensor, shape (..., K, H, W)
    x_t : Tensor of integers, shape (..., H, W)
    jump : Jump
        Only its t counts; one time, or one for each of B maps (B, H, W).

    Returns
    -------
    Tensor, shape (..., K, H, W)
        Not normalised (method, Eq. 5).
    """
    return logits - likelihood(x_t, jump, logits.shape[-3]).log()


def posterior(x_t: Tensor, prior: Tensor, jump: Jump) -> Tensor:
    """``p(x_s | x_t)`` for any s < t, exact, from a prior over x_0 (method, Eq. 4).

    Bayes: ``p(x_s | x_t) ~ q(x_t | x_s) p(x_s)``, where the prior noised to s is
    ``p(x_s) = alpha_bar_s pi + (1 - alpha_bar_s) / K``. This is D3PM's mixture
    ``sum_i p(x_0 = i | x_t) q(x_s | x_t, x_0 = i)`` in O(K) a pixel, since
    ``pi_i ~ p(x_0 = i | x_t) / q(x_t | x_0 = i)``: dividing out what x_t says leaves the prior.
    A one-hot prior gives ``q(x_s | x_t, x_0)``; s = 0 gives ``p(x_0 | x_t)``.

    Parameters
    ----------
    x_t : Tensor of integers, shape (B, H, W)
    prior : Tensor, shape (B, K, H, W)
        pi, sums to 1 over the classes: what is known of x_0 without the pixel's own x_t.
    jump : Jump

    Returns
    -------
    Tensor, shape (B, K, H, W)
        Non-negative, sums to 1 over the classes.
    """
    k = prior.shape[-3]
    x = one_hot(x_t, k, prior.dtype)
    noised = torch.addcmul(jump.alpha_bar_s_lost / k, prior, jump.alpha_bar_s)
    joint = torch.addcmul(jump.lost / k, x, jump.kept) * noised
    return joint / joint.sum(-3, keepdim=True)


def evidence(x_t: Tensor, log_prior: Tensor, jump: Jump) -> Tensor:
    """``log p(x_t) = log sum_i pi_i q(x_t | x_0 = i)`` per pixel, shape (B, H, W)."""
    k = log_prior.shape[1]
    at_x_t = log_prior.gather(1, x_t.long().unsqueeze(1)).exp()
    return torch.addcmul(jump.alpha_bar_t_lost / k, at_x_t, jump.alpha_bar_t).log().squeeze(1)


def kl(x_t: Tensor, x_0: Tensor, log_prior: Tensor, jump: Jump) -> Tensor:
    """``KL(q(x_s | x_t, x_0) || p(x_s | x_t))`` per pixel; at s = 0 it is ``-log p(x_0 | x_t)``.

    q is the same at all classes but x_0 and x_t, so that a sum over the classes and two look-ups
    do. Computed from logarithms: a confident wrong prediction costs what it should, and keeps its
    gradient.

    Parameters
    ----------
    x_t, x_0 : Tensor of integers, shape (B, H, W)
    log_prior : Tensor, shape (B, K, H, W)
        Logarithm of pi; see :func:`posterior`.
    jump : Jump

    Returns
    -------
    Tensor, shape (B, H, W)
    """
    k = log_prior.shape[1]
    lost_s = jump.alpha_bar_s_lost / k
    log_noised = torch.logaddexp(jump.alpha_bar_s.log() + log_prior, lost_s.log())
    here, there = x_t.long().unsqueeze(1), x_0.long().unsqueeze(1)
    same = here == there
    lost = jump.lost / k
    # q(x_s | x_t, x_0) at the classes x_0, x_t and at each other one; "both" where x_t = x_0.
    q_x_t = torch.where(same, jump.alpha_bar_t, 0) + jump.alpha_bar_t_lost / k
    q_there = (torch.where(same, jump.kept, 0) + lost) * (jump.alpha_bar_s + lost_s) / q_x_t
    q_here = torch.where(same, q_there, (jump.kept + lost) * lost_s / q_x_t)
    q_other = lost * lost_s / q_x_t
    log_there = log_noised.gather(1, there)
    log_here = log_noised.gather(1, here)
    log_others = log_noised.sum(1, keepdim=True) - log_there - torch.where(same, 0, log_here)
    # Cross-entropy of q with p; xlogy gives 0 where q is 0 (s = 0), where the logarithm would not.
    cross = q_there * log_there + torch.where(same, 0, q_here * log_here) + q_other * log_others
    others = torch.where(same, k - 1, k - 2)
    own = (
        q_there * (jump.alpha_bar_s + lost_s).log()
        + torch.where(same, 0, torch.xlogy(q_here, lost_s))
        + torch.xlogy(q_other * others, lost_s)
    )
    # q's and p's common factor q(x_t | x_s) cancels, their normalisations do not: method, Eq. 7.
    return (own - cross - q_x_t.log()).squeeze(1) + evidence(x_t, log_prior, jump)


def draw_posterior(x_t: Tensor, prior: Tensor, jump: Jump, u: Tensor) -> Tensor:
    """Draw x_s from :func:`posterior`, without computing it.

    ``p(x_s | x_t)`` is proportional to ``(kept [x_s = x_t] + lost / K) p(x_s)``, p(x_s) being the
    noised prior: either the label survived the jump and still is x_t, or it was lost, and x_t tells
    nothing of x_s. So one look-up and one inverse cumulative distribution do.

    Parameters
    ----------
    x_t : Tensor of uint8, shape (..., H, W)
    prior : Tensor, shape (..., K, H, W)
        As of :func:`posterior`; leading axes may be 1 where one prior serves several label maps.
    jump : Jump
        One, to an s of 1 or more.
    u : Tensor, shape (..., H, W)
        Uniform in (0, 1).

    Returns
    -------
    Tensor of uint8, shape (..., H, W)
    """
    k = prior.shape[-3]
    # One jump: (1, 1, 1), which broadcasts over any leading axes of planes.
    alpha_bar_s, uniform = jump.alpha_bar_s[0], jump.alpha_bar_s_lost[0] / k
    kept, lost = jump.kept[0], jump.lost[0] / k
    index = x_t.unsqueeze(-3).long()
    here = prior.expand(*x_t.shape[:-2], k, *x_t.shape[-2:]).gather(-3, index).squeeze(-3)
    survived = kept * torch.addcmul(uniform, here, alpha_bar_s)
    v = u * (survived + lost) / lost
    if few_launches(x_t):
        boundaries = torch.addcmul(uniform, prior, alpha_bar_s).cumsum(-3)[..., : k - 1, :, :]
        x_s = (boundaries <= v.unsqueeze(-3)).sum(-3, dtype=x_t.dtype)
        return torch.where(v < 1, x_s, x_t)
    x_s = torch.zeros_like(x_t)
    cumulative = torch.zeros_like(prior[..., 0, :, :])
    # Plane by plane, which a CPU's caches hold. The last class's boundary is 1 but for rounding.
    for value in range(k - 1):
        cumulative.addcmul_(prior[..., value, :, :], alpha_bar_s).add_(uniform)
        x_s += cumulative <= v
    return torch.where(v < 1, x_s, x_t)


def end(
    x_t: Tensor, logits: Tensor, jump: Jump, temperature: float = 1.0, *, out: Tensor | None = None
) -> Tensor:
    """``p(x_0 | x_t)``: :func:`posterior` at s = 0, from the prior's logits (method, Eq. 6).

    Parameters
    ----------
    x_t : Tensor of integers, shape (..., H, W)
    logits : Tensor, shape (..., K, H, W)
        Of the prior, divided by the temperature; overwritten.
    jump : Jump
        Only its t counts.
    temperature : float
        Divisor of the logarithms, which calibrates (Guo et al., ICML 2017, section 4.2).
    out : Tensor, shape (..., K, H, W), optional
        Where it goes.

    Returns
    -------
    Tensor, shape (..., K, H, W)
    """
    gain = torch.log1p(jump.alpha_bar_t * logits.shape[-3] / jump.alpha_bar_t_lost)
    if temperature != 1:
        gain /= temperature
    index = x_t.unsqueeze(-3).long()
    logits.scatter_add_(-3, index, gain.expand(index.shape))
    return torch.softmax(logits, -3, out=out)
