"""Soft Dice, which the trainer takes too, and a lesson's loss: cross-entropy and soft Dice."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spad.chain import few_launches, one_hot, sent
from spad.checkpoint import IGNORE

__all__ = ["learning_loss", "soft_dice", "truth"]


def soft_dice(
    probabilities: Tensor,
    labels: Tensor,
    judged: Tensor | None = None,
    *,
    pool: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """1 - soft Dice, pooled over the batch, mean over the structures present in it; a scalar.

    Parameters
    ----------
    probabilities : Tensor, shape (B, K, H, W)
    labels : Tensor of uint8, shape (B, H, W)
        255 is ignored.
    judged : Tensor of bool, shape (B, K), optional
        Which structures were looked for in each image; the others are left out of it.
    pool : callable, optional
        Sums of this part of a batch to those of the whole; see
        `spad.train.processes.group.Group.pool`.
    """
    k = probabilities.shape[1]
    known = labels != IGNORE
    x_0 = truth(labels, judged)
    right = probabilities.gather(1, x_0.unsqueeze(1)).squeeze(1) * known
    both = _by_class(right, x_0, k)[1:]
    if judged is not None:
        probabilities = probabilities * judged[:, :, None, None]
    predicted = torch.einsum("bkhw,bhw->k", probabilities, known.to(probabilities.dtype))[1:]
    pixels = _by_class(known.to(right.dtype), x_0, k)[1:]
    if pool is not None:
        both, predicted, pixels = pool(torch.stack([both, predicted, pixels]))
    # method, Eq. 9
    dice = (2 * both + 1) / (predicted + pixels + 1)
    present = (pixels > 0).to(right.dtype)
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


def _by_class(values: Tensor, x_0: Tensor, k: int) -> Tensor:
    """Sums of values (B, H, W) over the pixels of each class, (K,)."""
    if not few_launches(values):
        return values.new_zeros(k).scatter_add(0, x_0.flatten(), values.flatten())
    # A GPU's threads would queue for K numbers, and add in another order each time.
    return torch.where(one_hot(x_0, k, torch.bool), values.unsqueeze(1), 0).sum((0, 2, 3))


def truth(labels: Tensor, judged: Tensor | None = None) -> Tensor:
    """x_0, int64 (B, H, W): background where nothing is known, or of a class not looked for."""
    x_0 = torch.where(labels != IGNORE, labels, 0).long()
    if judged is None:
        return x_0
    return x_0 * judged.gather(1, x_0.flatten(1)).view_as(x_0)


def learning_loss(
    logits: Tensor,
    labels: Tensor,
    own: Tensor | None = None,
    own_weight: float = 0.0,
    alike: Tensor | None = None,
) -> Tensor:
    """Cross-entropy and soft Dice of what a person said; and little of what the model is sure of.

    Parameters
    ----------
    logits : Tensor of float32, shape (B, K, H, W)
    labels : Tensor of uint8, shape (B, H, W)
        255 where the person said nothing.
    own : Tensor of uint8, shape (B, H, W), optional
        The old model's own labels, 255 where it is not sure; heeded where ``labels`` is 255.
    own_weight : float
        Weight of such a pixel beside one of the person's.
    alike : Tensor of bool, shape (K,), optional
        On the host. Background, and the structures that the lesson shows nowhere: they count as
        one class. A B-scan without a structure does not say that there is none in others; and what
        a lesson does not show, a few B-scans of earlier cases would teach worse than it is known.
    """
    if alike is not None:
        logits, labels, own = _as_one(alike, logits, labels, own)
    weight = (labels != IGNORE).float()
    x_0 = truth(labels)
    if own is not None:
        heeded = (labels == IGNORE) & (own != IGNORE)
        weight = torch.where(heeded, own_weight, weight)
        x_0 = torch.where(heeded, own.long(), x_0)
    each = F.cross_entropy(logits, x_0, reduction="none")
    # method, Eq. 35
    mean = (each * weight).sum() / weight.sum().clamp_min(1e-6)
    return mean + soft_dice(logits.softmax(1), labels)


def _as_one(
    alike: Tensor, logits: Tensor, labels: Tensor, own: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Some classes as the first one, the others after it: logits and both label maps."""
    table = torch.full((256,), IGNORE, dtype=torch.uint8)
    table[: len(alike)] = torch.where(alike, 0, (~alike).cumsum(0)).to(torch.uint8)
    # On the host, where how many there are is known: a device would be waited for.
    those, others, table = (
        sent(x, logits.device) for x in (alike.nonzero()[:, 0], (~alike).nonzero()[:, 0], table)
    )
    one = logits.index_select(1, those).logsumexp(1, keepdim=True)
    merged = torch.cat([one, logits.index_select(1, others)], 1)
    labels, own = (None if x is None else table[x.long()] for x in (labels, own))
    return merged, labels, own
