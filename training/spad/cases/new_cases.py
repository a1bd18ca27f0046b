"""Cases into a case folder: phantoms, imported sets, and the B-scans that a person corrected.

Every file is replaced as a whole, ``labels.json`` comes first and ``split.json`` last: a killed
process leaves a folder that reads, at worst with images that are in no split yet. Nothing is lost:
the label map that another one replaces is kept beside it, ``NAME.png.1.bak``. Pixels are encoded by
the host, which has an image library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases.atomic_files import read_json, reserved_name, write_bytes, write_json
from spad.cases.case_folder import Case, CaseError, open_folder
from spad.cases.locks import alone
from spad.cases.spelling import composed, same_patient
from spad.checkpoint import IGNORE

__all__ = ["NewCase", "Written", "describe", "faults", "write_cases"]

EVERY = 5
"""Of the patients that nobody assigned, each fifth validates, as where the trainer draws them."""

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
        None: that of its patient; a new patient trains, but the second one and every fifth of a
        folder validate.
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
    split: str | None = "train"
    patient: str | None = None
    spacing_mm: tuple[float, float] | None = None
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Parameters
    ----------
    splits : mapping of str to str
        The split of each case, by its name, in the order in which they were written.
    kept : mapping of str to Path
        Where the older label map of a case is that was replaced; nothing where it was the same.
    patients : mapping of str to int
        How many patients each split of the folder has now.
    images : mapping of str to int
        How many images.
    """

    splits: Mapping[str, str]
    kept: Mapping[str, Path]
    patients: Mapping[str, int]
    images: Mapping[str, int]


def write_cases(
    path: str | os.PathLike[str],
    cases: Iterable[NewCase],
    names: Mapping[int, str],
    *,
    encode: Callable[[NDArray[Any]], bytes],
    replace: bool = False,
) -> Written:
    """Write cases into a new case folder, or add them to one that exists.

    Parameters
    ----------
    path : path
    cases : iterable of NewCase
        Taken one by one, so that a generator needs the memory of one case only.
    names : mapping of int to str
        Value -> name; must equal the ``labels.json`` of a folder that exists.
    encode : callable
        (H, W) uint8 or uint16 -> the bytes of a PNG file.
    replace : bool, optional
        Replace cases that exist (in the same split) instead of refusing them.

    Returns
    -------
    Written

    Raises
    ------
    CaseError
        A faulty or differing folder, or a case that does not fit: name, shape, dtype, values, or a
        patient of another split. The cases before it stay written, and the folder is whole.
    OSError
        The folder cannot be written, the disk is full, or another program is at it all the time.
    """
    path = Path(path)
    if made := not path.exists():
        path.mkdir(parents=True, exist_ok=True)
    try:
        # Two windows may add to one folder: what the other one wrote is read first.
        with alone(path / "split.json"):
            return _write_all(path, cases, names, encode, replace)
    finally:
        if made:
            with suppress(OSError):  # there is something in it
                path.rmdir()


def _write_all(
    path: Path,
    cases: Iterable[NewCase],
    names: Mapping[int, str],
    encode: Callable[[NDArray[Any]], bytes],
    replace: bool,
) -> Written:
    splits, details, patients = _open(path, names)
    written: dict[str, str] = {}
    kept: dict[str, Path] = {}
    places = {name: split for split, members in splits.items() for name in members["images"]}
    alike = {_file_system(name): name for name in places}
    try:
        for case in cases:
            split = _split_of(case, splits, patients)
            _refuse(path, case, names, split, (places, alike, patients), replace)
            if not written:
                for part in ("images", "masks"):
                    (path / part).mkdir(parents=True, exist_ok=True)
                write_json(path / "labels.json", {str(v): name for v, name in names.items()})
            if (old := _write_case(path, case, encode)) is not None:
                kept[case.name] = old
            members = splits.setdefault(split, {"patients": [], "images": []})
            if case.name not in places:
                members["images"].append(case.name)
                places[case.name], alike[_file_system(case.name)] = split, case.name
            if case.patient is not None:
                _append(members.setdefault("patients", []), case.patient)
            patients[_whose(case)] = split
            detail = {
                "patient": case.patient,
                "spacing_mm": case.spacing_mm and [float(s) for s in case.spacing_mm],
                "annotated": None if case.annotated is None else list(case.annotated),
            }
            details[case.name] = {key: value for key, value in detail.items() if value is not None}
            written[case.name] = split
    finally:  # what was written before a fault or Ctrl-C counts
        if written:
            write_json(path / "cases.json", details)
            write_json(path / "split.json", splits)
    count = {split: sum(s == split for s in patients.values()) for split in splits}
    return Written(written, kept, count, {s: len(m["images"]) for s, m in splits.items()})


def describe(written: Written, notes: Sequence[str] = ()) -> str:
    """Say what was written, and what the folder holds now.

    Parameters
    ----------
    written : Written
        At least one case.
    notes : sequence of str
        What was done to the pixels, from `spad.cases.corrected_bscan.as_grey`.
    """
    splits, kept = written.splits, written.kept
    lines = []
    val = sum(split == "val" for split in splits.values())
    added = f"Added {len(splits)}"
    if val:
        added += f" ({val} to validate)" if val < len(splits) else " (to validate)"
    lines.append(added + ".")
    if kept:
        lines.append(
            f"{len(kept)} had been there: replaced, the older label map is kept in masks/ as .bak."
        )
    lines += [f"{note[:1].upper()}{note[1:]}." for note in notes]
    held = [
        f"{_count(written.images[s], 'B-scan')} of {_count(written.patients[s], 'patient')} {verb}"
        for s, verb in (("train", "train"), ("val", "validate"))
        if written.images.get(s)
    ]
    lines.append("The set: " + ", ".join(held) + ".")
    if sum(written.patients.values()) < 2:
        lines.append("Add a second patient, so that a model can be judged on B-scans it never saw.")
    return " ".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def faults(case: NewCase, names: Mapping[int, str]) -> list[str]:
    """Say what is wrong with a case by itself: its name, shape, dtype, values; [] if nothing is."""
    problems = []
    if not _NAME.fullmatch(case.name):
        problems.append(
            "the name must be 1 to 100 letters, digits or _-.()+ and spaces, without path; rename"
        )
    elif reserved_name(case.name):
        problems.append("Windows takes this name for a device, not a file; rename")
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
                f"the label map has the values {sorted(values)}, which have no name; name them in "
                "labels.json"
            )
    return problems


def _open(
    path: Path, names: Mapping[int, str]
) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, Any]], dict[str, str]]:
    """Read what a folder has of ``split.json``, ``cases.json``, and the split of each patient."""
    if not ((path / "split.json").exists() or (path / "labels.json").exists()):
        if path.exists() and (not path.is_dir() or any(map(_foreign, path.iterdir()))):
            raise CaseError(
                [
                    f"{path}: is no case folder (it has no labels.json), and not empty; choose an "
                    "empty folder, or one that holds a training set"
                ]
            )
        return {}, {}, {}
    folder = open_folder(path)
    if folder.problems:
        raise CaseError(folder.problems)
    if dict(folder.names) != {value: composed(name) for value, name in names.items()}:
        raise CaseError(
            [
                f"{path / 'labels.json'}: has {_listed(folder.names)}, but the new cases have "
                f"{_listed(names)}; use another folder or the same classes"
            ]
        )
    splits = {s: {"patients": [], "images": [c.name for c in x]} for s, x in folder.splits.items()}
    if (path / "split.json").exists():
        splits = read_json(path / "split.json")
    details = read_json(path / "cases.json") if (path / "cases.json").exists() else {}
    patients = {_whose(case): split for split in splits for case in folder.splits[split]}
    return splits, details, patients


def _whose(case: Case | NewCase) -> str:
    return same_patient(case.patient or case.name)


def _foreign(entry: Path) -> bool:
    """Whether it is not what a write leaves behind that was killed at once."""
    begun = entry.name in ("images", "masks") and entry.is_dir() and not any(entry.iterdir())
    return not (begun or entry.name.startswith("."))


def _listed(names: Mapping[int, str]) -> str:
    return ", ".join(f"{value} {name}" for value, name in names.items())


def _append(items: list[str], item: str) -> None:
    if item not in items:
        items.append(item)


def _split_of(
    case: NewCase, splits: Mapping[str, Mapping[str, list[str]]], patients: Mapping[str, str]
) -> str:
    """Return the split that was asked for, else the patient's, else one for a new patient."""
    if case.split is not None:
        return case.split
    for split, members in splits.items():
        if case.name in members["images"]:
            return split
    if (known := patients.get(_whose(case))) is not None:
        return known
    total = len(patients) + 1
    return "val" if total > 1 and ("val" not in splits or total % EVERY == 0) else "train"


def _refuse(
    path: Path,
    case: NewCase,
    names: Mapping[int, str],
    split: str,
    known: tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]],
    replace: bool,
) -> None:
    """Raise all reasons why a case cannot be written.

    What is known: the split of each case, the case of each name as file systems take it, and the
    split of each patient.
    """
    places, alike, patients = known
    problems = faults(case, names)
    where = places.get(case.name)
    if (twin := alike.get(_file_system(case.name), case.name)) != case.name:
        problems.append(
            f"{twin!r} is there, and Windows and macOS take both for one file; rename it"
        )
    taken = where is not None or any(_files(path / part, case.name) for part in ("images", "masks"))
    if taken and not replace:
        problems.append("a case of this name exists; rename it, or ask to replace it")
    other = where or patients.get(_whose(case), split)
    if other != split:
        problems.append(
            f"its patient is in split {other!r}; write it to that split instead of {split!r}, "
            "else the scores are too good"
        )
    if problems:
        raise CaseError([f"{path}: case {case.name!r}: {problem}" for problem in problems])


def _file_system(name: str) -> str:
    """What all names have in common that some file systems take for one."""
    return composed(name).lower()


def _files(folder: Path, name: str) -> list[Path]:
    return [file for end in (".png", ".tif", ".tiff") if (file := folder / (name + end)).exists()]


def _write_case(path: Path, case: NewCase, encode: Callable[[NDArray[Any]], bytes]) -> Path | None:
    """Write both files; return where the older label map is kept that was another one."""
    kept = None
    for part, array in (("masks", case.labels), ("images", case.image)):
        target, data = path / part / f"{case.name}.png", encode(array)
        for old in _files(path / part, case.name):
            if part == "masks" and old.read_bytes() != data:
                kept = _set_aside(old)
        write_bytes(target, data)
        for old in _files(path / part, case.name):  # the TIFF of a case that is replaced
            if old != target:
                old.unlink()
    return kept


def _set_aside(file: Path) -> Path:
    """Copy a file to the first free ``FILE.N.bak``, which no reader takes for a label map."""
    number = 1
    while (kept := file.with_name(f"{file.name}.{number}.bak")).exists():
        number += 1
    write_bytes(kept, file.read_bytes())
    return kept
