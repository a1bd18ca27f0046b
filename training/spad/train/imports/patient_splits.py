"""Random splits by patient, so that no patient is on both sides of a score."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["SHARES", "draw", "natural"]

SHARES = {"train": 0.8, "val": 0.2}
"""Of the patients, where a data set has no lists of its own; docs/method.md, section 7."""


def natural(text: str) -> tuple[list[tuple[bool, int | str]], str]:
    """Give the key that sorts "rib 2" before "rib 10", and "rib 02" before "rib 2"."""
    parts = re.split(r"([0-9]+)", text)
    return [(i % 2 == 0, int(part) if i % 2 else part) for i, part in enumerate(parts)], text


def draw(patients: Iterable[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Draw the split of each patient.

    Parameters
    ----------
    patients : iterable of str
        In any order, repeated or not: the same patients get the same splits.
    shares : mapping of str to float
        Split -> share of the patients; they sum to 1. Each split gets at least one patient as long
        as another can spare one.
    seed : int

    Returns
    -------
    dict of str to str
        Patient -> split.
    """
    every = sorted(set(patients), key=natural)
    ends = np.rint(np.cumsum([*shares.values()]) * len(every)).astype(int)
    counts = np.diff(ends, prepend=0)
    while counts.min() == 0 and counts.max() > 1:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    splits = np.repeat([*shares], counts).tolist()
    order = np.random.default_rng(seed).permutation(len(every))
    return {every[i]: split for i, split in zip(order, splits, strict=True)}
