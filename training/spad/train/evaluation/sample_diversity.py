"""How much the samples of one image differ (docs/method.md, section 8)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.metrics import confusion_matrix

__all__ = ["diversity"]


def diversity(samples: NDArray[Any], classes: int) -> float:
    """Mean of 1 - Dice over pairs of samples and the structures that a pair shows (method, Eq. 27).

    Parameters
    ----------
    samples : ndarray of int, shape (N, H, W)
        Label maps of N chains.
    classes : int
        K, background included.

    Returns
    -------
    float
        0 where no pair differs, or no structure is seen.
    """
    parts: list[float] = []
    for one, two in itertools.combinations(samples, 2):
        m = confusion_matrix(one, two, classes)
        both, sizes = np.diag(m)[1:], m.sum(0)[1:] + m.sum(1)[1:]
        parts += list(1 - 2 * both[sizes > 0] / sizes[sizes > 0])
    return float(np.mean(parts)) if parts else 0.0
