"""Writing case folders: phantoms, and cases that a person adds to a training set.

Every file is replaced as a whole, and ``split.json`` comes last: a killed process leaves no half
file, at worst images that are in no split yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.labels import IGNORE
from spad.train import files
from spad.train.case_folder import CaseError, open_folder

__all__ = ["NewCase", "faults", "write_folder"]

_NAME = re.compile(r"\w(?:[\w .()+-]{0,98}[\w)+-])?")  # good on every file system, inside a folder


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case to be written.

    Parameters
    ----------
    name : str
        File name without extension: letters, digits and ``_-.()+`` or spaces.
    image : ndarray of uint8 or uint16, shape (H, W)
    labels : ndarray of uint8, shape (H, W)
        Values of ``labels.json``; 255 = ignore.
    split : str, optional
    patient : str, optional
        None: the case is a patient of its own.
    spacing_mm : tuple of float, optional
        Row and column.
    annotated : tuple of str, optional
        Names of the structures that were looked for; None: all.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.uint8]
    split: str = "train"
    patient: str | None = None
    spacing_mm: tuple[float, float] | None = None
    annotated: tuple[str, ...] | None = None


def write_folder(
    path: str | os.PathLike[str],
    cases: Iterable[NewCase],
    names: Mapping[int, str],
    *,
    replace: bool = False,
) -> int:
    """Write cases into a new case folder, or add them to one that exists.

    Parameters
    ----------
    path : path
    cases : iterable of NewCase
        Taken one by one, so that a generator needs the memory of one case only.
    names : mapping of int to str
        Value -> name; must equal the ``labels.json`` of a folder that exists.
    replace : bool, optional
        Replace cases that exist (in the same split) instead of refusing them.

    Returns
    -------
    int
        The number of cases written.

    Raises
    ------
    CaseError
        A faulty or differing folder, or a case that does not fit: name, shape, dtype, values, or a
        patient of another split. The cases before it stay written, and the folder is whole.
    """
    path = Path(path)
    splits: dict[str, dict[str, list[str]]] = {}
    details: dict[str, dict[str, Any]] = {}
    patients: dict[str, str] = {}  # patient -> split
    if (path / "split.json").exists() or (path / "labels.json").exists():
        folder = open_folder(path)
        if folder.problems:
            raise CaseError(folder.problems)
        if dict(folder.names) != dict(names):
            raise CaseError(
                [
                    f"{path / 'labels.json'}: has {dict(folder.names)}, but the new cases have "
                    f"{dict(names)}; use another folder or the same classes"
                ]
            )
        if (path / "split.json").exists():
            splits = files.read_json(path / "split.json")
        if (path / "cases.json").exists():
            details = files.read_json(path / "cases.json")
        patients = {case.patient: split for split in splits for case in folder.splits[split]}
    count = 0
    try:
        for case in cases:
            _refuse(path, case, names, splits, patients, replace)
            _write_case(path, case)
            members = splits.setdefault(case.split, {"patients": [], "images": []})
            _append(members["images"], case.name)
            if case.patient is not None:
                _append(members.setdefault("patients", []), case.patient)
            patients[case.patient or case.name] = case.split
            detail = {
                "patient": case.patient,
                "spacing_mm": case.spacing_mm and [float(s) for s in case.spacing_mm],
                "annotated": None if case.annotated is None else list(case.annotated),
            }
            details[case.name] = {key: value for key, value in detail.items() if value is not None}
            count += 1
    finally:  # what was written before a fault or Ctrl-C counts
        if count:
            files.write_json(path / "labels.json", {str(v): name for v, name in names.items()})
            files.write_json(path / "cases.json", details)
            files.write_json(path / "split.json", splits)
    return count


def faults(case: NewCase, names: Mapping[int, str]) -> list[str]:
    """Say what is wrong with a case by itself: its name, shape, dtype, values; [] if nothing is."""
    problems = []
    if not _NAME.fullmatch(case.name):
        problems.append(
            "the name must be 1 to 100 letters, digits or _-.()+ and spaces, without path; rename"
        )
    if case.image.ndim != 2 or case.image.dtype not in (np.uint8, np.uint16):
        problems.append(
            f"the image is {case.image.shape} {case.image.dtype}, not (H, W) uint8 or uint16; "
            "take one slice and scale it to such integers"
        )
    if case.labels.shape != case.image.shape or case.labels.dtype != np.uint8:
        problems.append(
            f"the label map is {case.labels.shape} {case.labels.dtype}, not "
            f"{case.image.shape} uint8 as the image demands"
        )
    else:
        values = set(np.unique(case.labels).tolist()) - {IGNORE, *names}
        if values:
            problems.append(
                f"the label map has the values {sorted(values)}, which have no name; name them"
            )
    return problems


def _append(items: list[str], item: str) -> None:
    if item not in items:
        items.append(item)


def _refuse(
    path: Path,
    case: NewCase,
    names: Mapping[int, str],
    splits: Mapping[str, Mapping[str, list[str]]],
    patients: Mapping[str, str],
    replace: bool,
) -> None:
    """Raise all reasons why a case cannot be written."""
    problems = faults(case, names)
    where = [split for split, members in splits.items() if case.name in members["images"]]
    taken = bool(where) or any(_files(path / part, case.name) for part in ("images", "masks"))
    if taken and not replace:
        problems.append("a case of this name exists; rename it, or ask to replace it")
    other = (where or [patients.get(case.patient or case.name, case.split)])[0]
    if other != case.split:
        problems.append(
            f"its patient is in split {other!r}; write it to that split instead of {case.split!r}, "
            "else the scores are too good"
        )
    if problems:
        raise CaseError([f"{path}: case {case.name!r}: {problem}" for problem in problems])


def _files(folder: Path, name: str) -> list[Path]:
    return [file for end in (".png", ".tif", ".tiff") if (file := folder / (name + end)).exists()]


def _write_case(path: Path, case: NewCase) -> None:
    for part, array in (("masks", case.labels), ("images", case.image)):
        target = path / part / f"{case.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(target, files.png_bytes(array))
        for old in _files(path / part, case.name):  # the TIFF of a case that is replaced
            if old != target:
                old.unlink()
