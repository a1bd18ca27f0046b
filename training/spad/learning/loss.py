"""Soft Dice, which the trainer takes too, and a lesson's loss: cross-entropy and soft Dice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    before: Tensor | None = None,
    alike: Sequence[bool] | None = None,
    *,
    kept_weight: float = 0.0,
    own_weight: float = 0.0,
    own_confidence: float = 0.9,
) -> Tensor:
    """Cross-entropy and soft Dice of what a person said, beside what the old model knew.

    Parameters
    ----------
    logits : Tensor of float32, shape (B, K, H, W)
    labels : Tensor of uint8, shape (B, H, W)
        255 where the person said nothing.
    before : Tensor of float32, shape (B, K, H, W), optional
        The old model's probabilities; 0 beyond the image.
    alike : sequence of bool, one a class, optional
        Background, and the structures that the lesson shows nowhere: they count as one class. A
        B-scan without a structure does not say that there is none in others; and what a lesson does
        not show, a few B-scans of earlier cases would teach worse than it is known.
    kept_weight : float
        Of the old model's shares among those, wherever a person has not said that it is another.
    own_weight : float
        Of a pixel that is 255 and of which the old model is sure, beside one of a person's.
    own_confidence : float
        From which probability on it is sure.
    """
    own = None
    if before is not None and own_weight:
        share, most = before.max(1)
        own = torch.where((labels == IGNORE) & (share >= own_confidence), most, IGNORE)
    kept = None
    if alike is not None:
        logits, labels, own, kept = _as_one(alike, logits, labels, own, before)
    weight = (labels != IGNORE).float()
    x_0 = truth(labels)
    if own is not None:
        weight = torch.where(own != IGNORE, own_weight, weight)
        x_0 = torch.where(own != IGNORE, own.long(), x_0)
    each = F.cross_entropy(logits, x_0, reduction="none")
    # method, Eq. 35
    mean = (each * weight).sum() / weight.sum().clamp_min(1e-6)
    loss = mean + soft_dice(logits.softmax(1), labels)
    return loss if kept is None else loss + kept_weight * kept


def _as_one(
    alike: Sequence[bool],
    logits: Tensor,
    labels: Tensor,
    own: Tensor | None,
    before: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Some classes as the first one, the others after it; and how far they shift among themselves.

    Returns
    -------
    logits, labels, own :
        Of the fewer classes.
    kept : Tensor, shape ()
        Cross-entropy of their shares among themselves against those before, where none of the
        others is said to be.
    """
    order = sorted(range(len(alike)), key=lambda k: not alike[k])
    count = sum(alike)
    numbers = [max(order.index(k) - count + 1, 0) for k in range(len(alike))]
    numbers += [IGNORE] * (256 - len(numbers))
    at = sent(torch.tensor(order), logits.device)
    table = sent(torch.tensor(numbers, dtype=torch.uint8), logits.device)
    ordered = logits.index_select(1, at)
    apart = ordered[:, :count]
    one = apart.logsumexp(1, keepdim=True)
    merged = torch.cat([one, ordered[:, count:]], 1)
    labels = table[labels.long()]
    own = None if own is None else table[own.long()]
    if before is None:
        return merged, labels, own, None
    shares = before.index_select(1, at[:count])
    inside = shares.sum(1)
    weight = ((labels == 0) | (labels == IGNORE)) * inside
    shift = one[:, 0] - (apart * shares).sum(1) / inside.clamp_min(1e-6)
    return merged, labels, own, (shift * weight).sum() / weight.sum().clamp_min(1e-6)
