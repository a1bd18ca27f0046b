"""Checking cases: all faults of case folders at once, with file names, before any training.

`spad.cases.case_folder` describes the format of a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spad.cases import Case, CaseError, CaseFolder
from spad.checkpoint import IGNORE
from spad.train.data.class_mapping import class_table, unknown_members
from spad.train.data.inspection import Facts, Inspector

__all__ = ["case_faults", "check"]


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
            problems += _misnamed(folder, folders[0], mapping)
        present = np.zeros(256, bool)
        for split in splits:
            cases = folder.splits.get(split, ())
            problems += _incomplete(folder, split, cases)
            for case in cases if at_most is None else _spread(cases, at_most):
                problems += _check_case(case, folder.names, present, inspector)
        if present[IGNORE] and np.flatnonzero(present).tolist() in ([IGNORE], [0, IGNORE]):
            problems.append(
                f"{folder.path / 'masks'}: all pixels are 0 or {IGNORE}, and {IGNORE} means "
                "ignore; if it was meant as a structure, write its class value instead"
            )
    if problems:
        raise CaseError(problems)


def _misnamed(
    folder: CaseFolder, first: CaseFolder, mapping: Mapping[str, Sequence[int | str]] | None
) -> list[str]:
    """Whether a folder's names can be mapped, or are those of the first."""
    problems = []
    file = folder.path / "labels.json"
    try:
        class_table(folder.names, mapping)
    except CaseError as error:
        problems += [f"{file}: {text}" for text in error.problems]
    if mapping is None and first.names and folder.names != first.names:
        problems.append(
            f"{file}: differs from that of {first.path}; give a mapping of their values to the "
            "model's classes"
        )
    return problems


def _incomplete(folder: CaseFolder, split: str, cases: Sequence[Case]) -> list[str]:
    """Whether a split has images, and these label maps."""
    problems = []
    if not cases:
        have = ", ".join(name for name, some in folder.splits.items() if some) or "none"
        problems.append(
            f"{folder.path / 'split.json'}: split {split!r} has no images; the splits with images "
            f"are: {have}"
        )
    return problems + [
        f"{case.folder / 'masks' / case.name}.png: is missing; add it, or remove {case.name!r} "
        "from split.json"
        for case in cases
        if case.labels_name is None
    ]


def _spread(cases: Sequence[Case], at_most: int) -> Sequence[Case]:
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
