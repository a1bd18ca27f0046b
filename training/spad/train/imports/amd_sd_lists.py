"""The official lists of AMD-SD, ``training.txt`` and ``validation.txt``, read tolerantly.

A line is a path, a file name, a name without extension or a patient; what follows a comma or blank
is ignored where the whole line is nothing known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from spad.cases import CaseError, file_error
from spad.pictures import SUFFIXES
from spad.train.imports.patient_splits import natural
from spad.train.imports.report import Report, listed

__all__ = ["assign", "find_lists"]

_LISTS = {"train": "training.txt", "val": "validation.txt"}


def find_lists(folders: Iterable[Path]) -> dict[str, Path]:
    """Find the lists, in the first folder that has them: split -> file."""
    found: dict[str, Path] = {}
    for folder in folders:
        for split, name in _LISTS.items():
            if (folder / name).is_file():
                found.setdefault(split, folder / name)
    return found


def assign(
    patients: Mapping[Path, str], lists: Mapping[str, Path], report: Report
) -> dict[Path, str]:
    """Give each listed file its split; a patient who stands in both lists trains.

    Parameters
    ----------
    patients : mapping of Path to str
        Image file -> patient.
    lists : mapping of str to Path
        Split -> list, of ``train`` and ``val``.
    report : Report
        Told of leaks, of listed names without a file and of files that no list names.

    Returns
    -------
    dict of Path to str
        File -> split, without the files that no list names.

    Raises
    ------
    CaseError
        An unreadable list, or a split that is left without images.
    """
    members = _members(patients, lists, report)
    people = {split: {patients[file] for file in found} for split, found in members.items()}
    splits = {file: split for split, found in members.items() for file in found}
    if leaks := people["train"] & people["val"]:
        moved = [file for file in members["val"] if patients[file] in leaks]
        splits |= dict.fromkeys(moved, "train")
        report.warnings.append(
            f"{len(leaks)} patients stand in both lists, which would make the scores too good: "
            f"{listed(sorted(leaks, key=natural), 40)}; all their images now train, "
            f"{len(moved)} of them against {lists['val'].name}"
        )
    for split, path in lists.items():
        if split not in splits.values():
            raise CaseError(
                [
                    f"{path}: leaves no image for split {split!r} ({len(members[split])} files are "
                    f"listed, {len(leaks)} patients stand in both lists); use --split random"
                ]
            )
    report.said.append(f"split by {' and '.join(path.name for path in lists.values())}")
    if idle := [file for file in patients if file not in splits]:
        report.warnings.append(
            f"{len(idle)} files are in no list and left out: {listed(f.name for f in idle)}"
        )
    return {file: splits[file] for file in patients if file in splits}


def _members(
    patients: Mapping[Path, str], lists: Mapping[str, Path], report: Report
) -> dict[str, set[Path]]:
    """Files that each list names."""
    keys = _keys(patients)
    members: dict[str, set[Path]] = {}
    problems = []
    for split, path in lists.items():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(
                f"{path}: cannot be read as text ({file_error(error)}); save it as UTF-8"
            )
            continue
        members[split] = set()
        unknown = []
        for line in filter(None, map(str.strip, lines)):
            if found := _find(line, keys):
                members[split] |= found
            else:
                unknown.append(line)
        if unknown:
            report.warnings.append(
                f"{path.name} names {len(unknown)} that no file has: {listed(unknown)}"
            )
    if problems:
        raise CaseError(problems)
    return members


def _keys(patients: Mapping[Path, str]) -> dict[str, set[Path]]:
    """Give the files that each way to name them means; a name of several files means none."""
    names: dict[str, set[Path]] = {}
    whose: dict[str, set[Path]] = {}
    for file, patient in patients.items():
        for name in (file.stem, f"{file.parent.name}/{file.stem}"):
            names.setdefault(name.lower(), set()).add(file)
        whose.setdefault(patient.lower(), set()).add(file)
    return whose | {name: found for name, found in names.items() if len(found) == 1}


def _find(line: str, keys: Mapping[str, set[Path]]) -> set[Path]:
    """Files that a line means, none if it is unknown."""
    for text in (line, re.split(r"[\s,;]", line)[0]):
        parts = text.strip("\"'").replace("\\", "/").lower().strip("/").split("/")
        for suffix in SUFFIXES:
            parts[-1] = parts[-1].removesuffix(suffix)
        for key in ("/".join(parts[-2:]), parts[-1]):
            if key in keys:
                return keys[key]
    return set()
