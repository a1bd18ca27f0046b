"""Chains of a slice, as they come in, to its label maps and their mean on the image's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import areas
from spad.checkpoint import SamplingConfig
from spad.inference.letterbox import Frame

__all__ = ["Ensemble", "Outcome"]

_BLOCK = 2**18  # numbers
_LARGE = 2**26  # numbers: 256 MB for the probabilities of one chain on the image's grid


class Outcome(NamedTuple):
    """Of the n chains of one slice, on the image's own grid.

    ``labels``: decided by the chains' mean, uint8 (H, W). ``samples``: each chain's own most
    probable classes, uint8 (n, H, W). ``uncertainty``: entropy of the mean divided by log K,
    float32 (H, W) in 0..1. ``mean``: of the chains' probabilities, K planes of float32 (H, W), for
    one pass over them.
    """

    labels: NDArray[np.uint8]
    samples: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    mean: Iterable[NDArray[np.float32]]


class Ensemble:
    """Collects the chains of one slice. Nothing leaves the device before :meth:`result`.

    Where the probabilities are large on the image's grid, they are brought onto it class by class,
    more than once: in time for memory.

    Parameters
    ----------
    frame : Frame
    chains : int
        How many will come.
    rule : SamplingConfig
        How the label map is decided.
    """

    def __init__(self, frame: Frame, chains: int, rule: SamplingConfig) -> None:
        self._frame, self._n, self._rule = frame, chains, rule
        self._drawn: Tensor | None = None  # of the first `_count` chains
        self._count = 0
        self._sum: Tensor | None = None  # of what all tell, on the network's grid

    def add(self, chains: Tensor, told: Tensor) -> None:
        """Take ``p(x_0)`` of m chains on the network's grid, (m, K, h, w), and what they tell."""
        for one in chains:  # singly: on the image's grid they may be large
            label = most_probable(self._on_image(one))
            if self._drawn is None:
                self._drawn = label.new_empty((self._n, *label.shape))
            self._drawn[self._count] = label
            self._count += 1
        self._sum = told.clone() if self._sum is None else self._sum.add_(told)

    def _on_image(self, p: Tensor) -> Tensor | Iterator[Tensor]:
        """Probabilities (K, h, w) on the image's grid; where that is large, plane by plane."""
        height, width = self._frame.shape
        if len(p) * height * width <= _LARGE:
            return self._frame.restore(p[None])[0]
        return (self._frame.restore(plane[None, None])[0, 0] for plane in p)

    def result(self) -> Outcome:
        """The outcome of the chains added."""
        if self._sum is None or self._drawn is None:
            raise ValueError("no chain has been added; add one first")
        mean = self._sum / self._count
        whole = self._on_image(mean)

        def planes() -> Iterable[Tensor]:
            return whole if isinstance(whole, Tensor) else self._on_image(mean)

        labels = decided(whole, self._rule).cpu().numpy()
        areas.drop_doubtful(labels, _on_host(planes()), self._rule.peak)
        # Entropy over log K (method, Eq. 29).
        total = mean.new_zeros(self._frame.shape)
        for plane in planes():
            total += _p_log_p(plane)
        uncertainty = total.div_(-float(np.log(len(mean)))).clamp_(0, 1).cpu().numpy()
        samples = self._drawn[: self._count].cpu().numpy()
        return Outcome(labels, samples, uncertainty, _on_host(planes()))


def _on_host(planes: Iterable[Tensor]) -> Iterator[NDArray[np.float32]]:
    """Each plane as it is asked for: most runs ask for none, and a GPU's would all be copied."""
    return (plane.cpu().numpy() for plane in planes)


def _p_log_p(p: Tensor) -> Tensor:
    # log(0) * 0 would be NaN; xlogy knows that, at ten times the cost.
    return p.clamp_min(torch.finfo(p.dtype).tiny).log_().mul_(p)


def _first_largest(planes: Iterable[Tensor]) -> Tensor:
    """As `most_probable`, of planes (H, W) that come one by one."""
    planes = iter(planes)
    best = next(planes).clone()
    label = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for k, plane in enumerate(planes, start=1):
        label.masked_fill_(plane > best, k)
        torch.maximum(best, plane, out=best)
    return label


def decided(planes: Tensor | Iterable[Tensor], rule: SamplingConfig) -> Tensor:
    """Label map by the odds of a model's card, uint8 (H, W) (method, Eq. 37).

    Parameters
    ----------
    planes : Tensor of float32, shape (K, H, W), or its K planes one by one
        Mean of the chains' probabilities, background first.
    rule : SamplingConfig
        Its ``odds``; without them the most probable class is drawn.
    """
    if rule.odds is not None:
        return _first_largest(p if k else p / rule.odds for k, p in enumerate(planes))
    return most_probable(planes)


def most_probable(p: Tensor | Iterable[Tensor]) -> Tensor:
    """Class of the largest of K probabilities (H, W), the first of equals, uint8 (H, W)."""
    if not isinstance(p, Tensor):
        return _first_largest(p)
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
