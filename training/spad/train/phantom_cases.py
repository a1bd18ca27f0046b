"""Phantoms as cases: an annotated data set out of nothing, for `spad phantom` and for tests."""

from __future__ import annotations

from collections.abc import Iterator

from spad import phantom
from spad.train.case_writer import NewCase

__all__ = ["VALIDATION_SEEDS", "phantom_cases"]

VALIDATION_SEEDS = 1_000_000
"""Offset of the validation seeds: far off, so that a validation set stays the same, and apart,
however many phantoms train."""


def phantom_cases(
    train: int, val: int, *, size: tuple[int, int], seed: int = 0, randomise: bool = False
) -> Iterator[NewCase]:
    """Make phantoms of a training and a validation split, each a patient of its own.

    Parameters
    ----------
    train, val : int
        Numbers of cases, 0 to 1,000,000.
    size : (rows, columns)
    seed : int, optional
        The first training phantom's; the others follow.
    randomise : bool, optional
        As for `spad.phantom.bscan`.

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
    for split, first, count in (("train", seed, train), ("val", seed + VALIDATION_SEEDS, val)):
        for one in range(first, first + count):
            made = phantom.bscan(one, shape=size, randomise=randomise)
            row, column = made.spacing_mm
            name = f"phantom-{one:07d}"
            yield NewCase(
                name,
                made.image,
                made.labels,
                split=split,
                patient=name,
                spacing_mm=(row, column),
            )
