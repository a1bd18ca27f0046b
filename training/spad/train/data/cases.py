"""Cases, checked and read: images, label maps in the model's classes, validation patients.

All faults of case folders (`spad.cases.case_folder` describes their format) are reported at once,
with file names, before any training.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import Case, CaseError, CaseFolder, open_folder
from spad.checkpoint import IGNORE
from spad.train.data import image_files
from spad.train.data.class_mapping import IGNORED, class_table, unknown_members
from spad.train.data.inspection import Facts, Inspector
from spad.train.data.phantoms import PhantomCase, phantom_of
from spad.train.data.png_cases import NewCase, write_folder
from spad.train.data.sample_order import generator

__all__ = [
    "IGNORED",
    "Case",
    "CaseError",
    "CaseFolder",
    "NewCase",
    "case_faults",
    "check",
    "class_table",
    "limit_cases",
    "open_folder",
    "read_image",
    "read_labels",
    "read_values",
    "split_validation",
    "spread",
    "write_folder",
]


def check(
    folders: Iterable[CaseFolder],
    mapping: Mapping[str, Sequence[int | str]] | None,
    splits: Iterable[str],
    *,
    inspector: Inspector | None = None,
    at_most: int | None = None,
) -> None:
    """Read every image and label map of some splits once and raise all faults together.

    Label maps are read whole; of an image the size and, in a PNG, the check sums.

    Parameters
    ----------
    folders : iterable of CaseFolder
    mapping : mapping, optional
        As for `class_table`; without one all folders must have the same ``labels.json``.
    splits : iterable of str
        The splits that each folder must have.
    inspector : Inspector, optional
        Who looks at the files, and may remember them.
    at_most : int, optional
        Look at so many cases of each split, evenly spread; None: at all.

    Raises
    ------
    CaseError
    ImportError
        Pillow or tifffile is missing.
    """
    folders, splits = list(folders), list(splits)
    inspector = inspector or Inspector()
    problems: list[str] = []
    if mapping is not None and (known := [f.names for f in folders if f.names]):
        problems += unknown_members(known, mapping)
    for folder in folders:
        problems += folder.problems
        if folder.names:
            try:
                class_table(folder.names, mapping)
            except CaseError as error:
                problems += [f"{folder.path / 'labels.json'}: {text}" for text in error.problems]
            if mapping is None and folder.names != (first := folders[0]).names and first.names:
                problems.append(
                    f"{folder.path / 'labels.json'}: differs from that of {first.path}; give a "
                    "mapping of their values to the model's classes"
                )
        present = np.zeros(256, bool)
        for split in splits:
            cases = folder.splits.get(split, ())
            if not cases:
                have = ", ".join(name for name, some in folder.splits.items() if some) or "none"
                problems.append(
                    f"{folder.path / 'split.json'}: split {split!r} has no images; the splits "
                    f"with images are: {have}"
                )
            for case in cases:
                if case.labels_name is None:
                    problems.append(
                        f"{case.folder / 'masks' / case.name}.png: is missing; add it, or remove "
                        f"{case.name!r} from split.json"
                    )
            for case in cases if at_most is None else spread(cases, at_most):
                problems += _check_case(case, folder.names, present, inspector)
        if present[IGNORE] and np.flatnonzero(present).tolist() in ([IGNORE], [0, IGNORE]):
            problems.append(
                f"{folder.path / 'masks'}: all pixels are 0 or {IGNORE}, and {IGNORE} means "
                "ignore; if it was meant as a structure, write its class value instead"
            )
    if problems:
        raise CaseError(problems)


def spread(cases: Sequence[Case], at_most: int) -> Sequence[Case]:
    """Give at most so many cases, evenly spread over all."""
    return cases[:: max(1, -(-len(cases) // at_most))]


def _check_case(
    case: Case, names: Mapping[int, str], present: NDArray[np.bool_], inspector: Inspector
) -> list[str]:
    """Faults of one case's files; the values of its label map are marked in `present`."""
    image, labels = inspector.image(case), inspector.labels(case)
    problems = [image.fault] if image.fault else []
    if labels is None or labels.fault:
        return [*problems, labels.fault] if labels else problems
    found = _values(labels)
    present[found] = True
    return problems + _misfits(case, image.shape, labels.shape, found, names)


def _values(facts: Facts) -> list[int]:
    return [value for value in range(256) if facts.values >> value & 1]


def _misfits(
    case: Case,
    image: tuple[int, ...],
    labels: tuple[int, ...],
    found: Sequence[int],
    names: Mapping[int, str],
) -> list[str]:
    """Whether image and label map are of one size, and the label map's values have names."""
    problems = []
    if image and labels != image:
        problems.append(
            f"{case.labels}: is {labels[0]} x {labels[1]} (rows x columns), but "
            f"{case.image_name} is {image[0]} x {image[1]}; export both at the same size"
        )
    unknown = [v for v in found if v not in names and v != IGNORE]
    if unknown and names:
        shown = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        problems.append(
            f"{case.labels}: has the values {shown}, which labels.json does not name; add them "
            f"there, or correct the pixels ({IGNORE} = ignore)"
        )
    return problems


def case_faults(
    case: Case, image: tuple[int, ...], labels: NDArray[np.uint8], names: Mapping[int, str]
) -> list[str]:
    """What `check` would say of a case that is read: its image's shape, its raw label map."""
    found = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
    return _misfits(case, image, labels.shape, found, names)


def read_image(case: Case) -> NDArray[Any]:
    """Read a case's image, or make it.

    Returns
    -------
    ndarray, shape (H, W)
        uint8, uint16 or float32, as in the file; colours become luminance.

    Raises
    ------
    ValueError, OSError, ImportError
        As `spad.train.data.image_files.read_file`.
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
        As `spad.train.data.image_files.read_label_file`.
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
    cases: Sequence[Case], seed: int, share: float = 0.2
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Draw validation patients from the training cases, and warn that it was done.

    Parameters
    ----------
    cases : sequence of Case
    seed : int
    share : float, optional
        Share of the patients (at least one) to draw.

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
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    order = np.random.default_rng(seed).permutation(len(patients))
    drawn = {patients[i] for i in order[:count]}
    chosen = [(str(case.folder), case.patient) in drawn for case in cases]
    train = tuple(case for case, out in zip(cases, chosen, strict=True) if not out)
    val = tuple(case for case, out in zip(cases, chosen, strict=True) if out)
    warnings.warn(
        f"no split 'val': {count} of {len(patients)} patients ({len(val)} of {len(cases)} images) "
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
