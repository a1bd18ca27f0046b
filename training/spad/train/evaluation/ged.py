"""How well an ensemble spreads as several annotators do: the generalised energy distance.

Kohl et al., A Probabilistic U-Net, NeurIPS 2018, equation 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE
from spad.metrics import confusion_matrix

__all__ = ["energy_distance", "label_distance"]


def label_distance(matrix: NDArray[Any], looked: NDArray[np.bool_] | None = None) -> float:
    """d: mean over the structures of 1 - IoU, from a confusion matrix (K, K) of two label maps.

    A structure that neither map shows counts as agreement, distance 0, as in Kohl et al.; one that
    a single map shows has distance 1. Background is no structure, nor is what nobody looked for
    (``looked``, bool (K - 1,); None: all were).
    """
    both = np.diag(matrix)[1:]
    union = matrix.sum(0)[1:] + matrix.sum(1)[1:] - both
    apart = np.where(union > 0, 1 - both / np.maximum(union, 1), 0)
    if looked is not None:
        apart = apart[looked]
    return float(np.mean(apart)) if apart.size else 0.0


def energy_distance(
    samples: NDArray[Any],
    raters: NDArray[np.uint8],
    classes: int,
    *,
    judged: NDArray[np.bool_] | None = None,
) -> float:
    """``2 E d(S, Y) - E d(S, S') - E d(Y, Y')`` with d of :func:`label_distance`, squared GED.

    S, S' are drawn from the samples, Y, Y' from the annotations, independently: a map may meet
    itself, as in Kohl et al. So n equal samples spread by 0 and few samples by less than many, and
    rows of one number of samples alone compare.

    Parameters
    ----------
    samples : ndarray of int, shape (N, H, W)
        Label maps of N chains.
    raters : ndarray of uint8, shape (R, H, W)
        Annotations of the same image; pixels that one of them ignores (255) are left out of all.
    classes : int
        K, background included.
    judged : ndarray of bool, shape (K,), optional
        Which classes all raters looked for; what the samples show of others is no distance.

    Returns
    -------
    float
        0 where the samples are the annotations, each as often.
    """
    known = (raters != IGNORE).all(0)
    looked = None if judged is None else judged[1:]
    maps = [samples[:, known], raters[:, known]]

    def distance(one: NDArray[Any], two: NDArray[Any]) -> float:
        return label_distance(confusion_matrix(one, two, classes), looked)

    def own(maps: NDArray[Any]) -> float:
        """Mean distance of all ordered pairs, each map with itself (0) among them."""
        apart = [distance(maps[i], maps[j]) for i in range(len(maps)) for j in range(i)]
        return 2 * sum(apart) / len(maps) ** 2

    between = float(np.mean([distance(a, b) for a in maps[0] for b in maps[1]]))
    # method, Eq. 28
    return 2 * between - own(maps[0]) - own(maps[1])
