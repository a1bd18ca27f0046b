"""Cases, read: images, label maps in the model's classes; and which of them validate or train."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import Case, CaseError
from spad.pictures import image_files
from spad.train.data.phantoms import PhantomCase, phantom_of
from spad.train.data.sample_order import generator

__all__ = ["limit_cases", "read_image", "read_labels", "read_values", "split_validation"]


def read_image(case: Case) -> NDArray[Any]:
    """Read a case's image, or make it.

    Returns
    -------
    ndarray, shape (H, W)
        uint8, uint16 or float32, as in the file; colours become luminance.

    Raises
    ------
    ValueError, OSError, ImportError
        As `spad.pictures.image_files.read_file`.
    """
    if isinstance(case, PhantomCase):
        return phantom_of(case).image
    return image_files.read_file(case.image)


def read_labels(case: Case, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Read a case's label map in the model's classes.

    Parameters
    ----------
    case : Case
    table : ndarray of uint8, shape (256,)
        From `class_table`.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        Class values; 255 = ignore.

    Raises
    ------
    CaseError
        The case has no label map.
    ValueError, OSError, ImportError
        As `spad.pictures.image_files.read_label_file`.
    """
    labels: NDArray[np.uint8] = table[read_values(case)]
    return labels


def read_values(case: Case) -> NDArray[np.uint8]:
    """Read a case's label map as it stands in the file; raises as `read_labels`."""
    if isinstance(case, PhantomCase):
        return phantom_of(case).labels
    if case.labels is None:
        raise CaseError([f"{case.folder / 'masks' / case.name}.png: is missing; add it"])
    return image_files.read_label_file(case.labels)


def split_validation(
    cases: Sequence[Case], seed: int, why: str = "no split 'val'"
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Draw a fifth of the patients of the training cases for validation, and warn that it was done.

    Parameters
    ----------
    cases : sequence of Case
    seed : int
    why : str, optional
        What the warning begins with.

    Returns
    -------
    train, val : tuple of Case
        Each in the order given; no patient is in both.

    Raises
    ------
    CaseError
        Fewer than two patients.
    """
    # Patients of different folders are different people, though their ids may be equal.
    patients = sorted({(str(case.folder), case.patient) for case in cases})
    if len(patients) < 2:
        raise CaseError(
            [
                f"{len(patients)} patient in split 'train': none can be set aside for validation; "
                "add cases of other patients, or a split 'val' to split.json"
            ]
        )
    count = min(max(1, round(0.2 * len(patients))), len(patients) - 1)
    order = np.random.default_rng(seed).permutation(len(patients))
    drawn = {patients[i] for i in order[:count]}
    chosen = [(str(case.folder), case.patient) in drawn for case in cases]
    train = tuple(case for case, out in zip(cases, chosen, strict=True) if not out)
    val = tuple(case for case, out in zip(cases, chosen, strict=True) if out)
    warnings.warn(
        f"{why}: {count} of {len(patients)} patients ({len(val)} of {len(cases)} images) "
        f"are set aside for validation (seed {seed})",
        stacklevel=2,
    )
    return train, val


def limit_cases(cases: Sequence[Case], limit: int, seed: int) -> tuple[Case, ...]:
    """Draw at most so many cases by patient, and say it.

    Patients come in an order that the seed alone decides; only the last one's images may be cut. So
    the cases of a small limit are among those of a larger one.

    Parameters
    ----------
    cases : sequence of Case
    limit : int
        1 or more.
    seed : int

    Returns
    -------
    tuple of Case
        In the order given.
    """
    if limit >= len(cases):
        warnings.warn(
            f"data.limit is {limit}, and there are only {len(cases)} training cases: all are used",
            stacklevel=2,
        )
        return tuple(cases)
    patients = sorted({(str(case.folder), case.patient) for case in cases})
    order = generator(seed, 0, "limit").permutation(len(patients))
    place = {patients[p]: rank for rank, p in enumerate(order)}
    ranked = sorted(
        range(len(cases)), key=lambda i: (place[str(cases[i].folder), cases[i].patient], i)
    )
    drawn = sorted(ranked[:limit])
    count = len({(cases[i].folder, cases[i].patient) for i in drawn})
    warnings.warn(
        f"data.limit: {limit} of {len(cases)} training cases, of {count} of {len(patients)} "
        f"patients (seed {seed})",
        stacklevel=2,
    )
    return tuple(cases[i] for i in drawn)
