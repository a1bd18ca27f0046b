"""From a configuration to checked cases, and to the card of the model that they will train."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad import phantom
from spad.cases import Case, CaseFolder, open_folder, same_patient
from spad.checkpoint import Card, label_classes, model_path, read_card
from spad.train.config import Config, ConfigError, Data
from spad.train.data import (
    IGNORED,
    VALIDATION_SEEDS,
    Cache,
    Facts,
    Inspector,
    PhantomCase,
    check,
    class_table,
    judged_classes,
    limit_cases,
    misplaced_background,
    phantom_case,
    phantom_table,
    shown_classes,
    split_validation,
)
from spad.train.loop.model_card import unscored_card

__all__ = ["Prepared", "Tabled", "prepare"]

Tabled = tuple[Case, NDArray[np.uint8]]
"""A case with the table that maps its values to the model's classes."""


_CHECKED = 5000
"""Cases up to which all are checked before a run, and the sample that is checked of more."""
_SAMPLE = 500
_VALIDATION_PHANTOMS = 64


@dataclass(frozen=True, slots=True)
class Prepared:
    """Checked cases, the card they lead to, and a fingerprint that tells whether they changed.

    ``judged`` and ``validation_judged`` are bool of shape (N, K): which classes were looked for in
    each case. ``shown``, of the same shape, tells which classes the training cases show; None where
    nothing is balanced. ``values`` is ``labels.json`` of each folder.
    """

    training: tuple[Tabled, ...]
    validation: tuple[Tabled, ...]
    judged: NDArray[np.bool_]
    validation_judged: NDArray[np.bool_]
    shown: NDArray[np.bool_] | None
    values: Mapping[Path, Mapping[int, str]]
    card: Card
    fingerprint: str


def prepare(config: Config, going_on: Path | None = None) -> Prepared:
    """Open and check all that a run needs, before its first step.

    Of more than 5000 cases 500 of each split are checked, the others when they are first read.

    Parameters
    ----------
    config : Config
    going_on : Path, optional
        Folder of the run that is resumed. It needs no more what it started from, ``config.init``:
        where that is gone, what it told stands on the run's own card.

    Raises
    ------
    ConfigError
        Settings that do not fit the cases: a class that is annotated in none, phantoms that have
        none of the classes.
    CaseError
        Faults in the case folders, all listed.
    """
    data = config.data
    folders = [open_folder(path) for path in data.folders]
    for folder in folders:
        for line in folder.said:
            print(f"{folder.path.name}: {line}")
    mapping = config.classes or None
    inspector = Inspector(Cache() if data.cache else None)
    splits, whole = _check(config, folders, inspector)
    values = {folder.path: folder.names for folder in folders}
    tables = {path: class_table(one, mapping) for path, one in values.items()}
    training, validation = _cases(config, folders, splits)
    if whole:
        _say_shared(training, validation, inspector)
    _say_namesakes(training, validation)
    names = [n for n in mapping if n != IGNORED] if mapping else _names(folders)
    table, looked = phantom_table(names)
    if data.phantoms:
        _say_phantoms(names, looked)
    if not folders:
        validation = _validation_phantoms(config.input.size)
        tables[validation[0].folder] = table

    def judge(cases: Sequence[Case]) -> NDArray[np.bool_]:
        rows = {
            key: judged_classes(case, tables[case.folder], len(names), values.get(case.folder))
            for key, case in {(case.folder, case.annotated): case for case in cases}.items()
        }
        some = [rows[case.folder, case.annotated] for case in cases]
        return np.array(some, bool).reshape(-1, len(names))

    judged = judge(training)
    start = _start_card(config, going_on)
    if start:
        _say_other_input(config, start)
    learnt = {c.name for c in start.classes} if start else set()
    _say_partial(names, judged, looked & (data.phantoms > 0), learnt)
    tabled = tuple((case, tables[case.folder]) for case in training)
    shown = shown_classes(tabled, len(names), inspector) if data.balance else None
    card = unscored_card(config, folders, label_classes(names), training, validation, start)
    validation_judged = judge(validation)
    return Prepared(
        training=tabled,
        validation=tuple((case, tables[case.folder]) for case in validation),
        judged=judged,
        validation_judged=validation_judged,
        shown=shown,
        values=values,
        card=card,
        fingerprint=_fingerprint(
            (("training", training, judged), ("validation", validation, validation_judged)),
            tables, data, inspector, whole,
        ),
    )  # fmt: skip


def _check(
    config: Config, folders: Sequence[CaseFolder], inspector: Inspector
) -> tuple[list[str], bool]:
    """Check the cases; give the splits that are there to be read, and whether all were checked."""
    data = config.data
    splits = [data.train] if data.phantoms < 1 else []
    known = list(dict.fromkeys(split for folder in folders for split in folder.splits))
    if data.validation not in (*known, "val") and splits:
        raise ConfigError(
            f"data.validation is {data.validation!r}, a split of no folder; they have "
            f"{', '.join(known)}: name one, or leave it out to have patients set aside"
        )
    if all(data.validation in folder.splits for folder in folders) or not splits:
        splits.append(data.validation)
    total = sum(len(folder.splits.get(split, ())) for folder in folders for split in splits)
    few = None if total <= _CHECKED or data.balance else _SAMPLE
    if few is not None:
        warnings.warn(
            f"{total} cases: {few} of each split are checked now, the others when they are first "
            "read",
            stacklevel=3,
        )
    check(folders, config.classes or None, splits, inspector=inspector, at_most=few)
    inspector.save()
    return splits, few is None


def _cases(
    config: Config, folders: Sequence[CaseFolder], splits: Sequence[str]
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Give the cases that train and those that validate."""
    data = config.data
    training: tuple[Case, ...] = ()
    if data.train in splits:
        training = tuple(case for f in folders for case in f.splits[data.train])
    if data.validation in splits:
        validation = tuple(case for f in folders for case in f.splits[data.validation])
    else:
        training, validation = split_validation(training, config.seed, _lacking(data, folders))
    if data.limit and training:
        training = limit_cases(training, data.limit, config.seed)
    return training, validation


def _lacking(data: Data, folders: Sequence[CaseFolder]) -> str:
    """Say which folders lack the split that validates, and what of others' is not used for that."""
    name = data.validation
    unused = {f.path.name: len(f.splits[name]) for f in folders if name in f.splits}
    if not unused:
        return f"no split {name!r}"
    lacking = ", ".join(f.path.name for f in folders if name not in f.splits)
    left = ", ".join(f"{folder} ({count} images)" for folder, count in unused.items())
    return f"no split {name!r} in {lacking}, so that of {left} is not used"


def _say_shared(training: Sequence[Case], validation: Sequence[Case], inspector: Inspector) -> None:
    """Warn of images that train and validate, whatever names and patients they have."""
    known = {
        inspector.image(case).digest: case for case in training if not isinstance(case, PhantomCase)
    }
    shared = [case for case in validation if not isinstance(case, PhantomCase)]
    shared = [case for case in shared if inspector.image(case).digest in known]
    if shared:
        twin = known[inspector.image(shared[0]).digest]
        warnings.warn(
            f"{len(shared)} of {len(validation)} validation images train too, byte for byte, such "
            f"as {shared[0].image} and {twin.image}: the scores will be too good; keep each image, "
            "with all others of its patient, in one split",
            stacklevel=3,
        )


def _start_card(config: Config, going_on: Path | None) -> Card | None:
    """The card of what a run starts from, or as much of it as the run that goes on has kept."""
    if not config.init:
        return None
    try:
        return read_card(model_path(config.init))
    except (ValueError, OSError):
        own = going_on / "latest.safetensors" if going_on else None
        if own is None or not own.exists():
            raise
        return read_card(own)


def _say_other_input(config: Config, start: Card) -> None:
    """Warn of a run that sees images at another scale than the model that it starts from."""
    own, known = (f"{i.size[0]} x {i.size[1]} ({i.fit})" for i in (config.input, start.input))
    if own != known:
        warnings.warn(
            f"the run sees images at {own} pixels, {start.name}, from which it starts, at {known}: "
            "it may begin with little of what that knew; leave [input] out to see them as it did",
            stacklevel=3,
        )


def _say_namesakes(training: Sequence[Case], validation: Sequence[Case]) -> None:
    """Warn of patients who validate in one folder under an id that trains in another."""
    known: dict[str, Case] = {same_patient(case.patient): case for case in training}
    twins = [(case, known.get(same_patient(case.patient))) for case in validation]
    shared = {c.patient: c for c, twin in twins if twin and twin.folder != c.folder}
    if shared:
        one = next(iter(shared.values()))
        other = known[same_patient(one.patient)]
        warnings.warn(
            f"{len(shared)} patients validate whose ids train in another folder, such as "
            f"{one.patient!r} of {one.folder.name} and {other.folder.name}: if they are the same "
            "people, the scores will be too good; keep each in one split, or give other ids",
            stacklevel=3,
        )


def _validation_phantoms(shape: tuple[int, int]) -> tuple[Case, ...]:
    """Give the cases that validate where there is no case folder."""
    made = tuple(phantom_case(VALIDATION_SEEDS + i, shape) for i in range(_VALIDATION_PHANTOMS))
    warnings.warn(
        f"no case folder: {len(made)} phantoms with seeds from {VALIDATION_SEEDS} on, "
        "which never train, validate",
        stacklevel=3,
    )
    return made


def _fingerprint(
    parts: Iterable[tuple[str, Sequence[Case], NDArray[np.bool_]]],
    tables: Mapping[Path, NDArray[np.uint8]],
    data: Data,
    inspector: Inspector,
    whole: bool,
) -> str:
    """Hash what the samples depend on: cases, their class tables, what was looked for."""
    diseases = () if data.diseases == ("wet-amd",) else data.diseases
    made = [data.phantoms, phantom.PHANTOM_VERSION, *diseases]
    digest = hashlib.sha256(json.dumps(made).encode())
    known = {folder: hashlib.sha256(one.tobytes()).hexdigest() for folder, one in tables.items()}
    for kind, cases, rows in parts:
        for c, row in zip(cases, rows, strict=True):
            stamp = _stamp(c, inspector, whole)
            line = (kind, c.folder.name, c.name, known[c.folder], row.tobytes().hex(), *stamp)
            digest.update("\0".join(line).encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()


def _names(folders: Sequence[CaseFolder]) -> list[str]:
    """The classes, where no mapping names them."""
    return list(folders[0].names.values() if folders else phantom.CLASS_NAMES)


def _stamp(case: Case, inspector: Inspector, whole: bool) -> Iterable[str]:
    """What tells a case's files from others, wherever the folder lies and whenever it was copied.

    The contents, where all files are checked anyway; of very large sets the sizes.
    """
    if isinstance(case, PhantomCase):
        return (str(case.shape),)
    if whole:
        facts = (inspector.image(case), inspector.labels(case) or Facts("", (), 0))
        return (one.digest for one in facts)
    images, masks = (os.path.join(case.folder, kind) for kind in ("images", "masks"))
    files = (f"{images}/{case.image_name}", f"{masks}/{case.labels_name}")
    return (str(os.stat(file).st_size) for file in files)


def _say_phantoms(names: Sequence[str], looked: NDArray[np.bool_]) -> None:
    """Say which classes phantoms have; refuse a model that has none of theirs, or out of order."""
    if fault := misplaced_background(names, names[0]):
        raise ConfigError(fault)
    shared = [n for n in phantom.CLASS_NAMES[1:] if n in names]
    if not shared:
        raise ConfigError(
            f"data.phantoms: phantoms have {', '.join(phantom.CLASS_NAMES[1:])}, and none of them "
            f"is a class of this model ({', '.join(names[1:])}); name the classes so in [classes], "
            "or set data.phantoms=0"
        )
    text = f"fresh phantoms train {', '.join(shared)}"
    if other := [n for n in phantom.CLASS_NAMES[1:] if n not in names]:
        text += f"; their {', '.join(other)} is background, as the model has no such class"
    if lacking := [n for n, has in zip(names, looked, strict=True) if not has]:
        text += f"; they do not have {', '.join(lacking)}, which may be in their background"
    warnings.warn(text, stacklevel=3)


def _say_partial(
    names: Sequence[str],
    judged: NDArray[np.bool_],
    phantoms: NDArray[np.bool_],
    known: Container[str],
) -> None:
    """Say which classes were not looked for everywhere; refuse one that was looked for nowhere.

    Unless the checkpoint that the run starts from knows it.
    """
    for name, column, made in list(zip(names, judged.T, phantoms, strict=True))[1:]:
        if not column.any() and not made and name in known:
            warnings.warn(
                f"{name} is annotated in no training case: the model keeps what it knew of it, as "
                "far as it does not forget",
                stacklevel=3,
            )
        elif not column.any() and not made:
            raise ConfigError(
                f"class {name!r} is annotated in no training case, so nothing can be learned of "
                "it; give it values in [classes] and cases whose annotated names it, or remove it"
            )
        elif not column.all():
            warnings.warn(
                f"{name} was looked for in {column.sum()} of {len(column)} training cases; in the "
                "others background may be it",
                stacklevel=3,
            )
