"""From a configuration to checked cases, and to the card of the model that they will train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad.card import Card
from spad.frame import normalise
from spad.labels import LabelClass, label_classes
from spad.train.cases import (
    Case,
    CaseFolder,
    check,
    class_table,
    open_folder,
    read_image,
    split_validation,
)
from spad.train.config import Config, ConfigError
from spad.train.files import image_size
from spad.train.mapping import IGNORED

__all__ = ["Prepared", "Tabled", "prepare"]

Tabled = tuple[Case, NDArray[np.uint8]]
"""A case with the table that maps its values to the model's classes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Checked cases, the card they lead to, and a fingerprint that tells whether they changed."""

    training: tuple[Tabled, ...]
    validation: tuple[Tabled, ...]
    card: Card
    fingerprint: str


def prepare(config: Config) -> Prepared:
    """Open and check all that a run needs, before its first step.

    Raises
    ------
    ConfigError
        No case folder, or settings that do not fit the cases.
    CaseError
        Faults in the case folders, all listed.
    """
    data = config.data
    if not data.folders:
        raise ConfigError("data.folders is empty; name at least one case folder")
    folders = [open_folder(path) for path in data.folders]
    for folder in folders:
        for line in folder.said:
            print(f"{folder.path.name}: {line}")
    mapping = config.classes or None
    splits = [data.train]
    if all(data.validation in folder.splits for folder in folders):
        splits.append(data.validation)
    check(folders, mapping, splits)
    tables = {f.path: class_table(f.names, mapping) for f in folders}
    training = tuple(case for f in folders for case in f.splits[data.train])
    if len(splits) == 2:
        validation = tuple(case for f in folders for case in f.splits[data.validation])
    else:
        training, validation = split_validation(training, config.seed)

    def tabled(cases: Sequence[Case]) -> tuple[Tabled, ...]:
        return tuple((case, tables[case.folder]) for case in cases)

    names = [n for n in mapping if n != IGNORED] if mapping else list(folders[0].names.values())
    card = _card(config, folders, label_classes(names), training, validation)
    seen = [
        [kind, str(c.folder), c.name, tables[c.folder].tolist(), _stamp(c.image), _stamp(c.labels)]
        for kind, cases in (("training", training), ("validation", validation))
        for c in cases
    ]
    fingerprint = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
    return Prepared(tabled(training), tabled(validation), card, fingerprint)


def _stamp(file: Path | None) -> list[int]:
    """What changes with a file: its size and the time of its last change."""
    if file is None:
        return []
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _card(
    config: Config,
    folders: Sequence[CaseFolder],
    classes: tuple[LabelClass, ...],
    training: Sequence[Case],
    validation: Sequence[Case],
) -> Card:
    """The card, but for the scores."""
    return Card(
        name=config.name,
        classes=classes,
        network=config.network,
        schedule=config.schedule,
        input=replace(config.input, statistics=_statistics(config, training)),
        sampling=config.sampling,
        training={
            "method": config.method,
            "preset": config.preset,
            "seed": config.seed,
            "steps": config.optimiser.steps,
            "batch": config.optimiser.batch,
            "data": [
                {"name": f.path.name, "licence": config.data.licence, "source": config.data.source}
                for f in folders
            ],
            "cases": {"training": len(training), "validation": len(validation)},
            "mapping": {f.path.name: dict(config.classes) for f in folders},
        },
    )


def _statistics(config: Config, cases: Sequence[Case]) -> dict[str, object]:
    """Sizes, and the mean histogram of normalised intensities, of up to 64 training images."""
    few = cases[:: max(1, len(cases) // 64)][:64]
    sizes = np.array([image_size(case.image) for case in few])
    histogram = np.mean(
        [np.histogram(normalise(read_image(c), config.input), 16, (-1, 1))[0] / np.prod(s)
         for c, s in zip(few, sizes, strict=True)], axis=0,
    )  # fmt: skip
    return {
        "heights": np.percentile(sizes[:, 0], [0, 50, 100]).tolist(),
        "widths": np.percentile(sizes[:, 1], [0, 50, 100]).tolist(),
        "histogram": np.round(histogram, 5).tolist(),
    }
