"""Two readers, or a model and a reader, measured against each other (Bland and Altman, 1986)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Agreement", "limits_of_agreement"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two readers, in the unit of their numbers.

    Parameters
    ----------
    bias : float
        Mean of the differences, second less first.
    lower, upper : float
        Limits of agreement: bias less and plus 1.96 standard deviations of the differences.
    means, differences : array of float64, shape (N,)
        Of each pair: where it stands in the plot.
    """

    bias: float
    lower: float
    upper: float
    means: NDArray[np.float64]
    differences: NDArray[np.float64]


def limits_of_agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compare two readers' numbers of the same things.

    Parameters
    ----------
    first, second : sequence of float
        Paired; pairs in which one is NaN or None are left out.

    Raises
    ------
    ValueError
        The numbers are not paired, or fewer than two pairs are left.
    """
    one, other = (np.array(list(x), dtype=float) for x in (first, second))
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(
            f"{one.size} and {other.size} numbers; give one of each reader for every stack"
        )
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 2:
        raise ValueError(f"{len(one)} pairs of numbers; limits of agreement need at least 2")
    differences = other - one
    bias, spread = float(differences.mean()), 1.96 * float(differences.std(ddof=1))
    return Agreement(bias, bias - spread, bias + spread, (one + other) / 2, differences)
