"""A model run on annotated cases, and what comes out compared with their label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad import metrics
from spad.cases import Case
from spad.checkpoint import IGNORE
from spad.train.data import judged_classes, read_image, read_labels
from spad.train.evaluation.bootstrap_scores import score
from spad.train.evaluation.case_report import Report
from spad.train.processes import ALONE, Group

__all__ = ["compare", "evaluate"]


def compare(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    k: int,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Confusion matrix (K, K), and HD95 (K,) of the structures that both maps have, else NaN."""
    matrix = metrics.confusion_matrix(prediction, reference, k)
    distances, free = np.full(k, np.nan), reference != IGNORE
    for value in np.flatnonzero(matrix.sum(0) * matrix.sum(1)):
        if value > 0:
            distances[value] = metrics.hd95(
                (prediction == value) & free, reference == value, spacing
            )
    return matrix, distances


def evaluate(
    segment: Callable[[NDArray[Any]], NDArray[np.uint8]],
    cases: Sequence[Case],
    table: NDArray[np.uint8],
    classes: Sequence[str],
    *,
    names: Mapping[int, str] | None = None,
    judged: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int], None] | None = None,
    group: Group = ALONE,
) -> Report:
    """Segment cases and score the results.

    Parameters
    ----------
    segment : callable
        Image ``(H, W)`` -> class values uint8 ``(H, W)``.
    cases : sequence of Case
    table : ndarray of uint8, shape (256,) or (N, 256)
        From `spad.train.data.class_table`, one for all cases or one for each. Classes that no
        value becomes are not judged.
    classes : sequence of str
        Names of the model's classes, background first.
    names : mapping of int to str, optional
        The data set's ``labels.json``; with it, structures missing in a case's ``annotated`` are
        not judged in that case.
    judged : ndarray of bool, shape (N, K), optional
        Which classes were looked for in each case, where that is known already; `names` is then
        not needed.
    progress : callable, optional
        Called as ``progress(done, total)`` after each case.
    group : Group, optional
        Processes that divide the cases among themselves; each gets the whole report.

    Returns
    -------
    Report
        HD95 in mm if every case has a spacing, else in pixels.

    Raises
    ------
    ValueError
        No case, or a result that is not of the image's shape.
    OSError, ImportError
        As `spad.pictures.image_files.read_file`.
    """
    k = len(classes)
    in_mm = all(case.spacing_mm is not None for case in cases)
    matrices = np.zeros((len(cases), k, k), np.int64)
    distances = np.zeros((len(cases), k))
    tables = np.broadcast_to(table, (len(cases), 256))
    if judged is None:
        rows = [judged_classes(c, t, k, names) for c, t in zip(cases, tables, strict=True)]
        judged = np.array(rows, bool).reshape(-1, k)
    for i in range(group.rank, len(cases), group.size):
        case = cases[i]
        image, reference = read_image(case), read_labels(case, tables[i])
        prediction = segment(image)
        if prediction.shape != reference.shape:
            raise ValueError(
                f"{case.image}: the result is {prediction.shape}, the label map "
                f"{reference.shape}; results must have the image's shape"
            )
        spacing = case.spacing_mm if in_mm and case.spacing_mm else (1.0, 1.0)
        matrices[i], distances[i] = compare(prediction, reference, k, spacing)
        if progress is not None:
            progress(i + 1, len(cases))
    matrices, distances = group.total(matrices), group.total(distances)
    report = score(
        matrices,
        [f"{case.folder}/{case.patient}" for case in cases],
        classes,
        hd95=distances,
        hd95_unit="mm" if in_mm else "px",
        judged=judged,
    )
    if 0 < (without := sum(case.spacing_mm is None for case in cases)) < len(cases):
        note = (
            f"HD95 in pixels: {without} of {len(cases)} cases have no spacing; give all a "
            "spacing_mm in cases.json for mm"
        )
        report = replace(report, notes=(*report.notes, note))
    return report
