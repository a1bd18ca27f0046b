"""Whose images a case folder holds: by ``cases.json``, else by the ids within the images' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from spad.cases.spelling import same_patient

__all__ = ["patients_of"]

_TOKEN_START, _TOKEN_END = re.compile(r"(?<![0-9A-Za-z])"), re.compile(r"(?![0-9A-Za-z])")


def patients_of(
    path: Path,
    images: Iterable[str],
    details: Mapping[str, Mapping[str, Any]],
    declared: Iterable[str],
    said: list[str],
) -> dict[str, str]:
    """Find each image's patient: by ``cases.json``, else an id within its name, else the name.

    Ids of all splits are looked for, so that an image in the wrong split is found out. The leftmost
    wins, as index numbers come last ("1_12" is image 12 of patient 1), then the longest.
    """
    ids = set(filter(None, declared))
    patients: dict[str, str] = {}
    named, alone, unsure = [], [], []
    for name in images:
        found = _ids_within(name, ids) if ids else []
        if "patient" in details.get(name, {}):
            patients[name] = details[name]["patient"]
        elif found:
            patients[name] = found[0]
            named.append(name)
            unsure += [name] if len(set(found)) > 1 else []
        else:
            patients[name] = name
            alone.append(name)
    _merge_spellings(path, patients, said)
    if named:
        said.append(
            f"{path}: the patient of {len(named)} images is taken from their names, such as "
            f"{patients[named[0]]!r} from {named[0]!r}"
        )
    if unsure:
        said.append(
            f"{path}: {len(unsure)} names hold the ids of two patients, such as {unsure[0]!r}; the "
            f"first counts ({patients[unsure[0]]!r}). To be sure, write cases.json"
        )
    if alone:
        said.append(
            f"{path}: no patient is known for {len(alone)} images, such as {alone[0]!r}; each "
            "counts as a patient of its own. If that is wrong, write cases.json"
        )
    return patients


def _merge_spellings(path: Path, patients: dict[str, str], said: list[str]) -> None:
    """Give a patient whose id is spelled in several ways one: "P1" and "p1 " are one person."""
    first: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, patient in patients.items():
        if (known := first.setdefault(same_patient(patient), patient)) != patient:
            patients[name] = others[patient] = known
    if others:
        other, known = next(iter(others.items()))
        said.append(
            f"{path}: {len(others)} patients are spelled in two ways, such as {other!r}, which is "
            f"taken for {known!r}; if they are two people, give them ids that differ in more"
        )


def _ids_within(name: str, ids: Set[str]) -> list[str]:
    """Ids that stand in a name as tokens, from the left; of those that begin together, the longest.

    Looked up, not searched for: there may be as many ids as images.
    """
    ends = [match.start() for match in _TOKEN_END.finditer(name)]
    found: list[str] = []
    free = 0
    for match in _TOKEN_START.finditer(name):
        at = match.start()
        if at >= free and (end := next((e for e in reversed(ends) if name[at:e] in ids), 0)):
            found.append(name[at:end])
            free = end
    return found
