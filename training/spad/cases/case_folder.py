"""Case folders: the data sets that the trainer reads, the plugin exports and `spad phantom` writes.

A folder holds ``images/NAME.png|tif``, ``masks/NAME.png|tif`` (class values, 255 = ignore),
``labels.json`` (value -> name), ``split.json`` (split -> patients and images) and, if one likes,
``cases.json`` (NAME -> patient, spacing, annotated structures). This module reads the JSON files;
`spad.train.data.cases` reads the pixels, `spad.cases.new_cases` writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spad.cases.atomic_files import read_json
from spad.cases.file_errors import file_error
from spad.cases.patients import patients_of
from spad.cases.spelling import composed, same_patient
from spad.checkpoint import IGNORE, short

__all__ = [
    "Case",
    "CaseError",
    "CaseFolder",
    "case_spacing",
    "is_length",
    "label_names",
    "open_folder",
]

_SUFFIXES = (".png", ".tif", ".tiff")
_PRINTED = 30
_LONGEST_MM = 1e6


class CaseError(ValueError):
    """Faults of case folders or image files; the message lists them.

    Parameters
    ----------
    problems : iterable of str
        Each names its file, what is wrong and the remedy. `problems` keeps them all, the message
        prints the first 30 and counts the rest.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = list(self.problems[:_PRINTED])
        if len(self.problems) > _PRINTED:
            lines.append(f"... and {len(self.problems) - _PRINTED} more")
        if len(lines) > 1:
            lines = [f"{len(self.problems)} problems:", *lines]
        super().__init__("\n  ".join(lines))


@dataclass(frozen=True, slots=True)
class Case:
    """One annotated image of a case folder.

    Parameters
    ----------
    name : str
        File name without extension, unique in its folder.
    image_name : str
        Of the file in ``images/``.
    labels_name : str or None
        Of the label map's file in ``masks/``; None where there is none.
    patient : str
    spacing_mm : tuple of float or None
        Distance of neighbouring rows and of neighbouring columns in mm.
    annotated : tuple of str or None
        Names of the structures that were looked for; None: all.
    folder : Path
        The case folder.
    """

    name: str
    image_name: str
    labels_name: str | None
    patient: str
    spacing_mm: tuple[float, float] | None
    annotated: tuple[str, ...] | None
    folder: Path

    @property
    def image(self) -> Path:
        """The image's file."""
        return self.folder / "images" / self.image_name

    @property
    def labels(self) -> Path | None:
        """The label map's file; None where there is none."""
        return None if self.labels_name is None else self.folder / "masks" / self.labels_name

    def __reduce__(self) -> tuple[Any, ...]:
        # A hundred thousand are sent to each worker: in a second so, in ten by the dataclass.
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """A case folder as its JSON files describe it.

    Parameters
    ----------
    path : Path
    names : mapping of int to str
        ``labels.json``, ascending.
    splits : mapping of str to tuple of Case
    said : tuple of str
        What a person should be told, such as where the patients' names come from.
    problems : tuple of str
        Faults found so far; `check` raises them together with those of the pixels.
    """

    path: Path
    names: Mapping[int, str]
    splits: Mapping[str, tuple[Case, ...]]
    said: tuple[str, ...]
    problems: tuple[str, ...]


def open_folder(path: str | os.PathLike[str]) -> CaseFolder:
    """Read the JSON files and list the images of a case folder; no pixel is read.

    Faults are kept in `CaseFolder.problems` for `check`, so that a person sees all of them at once:
    call `check` before anything is read from the folder.

    Parameters
    ----------
    path : path

    Returns
    -------
    CaseFolder
    """
    path = Path(path)
    problems: list[str] = []
    said: list[str] = []
    images = _listing(path / "images", problems)
    labels = _listing(path / "masks", problems)
    names = label_names(path / "labels.json", problems)
    details = _details(path / "cases.json", images, names, problems)
    members, declared = _splits(path / "split.json", images, problems, said)
    patients = patients_of(path, images, details, declared, said)

    def case(name: str) -> Case:
        detail = details.get(name, {})
        return Case(
            name=name,
            image_name=images[name],
            labels_name=labels.get(name),
            patient=patients[name],
            spacing_mm=detail.get("spacing_mm"),
            annotated=detail.get("annotated"),
            folder=path,
        )

    splits = {
        split: tuple(case(name) for name in listed if name in images)
        for split, listed in members.items()
    }
    problems += _overlaps(path, splits)
    used = {name for listed in members.values() for name in listed}
    if idle := sorted(set(images) - used):
        said.append(f"{path}: {len(idle)} images are in no split and not used, such as {idle[0]!r}")
    return CaseFolder(
        path, MappingProxyType(names), MappingProxyType(splits), tuple(said), tuple(problems)
    )


def _listing(path: Path, problems: list[str]) -> dict[str, str]:
    """Names of the image files of a folder by name without extension."""
    if not path.is_dir():
        problems.append(f"{path}: there is no such folder; a case folder has images/ and masks/")
        return {}
    found: dict[str, str] = {}
    for file in sorted(os.listdir(path)):
        stem, dot, suffix = file.rpartition(".")
        if dot + suffix.lower() not in _SUFFIXES or file.startswith("."):
            continue
        stem = composed(stem)
        if stem in found:
            problems.append(f"{path / file}: {found[stem]} has the same name; remove one")
        found.setdefault(stem, file)
    return found


def _object(path: Path, problems: list[str], needed: str) -> dict[str, Any]:
    """Read the JSON object of a file; failing that, an empty one and a problem."""
    if not path.is_file():
        if needed:
            problems.append(f"{path}: is missing; write {needed}")
        return {}
    try:
        content = read_json(path)
    except (ValueError, OSError) as error:
        problems.append(file_error(error))
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path}: holds no JSON object {{...}} but a {type(content).__name__}")
        return {}
    if needed and not content:
        problems.append(f"{path}: is empty; write {needed}")
    return content


def label_names(path: Path, problems: list[str]) -> dict[int, str]:
    """Read ``labels.json``: names by value, ascending, without that of 255 (ignore).

    Parameters
    ----------
    path : Path
    problems : list of str
        Gets what is wrong, in words; faulty entries are left out.
    """
    names: dict[int, str] = {}
    for key, name in _object(path, problems, '{"0": "background", "1": ...}').items():
        value = int(key) if key.isascii() and key.isdigit() and len(key) < 9 else -1
        if value == IGNORE and name == "ignore":
            continue
        if not 0 <= value < IGNORE:
            problems.append(
                f"{path}: value {short(key)} is not an integer in 0..{IGNORE - 1} "
                f"({IGNORE} always means ignore); renumber it here and in masks/"
            )
        elif not isinstance(name, str) or not name.strip():
            problems.append(f"{path}: value {key} has the name {short(name)}; give it a text")
        elif (name := composed(name)) in names.values():
            problems.append(f"{path}: the name {name!r} is given twice; names must differ")
        elif value in names:
            problems.append(f"{path}: value {value} is named twice; keep one name")
        else:
            names[value] = name
    return dict(sorted(names.items()))


def _details(
    path: Path, images: Mapping[str, str], names: Mapping[int, str], problems: list[str]
) -> dict[str, dict[str, Any]]:
    """``cases.json``, checked; faulty entries are dropped and listed."""
    details: dict[str, dict[str, Any]] = {}
    for key, entry in _object(path, problems, "").items():
        name = composed(key)
        here = f"{path}: {name}"
        if name not in images:
            problems.append(f"{here}: images/ has no such image; correct or remove the entry")
            continue
        if not isinstance(entry, dict):
            problems.append(f'{here}: is not an object such as {{"patient": "P7"}}')
            continue
        detail: dict[str, Any] = {}
        patient, spacing, seen = (entry.get(k) for k in ("patient", "spacing_mm", "annotated"))
        if isinstance(patient, str | int) and str(patient).strip():
            detail["patient"] = str(patient)
        elif patient is not None:
            problems.append(f"{here}: patient {_shown(patient)} is no text; write the patient's id")
        if spacing is not None:
            if (known := _spacing(spacing)) is not None:
                detail["spacing_mm"] = known
            else:
                problems.append(
                    f"{here}: spacing_mm {_shown(spacing)} is not [row, column] in mm, both above 0"
                )
        if seen is not None:
            texts = [composed(s) for s in seen if isinstance(s, str)] if type(seen) is list else []
            if type(seen) is list and len(texts) == len(seen) and {*texts} <= {*names.values()}:
                detail["annotated"] = tuple(texts)
            else:
                problems.append(
                    f"{here}: annotated {_shown(seen)} is not a list of names from labels.json"
                )
        details[name] = detail
    return details


def case_spacing(image: Path) -> tuple[float, float] | None:
    """Spacing [row, column] in mm that a case folder tells of one of its images; None: none.

    Looks at ``cases.json`` alone, so that one image costs no reading of the whole folder.
    """
    file = image.parent.parent / "cases.json"
    if image.parent.name != "images" or not file.is_file():
        return None
    return _spacings(file, file.stat().st_mtime_ns).get(composed(image.stem))


@lru_cache(maxsize=8)
def _spacings(file: Path, _when: int) -> dict[str, tuple[float, float]]:
    found = {}
    for name, entry in _object(file, [], "").items():
        given = entry.get("spacing_mm") if isinstance(entry, dict) else None
        if (spacing := _spacing(given)) is not None:
            found[composed(name)] = spacing
    return found


def _spacing(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list) and len(value) == 2 and all(map(is_length, value)):
        return float(value[0]), float(value[1])
    return None


def is_length(value: object) -> bool:
    """Whether a JSON value can be a spacing in mm."""
    # An integer of JSON may have more digits than a float holds: compared, not converted.
    return type(value) in (int, float) and 0 < value < _LONGEST_MM  # type: ignore[operator]


def _shown(value: Any) -> str:
    """A value for a message, cut at a line's end."""
    if not isinstance(value, list):
        return short(value)
    return f"[{', '.join(map(short, value[:4]))}{', ...' if len(value) > 4 else ''}]"


def _splits(
    path: Path, images: Mapping[str, str], problems: list[str], said: list[str]
) -> tuple[dict[str, list[str]], set[str]]:
    """Read ``split.json``: the names of each split's images, and all patients it mentions."""
    if not path.is_file():
        said.append(f"{path}: is missing, so all {len(images)} images count as split 'train'")
        return {"train": list(images)}, set()
    members: dict[str, list[str]] = {}
    declared: dict[str, str] = {}
    ids: set[str] = set()
    for split, entry in _object(path, problems, "").items():
        entry = entry if isinstance(entry, dict) else {}
        listed, patients = entry.get("images"), entry.get("patients", [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            problems.append(
                f'{path}: split {split!r} has no list "images" of names; write '
                f'{{"{split}": {{"patients": [...], "images": [...]}}}}'
            )
            listed = []
        if not isinstance(patients, list) or not all(isinstance(p, str | int) for p in patients):
            problems.append(f"{path}: the patients of split {split!r} are not a list of ids")
            patients = []
        members[split] = list(dict.fromkeys(map(composed, listed)))
        for name in members[split]:
            if name not in images:
                problems.append(
                    f"{path}: split {split!r} names {name!r}, but images/ has no {name}.png or "
                    ".tif; add the file or remove the name (names go without extension)"
                )
        for patient in dict.fromkeys(map(str, patients)):
            ids.add(patient)
            if (other := declared.setdefault(same_patient(patient), split)) != split:
                problems.append(_two_splits(path, f"patient {patient!r}", (other, split)))
    return members, ids


def _two_splits(path: Path, what: str, splits: Iterable[str]) -> str:
    both = " and ".join(map(repr, splits))
    return f"{path}: {what} is in the splits {both}; keep it in one, else the scores are too good"


def _overlaps(path: Path, splits: Mapping[str, Sequence[Case]]) -> list[str]:
    """Images, and patients by their images, that are in two splits."""
    problems = []
    for what in ("name", "patient"):
        where: dict[str, dict[str, Case]] = {}
        for split, cases in splits.items():
            for case in cases:
                where.setdefault(getattr(case, what), {}).setdefault(split, case)
        for value, found in where.items():
            # A patient all of whose images stand in both splits is told by those images already.
            if len(found) > 1 and (what == "name" or len({c.name for c in found.values()}) > 1):
                if what == "name":
                    text = f"image {value!r}"
                else:
                    shown = ", ".join(c.name for c in found.values())
                    text = f"patient {value!r} ({shown}, ...)"
                problems.append(_two_splits(path / "split.json", text, found))
    return problems
