"""Scores as a table for other programs: a record per structure and B-scan, then the whole stack."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass, plain_text
from spad.metrics.dice import mean_scores, structure_scores
from spad.metrics.live_confusion import LiveConfusion
from spad.metrics.surface_distance import hd95

__all__ = ["CONVENTIONS", "as_csv", "score_records", "write_text"]

CONVENTIONS: Mapping[str, str] = {
    "dice_iou_convention": "absent in both: empty and not in the mean; missed or invented: 0",
    "hd95_convention": "larger of the two directed 95th percentiles of border distances (MONAI); "
    "missed or invented: inf",
    "ignored": f"pixels where the reference is {IGNORE}",
}
"""What the figures mean, repeated in every row: tables get torn apart."""


def score_records(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8] | None,
    classes: Sequence[LabelClass],
    *,
    spacing_mm: Sequence[float] | None = None,
    bscan_names: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Score every structure in every B-scan, then in the whole stack.

    Parameters
    ----------
    prediction : array of uint8, shape (H, W) or (Z, H, W)
        Class map.
    reference : array of uint8, or None
        The same shape; without it only sizes are told.
    classes : sequence of LabelClass
        All, background first.
    spacing_mm : sequence of float, optional
        One number an axis, or of the last two axes of a stack (then its volumes stay in pixels).
    bscan_names : sequence of str, optional

    Yields
    ------
    dict
        ``bscan_from_1`` (or "all"), ``bscan_name``, ``structure`` (or "mean"), ``state``,
        ``dice``, ``iou``, ``hd95``, ``hd95_unit``, ``size``, ``size_unit``, ``pixels``,
        ``reference_pixels``. Numbers that do not exist are NaN.
    """
    ours = prediction.reshape(-1, *prediction.shape[-2:])
    theirs = None if reference is None else reference.reshape(ours.shape)
    counts = LiveConfusion(ours, np.zeros_like(ours) if theirs is None else theirs, len(classes))
    planar = None if spacing_mm is None else tuple(spacing_mm[-2:])
    for z in range(len(ours)):
        name = bscan_names[z] if bscan_names is not None and z < len(bscan_names) else ""
        place = {"bscan_from_1": z + 1, "bscan_name": name}
        maps = ours[z], None if theirs is None else theirs[z]
        for record in _records(counts.slices[z], maps, classes, planar):
            yield place | record
    if prediction.ndim > 2:
        spacing = tuple(spacing_mm) if spacing_mm is not None and len(spacing_mm) == 3 else None
        for record in _records(counts.matrix, (ours, theirs), classes, spacing):
            yield {"bscan_from_1": "all", "bscan_name": ""} | record


def _records(
    matrix: NDArray[np.int64],
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8] | None],
    classes: Sequence[LabelClass],
    spacing: tuple[float, ...] | None,
) -> Iterator[dict[str, Any]]:
    prediction, reference = maps
    scores = structure_scores(matrix, classes)
    unit = "px" if spacing is None else "mm"
    size_unit = "px" if spacing is None else f"mm{prediction.ndim}"
    pixel = 1.0 if spacing is None else math.prod(spacing)
    for score in scores:
        record: dict[str, Any] = {
            "structure": score.name,
            "state": score.state,
            "dice": score.dice,
            "iou": score.iou,
            "hd95": math.nan if score.state == "absent" else math.inf,
            "hd95_unit": unit,
            "size": score.predicted_pixels * pixel,
            "size_unit": size_unit,
            "pixels": score.predicted_pixels,
            "reference_pixels": score.reference_pixels,
        }
        if reference is None:
            record |= {"state": "not compared", "dice": math.nan, "iou": math.nan}
            record |= {"hd95": math.nan, "reference_pixels": math.nan}
        elif score.state == "compared":
            ours = (prediction == score.value) & (reference != IGNORE)
            record["hd95"] = hd95(ours, reference == score.value, spacing)
        yield record
    if reference is not None:
        dice, iou, count = mean_scores(scores)
        said = f"mean of {count} structures"
        yield {"structure": "mean", "state": said, "dice": dice, "iou": iou}


COLUMNS = (
    "segmentation", "annotator", "reference", "bscan_from_1", "bscan_name", "structure", "state",
    "dice", "iou", "hd95", "hd95_unit", "size", "size_unit", "pixels", "reference_pixels",
    *CONVENTIONS,
)  # fmt: skip


def as_csv(records: Iterable[Mapping[str, Any]], **constant: str) -> str:
    """Write records as CSV with a header.

    Parameters
    ----------
    records : iterable of mapping
        From `score_records`.
    **constant : str
        Columns alike in every row: ``segmentation``, ``annotator``, ``reference``.

    Returns
    -------
    str
        Comma-separated; NaN is an empty cell.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        row = {**constant, **record, **CONVENTIONS}
        writer.writerow({key: _cell(row.get(key, "")) for key in COLUMNS})
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return plain_text(value) if isinstance(value, str) else str(value)


def write_text(path: Path, text: str) -> None:
    """Write a file that is either the old one or whole, whatever happens meanwhile.

    Raises
    ------
    OSError
        With what to do.
    """
    fresh = path.with_name(f".scores.{os.getpid()}")
    try:
        # The mark at the start tells Excel that it is UTF-8.
        fresh.unlink(missing_ok=True)  # a link that lies there is not followed
        # A file's name may be no UTF-8: it is written as "\\udcff".
        with fresh.open("x", -1, "utf-8-sig", "backslashreplace", newline="") as file:
            file.write(text)
        os.replace(fresh, path)
    except OSError as error:
        raise OSError(
            f"“{path}” cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
