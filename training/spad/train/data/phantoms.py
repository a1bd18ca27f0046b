"""Phantoms as cases: an annotated data set out of nothing, on disk or made while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad import phantom
from spad.cases import Case, NewCase
from spad.checkpoint import IGNORE

__all__ = [
    "ENDLESS_SEEDS",
    "VALIDATION_SEEDS",
    "PhantomCase",
    "endless",
    "phantom_case",
    "phantom_cases",
    "phantom_of",
    "phantom_table",
]

VALIDATION_SEEDS = 1_000_000
"""Offset of the validation seeds: far off, so that a validation set stays the same, and apart,
however many phantoms train."""
ENDLESS_SEEDS = 2**40
"""Seeds from here on are those of phantoms made during training; `phantom_cases` has those below.
Run seed s has 2**40 of them from ``(s + 1) 2**40`` on, more than the samples of the longest run."""


@dataclass(frozen=True, slots=True)
class PhantomCase(Case):
    """A case without files: a phantom with randomised looks, made whenever it is read.

    Parameters
    ----------
    seed : int
    shape : (rows, columns)
    disease : str
        As for `spad.phantom.bscan`.
    """

    seed: int
    shape: tuple[int, int]
    disease: phantom.Disease = "wet-amd"


def phantom_case(
    seed: int, shape: tuple[int, int], *, disease: phantom.Disease = "wet-amd"
) -> PhantomCase:
    """Give the case of a seed; its values are the indexes of `spad.phantom.CLASS_NAMES`."""
    name = f"phantom-{seed:07d}"
    return PhantomCase(name, name, name, name, None, None, Path("phantoms"), seed, shape, disease)


def endless(
    run: int, n: int, shape: tuple[int, int], *, disease: phantom.Disease = "wet-amd"
) -> PhantomCase:
    """Phantom n of a run's seed: no two runs, and no two n, have the same."""
    return phantom_case((run + 1) * ENDLESS_SEEDS + n, shape, disease=disease)


@lru_cache(maxsize=128)  # image and labels are asked for one after the other
def phantom_of(case: PhantomCase) -> phantom.Phantom:
    """Make the phantom of a case."""
    return phantom.bscan(case.seed, shape=case.shape, randomise=True, disease=case.disease)


def phantom_table(names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Match a phantom's structures with a model's classes by name.

    Parameters
    ----------
    names : sequence of str
        The model's classes, background first.

    Returns
    -------
    table : ndarray of uint8, shape (256,)
        Class of each value. A structure that the model does not have is background, as it is in the
        case folders of such a model.
    judged : ndarray of bool, shape (K,)
        False for classes that phantoms do not have.
    """
    table = np.full(256, IGNORE, np.uint8)
    for value, name in enumerate(phantom.CLASS_NAMES):
        table[value] = names.index(name) if value and name in names else 0
    judged = np.isin(np.arange(len(names)), table)
    return table, judged


def phantom_cases(
    train: int,
    val: int,
    *,
    size: tuple[int, int],
    seed: int = 0,
    randomise: bool = False,
    disease: phantom.Disease = "wet-amd",
    raters: int = 0,
) -> Iterator[NewCase]:
    """Make phantoms of a training and a validation split, each a patient of its own.

    Parameters
    ----------
    train, val : int
        Numbers of cases, 0 to 1,000,000.
    size : (rows, columns)
    seed : int, optional
        The first training phantom's; the others follow. Below 2**39: the trainer has those above.
    randomise, disease
        As for `spad.phantom.bscan`.
    raters : int, optional
        Instead of each phantom's truth its readings by so many people, each a case of the same
        image and patient; the trainer so meets all opinions, `spad tune` compares with them.

    Yields
    ------
    NewCase

    Raises
    ------
    ValueError
        Numbers out of range, or as `spad.phantom.bscan`; when the first is asked for.
    """
    if not (0 <= train <= VALIDATION_SEEDS and 0 <= val <= VALIDATION_SEEDS and train + val > 0):
        raise ValueError(
            f"{train} training and {val} validation phantoms asked for; give 0 to "
            f"{VALIDATION_SEEDS} of each, and at least one"
        )
    if seed >= ENDLESS_SEEDS // 2:
        raise ValueError(
            f"seed is {seed}; from {ENDLESS_SEEDS // 2} on they are kept for data.phantoms, give a "
            "smaller one"
        )
    for split, first, count in (("train", seed, train), ("val", seed + VALIDATION_SEEDS, val)):
        for one in range(first, first + count):
            made = phantom.bscan(
                one, shape=size, randomise=randomise, disease=disease, raters=raters
            )
            row, column = made.spacing_mm
            name = f"phantom-{one:07d}"
            maps = {f"{name}-r{r}": own for r, own in enumerate(made.raters, 1)}
            for case, labels in (maps or {name: made.labels}).items():
                yield NewCase(
                    case,
                    made.image,
                    labels,
                    split=split,
                    patient=name,
                    spacing_mm=(row, column),
                )
