"""What a person fixed, spread to pixels that look alike (docs/method.md, section 10).

A pixel that the encoder got wrong tells of others: those nearby whose features are like its own are
likely wrong in the same way. So the encoder's error at the fixed pixels, one-hot label less
probabilities, is interpolated over place and features by a Gaussian process (kernel ridge
regression) and added to the logits. "Correct and smooth" (Huang et al., ICLR 2021) does this on
graphs. Nothing is trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spad.chain import one_hot
from spad.checkpoint import IGNORE

__all__ = ["spread"]

REACH_PX = 10.0  # standard deviations of the kernel: pixels of the network's grid ...
LIKENESS = 0.3  # ... and features, each scaled to unit variance over the image
DOUBT = 3.0  # variance of the noise against the kernel's own: smooths over contradictions
GAIN = 4.0  # logits for an error of 1
_FARTHEST = 3  # reaches, beyond which the kernel is cut off
_MOST = 512  # fixed pixels that are heeded, those with the largest errors


def spread(logits: Tensor, features: Tensor, hints: Tensor) -> Tensor:
    """Logits that heed what a person fixed (method, Eq. 34).

    Parameters
    ----------
    logits : Tensor of float32, shape (B, K, H, W)
    features : Tensor, shape (B, C, h, w)
        On any coarser grid of the same image.
    hints : Tensor of uint8, shape (B, H, W)
        The class at each fixed pixel, 255 elsewhere.

    Returns
    -------
    Tensor of float32, shape (B, K, H, W)
        Equal to ``logits`` from three times the reach on.
    """
    return torch.stack(
        [_spread(*image) for image in zip(logits, features.float(), hints, strict=True)]
    )


def _spread(logits: Tensor, features: Tensor, hints: Tensor) -> Tensor:
    """Do so for one image, (K, H, W)."""
    k, h, w = logits.shape
    error = one_hot(hints, k) - logits.softmax(0)
    size = error.abs().sum(0).masked_fill(hints == IGNORE, -1).flatten()
    told = size.topk(min(_MOST, size.numel())).indices
    told = told[size[told] >= 0]
    if not len(told):
        return logits
    scale = features.std((1, 2), keepdim=True).clamp_min(1e-6) * len(features) ** 0.5 * LIKENESS
    features = F.interpolate((features / scale)[None], (h, w), mode="bilinear")[0].flatten(1).T
    rows, columns = (
        torch.arange(side, dtype=logits.dtype, device=logits.device) for side in (h, w)
    )
    places = torch.cartesian_prod(rows, columns) / REACH_PX

    def kernel(one: Tensor, two: Tensor) -> Tensor:
        near = torch.cdist(places[one], places[two]).square()
        alike = torch.cdist(features[one], features[two]).square()
        return torch.where(near <= _FARTHEST**2, (-(near + alike) / 2).exp(), 0)

    own = kernel(told, told) + DOUBT * torch.eye(
        len(told), dtype=logits.dtype, device=logits.device
    )
    weights = _solved(own, GAIN * error.flatten(1)[:, told].T)
    # Only where a fixed pixel is in reach: strokes are short, images large.
    fixed = torch.zeros_like(logits[0]).flatten().index_fill(0, told, 1).view(1, h, w)
    reach = int(_FARTHEST * REACH_PX)
    reached = F.max_pool2d(fixed, (2 * reach + 1, 1), 1, (reach, 0))
    reached = F.max_pool2d(reached, (1, 2 * reach + 1), 1, (0, reach))
    out = logits.flatten(1).clone()
    for part in torch.split(torch.nonzero(reached.flatten())[:, 0], 8192):
        out[:, part] += (kernel(part, told) @ weights).T
    return out.view(k, h, w)


def _solved(a: Tensor, b: Tensor) -> Tensor:
    """What a is multiplied by to give b; small, and on the CPU where MPS is too old for it."""
    on = torch.device("cpu") if a.device.type == "mps" else a.device
    found: Tensor = torch.linalg.solve(a.to(on), b.to(on))
    return found.to(a.device)
