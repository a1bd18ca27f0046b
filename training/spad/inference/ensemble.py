"""Chains of a slice, as they come in, to its label maps and their mean on the image's own grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad.inference.letterbox import Frame

__all__ = ["Ensemble", "Outcome"]


_BLOCK = 2**18  # numbers


class Outcome(NamedTuple):
    """Of the n chains of one slice, on the image's own grid.

    ``labels``: most probable by the chains' mean, uint8 (H, W). ``samples``: each chain's own most
    probable classes, uint8 (n, H, W). ``uncertainty``: entropy of the mean divided by log K,
    float32 (H, W) in 0..1. ``mean``: of the chains' probabilities, float32 (K, H, W).
    """

    labels: NDArray[np.uint8]
    samples: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    mean: NDArray[np.float32]


class Ensemble:
    """Collects the chains of one slice. Nothing leaves the device before :meth:`result`.

    Parameters
    ----------
    frame : Frame
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._drawn: list[Tensor] = []
        self._sum: Tensor | None = None

    def add(self, chains: Tensor) -> None:
        """Take ``p(x_0)`` of m chains on the network's grid, (m, K, h, w)."""
        for one in chains:  # singly: on the image's grid they may be large
            p = self._frame.restore(one[None])[0]
            self._drawn.append(most_probable(p))
            self._sum = p.clone() if self._sum is None else self._sum.add_(p)

    def result(self) -> Outcome:
        """The outcome of the chains added."""
        if self._sum is None:
            raise ValueError("no chain has been added; add one first")
        mean = self._sum.div_(len(self._drawn))
        # Entropy over log K (method, Eq. 29).
        # log(0) * 0 would be NaN; xlogy knows that, at ten times the cost.
        log = mean.clamp_min(torch.finfo(mean.dtype).tiny).log_()
        entropy = log.mul_(mean).sum(0).div_(-float(np.log(len(mean)))).clamp_(0, 1)
        found = (most_probable(mean), torch.stack(self._drawn), entropy, mean)
        return Outcome(*(each.cpu().numpy() for each in found))


def most_probable(p: Tensor) -> Tensor:
    """Class of the largest of the probabilities (K, H, W), the first of equals, uint8 (H, W)."""
    if p.device.type != "cpu":
        return p.argmax(0).to(torch.uint8)
    # On a CPU torch's argmax over the first axis takes forty times as long as its maximum. Count
    # the classes that come before the first one to reach it instead, by NumPy, whose comparisons
    # are the faster ones, in blocks that stay in the cache.
    label = np.zeros(p.shape[1:], np.uint8)
    rows = max(1, _BLOCK // max(p.shape[0] * p.shape[2], 1))
    values = p.numpy()
    for top in range(0, p.shape[1], rows):
        block, out = values[:, top : top + rows], label[top : top + rows]
        best = block.max(0)
        missed = np.ones(best.shape, np.uint8)
        for value in block[:-1]:
            missed &= value != best
            out += missed
    return torch.from_numpy(label)
