"""The card of the model that a run trains: where its data come from, and how its images look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spad import phantom
from spad.annotation import LIMIT, measures, summary
from spad.cases import Case, CaseFolder
from spad.checkpoint import Card, LabelClass, joined_records
from spad.inference import normalise
from spad.train.config import Config
from spad.train.data import endless, epoch_length, named_members, read_image
from spad.train.loop.pretrained_encoder import credit

__all__ = ["unscored_card"]


def unscored_card(
    config: Config,
    folders: Sequence[CaseFolder],
    classes: tuple[LabelClass, ...],
    training: Sequence[Case],
    validation: Sequence[Case],
    start: Card | None,
) -> Card:
    """The card of a run's model, but for the scores; `start` is that of what it goes on from."""
    learnt = joined_records(start.training.get("learnt") if start else None)
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
            "data": _origin(config, folders, start),
            **({"learnt": learnt} if learnt else {}),
            **({"encoder": owed} if (owed := credit(config.network, config.sam)) else {}),
            "epoch": epoch_length(config.data, training),
            "cases": {"training": len(training), "validation": len(validation)},
            "mapping": _mappings(config, folders),
        },
    )


def _mappings(config: Config, folders: Sequence[CaseFolder]) -> dict[str, dict[str, list[str]]]:
    """What became each class, by the name of each folder.

    Names, not values: a folder of the same name elsewhere may number other structures so.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for folder in folders:
        of_name = found.setdefault(folder.path.name, {})
        for name, members in named_members(folder.names, config.classes).items():
            of_name[name] = list(dict.fromkeys([*of_name.get(name, []), *members]))
    return found


def _origin(
    config: Config, folders: Sequence[CaseFolder], start: Card | None
) -> list[dict[str, str]]:
    """Where the training data come from, those of the model that it goes on from last."""
    data = config.data
    trained = folders if data.phantoms < 1 else ()
    found = [{"name": f.path.name, "licence": data.licence, "source": data.source} for f in trained]
    if data.phantoms:
        source = f"procedural, spad.phantom version {phantom.PHANTOM_VERSION}, made while training"
        found.append({"name": "phantoms", "licence": "BSD-3-Clause", "source": source})
    return joined_records(found, start.training.get("data") if start else None)


def _statistics(config: Config, cases: Sequence[Case]) -> dict[str, object]:
    """What `annotation.likeness` knows images by, and a histogram, of a bounded number of them."""
    few = list(cases[:: max(1, len(cases) // LIMIT)][:LIMIT])
    few = few or [endless(config.seed, n, config.input.size) for n in range(16)]
    images = [read_image(case) for case in few]
    measured = [
        measures(image, config.input, case.spacing_mm)
        for case, image in zip(few, images, strict=True)
    ]
    sizes = np.array([image.shape for image in images])
    histogram = np.mean(
        [np.histogram(normalise(x, config.input), 16, (-1, 1))[0] / x.size for x in images], axis=0
    )
    return {
        "heights": np.percentile(sizes[:, 0], [0, 50, 100]).tolist(),
        "widths": np.percentile(sizes[:, 1], [0, 50, 100]).tolist(),
        "histogram": np.round(histogram, 5).tolist(),
        "measures": summary(measured),
    }
