"""Which case is drawn for a training sample, and the generator of its augmentation.

Both depend on (seed, n) alone, n being the sample's number since the start of the run: batch size,
workers, ranks and a resume change nothing. The diffusion's draws are keyed by
:mod:`spad.chain.draws` likewise.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["case_of", "generator"]


def generator(seed: int, n: int, purpose: str) -> np.random.Generator:
    """Generator for one purpose of sample n."""
    return np.random.default_rng([seed, n, zlib.crc32(purpose.encode())])


def case_of(
    seed: int, n: int, cases: int, *, balance: float = 0.0, holders: Sequence[NDArray[np.intp]] = ()
) -> int:
    """Case of sample n.

    Every ``cases`` samples each case comes once, in an order of its own; but a share ``balance`` of
    the samples is drawn for a structure, each structure as often as the others.

    Parameters
    ----------
    seed, n : int
    cases : int
        Their number.
    balance : float
    holders : sequence of arrays of int
        For each structure that occurs, the cases that show it.
    """
    if balance and holders:
        rng = generator(seed, n, "balance")
        if rng.random() < balance:
            return int(rng.choice(holders[int(rng.integers(len(holders)))]))
    return int(_order(seed, n // cases, cases)[n % cases])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, cases: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, epoch]).permutation(cases)
