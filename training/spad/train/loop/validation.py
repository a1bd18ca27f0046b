"""Scores during training: validation with the sampler."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import Card
from spad.inference import Segmenter
from spad.network import build
from spad.train.config import Config
from spad.train.evaluation import Report, evaluate
from spad.train.loop.preparation import Prepared
from spad.train.loop.state import Run
from spad.train.processes import ALONE, Group, Stop

__all__ = ["as_rows", "as_scalars", "scored", "validate"]


def validate(
    run: Run, config: Config, prepared: Prepared, stop: Stop, group: Group = ALONE
) -> Report | None:
    """Score the averaged weights on the validation cases, with the sampler.

    The processes of a group divide the cases; the scores are those of all cases.

    Returns
    -------
    Report
        None if a process was asked to stop meanwhile.
    """
    card, v = prepared.card, config.validation
    network = build(card.network, len(card.classes), {n: x.clone() for n, x in run.mean.items()})
    segmenter = Segmenter(card, network, next(iter(run.mean.values())).device)

    def segment(image: NDArray[Any]) -> NDArray[np.uint8]:
        if stop.asked:  # nobody will read this; the processes just meet again
            return np.zeros(image.shape, np.uint8)
        return segmenter.segment(image, samples=v.samples, steps=v.steps).labels

    report = evaluate(
        segment,
        [case for case, _ in prepared.validation],
        np.stack([table for _, table in prepared.validation]),
        [c.name for c in card.classes],
        judged=prepared.validation_judged,
        group=group,
    )
    return None if group.any(stop.asked) else report


def as_scalars(report: Report) -> dict[str, float]:
    """What TensorBoard shows of a validation."""
    return {
        f"validation/{of} Dice/{row.name}": score.value
        for row in (*report.structures, report.mean)
        for of, score in (("pooled", row.dice_pooled), ("image", row.dice_per_image))
    }


def as_rows(report: Report) -> dict[str, Any]:
    """What ``progress.jsonl`` says of a validation; `spad.annotation.fine_tuning` reads it."""
    rows = (*report.structures, report.mean)
    return {
        "images": report.images,
        "patients": report.patients,
        "rows": [
            {
                "name": row.name,
                "images": row.images,
                "dice": row.dice_pooled.value,
                "low": row.dice_pooled.low,
                "high": row.dice_pooled.high,
            }
            for row in rows
        ],
    }


def scored(card: Card, config: Config, run: Run, report: Report) -> Card:
    """The card with the scores of this moment."""
    v = config.validation
    scores = {
        "step": run.step,
        "samples": v.samples,
        "steps": v.steps,
        "images": report.images,
        "patients": report.patients,
        "pooled Dice": {r.name: _rounded(r.dice_pooled.value) for r in report.structures},
        "per-image Dice": {r.name: _rounded(r.dice_per_image.value) for r in report.structures},
        "pooled mean Dice": _rounded(report.mean.dice_pooled.value),
        "per-image mean Dice": _rounded(report.mean.dice_per_image.value),
    }
    return replace(card, scores={"validation": scores})


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
