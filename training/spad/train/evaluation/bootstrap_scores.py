"""Scores from the confusion matrices of images, by both conventions (docs/method.md, section 8).

*Pooled*: true and false positives and false negatives are summed over all images. *Per image*: the
mean over the images where the structure is in either map. Intervals are percentiles of a bootstrap
over patients, not images, since the images of one patient resemble each other. All of it follows
from the images' confusion matrices, so no resample looks at a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.train.evaluation.case_report import Report, Row, Score

__all__ = ["score"]

_FEW = 10  # images; fewer say little about a structure
_F64 = NDArray[np.float64]


def score(
    matrices: NDArray[Any],
    patients: Sequence[str],
    classes: Sequence[str],
    *,
    hd95: NDArray[Any] | None = None,
    hd95_unit: str = "px",
    judged: NDArray[np.bool_] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """Scores from the confusion matrices of images (method, Eq. 25).

    Parameters
    ----------
    matrices : ndarray of int, shape (N, K, K)
        Pixels of each image by reference (rows) and prediction (columns).
    patients : sequence of str, length N
    classes : sequence of str, length K
        Names, background first.
    hd95 : ndarray, shape (N, K), optional
        Distances; NaN or infinite where a map lacks the structure, which leaves the image out.
    hd95_unit : {"px", "mm"}, optional
    judged : ndarray of bool, shape (N, K), optional
        False where a structure was not looked for in an image: left out of its scores and counts.
    resamples, seed : int, optional
        Of the bootstrap over patients.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        No image, or arrays whose shapes do not fit each other.
    """
    matrices = np.asarray(matrices, np.float64)
    n, k = len(matrices), len(classes)
    _check_shapes(matrices, patients, k, hd95, judged)
    looked = np.ones((n, k - 1), bool) if judged is None else judged[:, 1:]
    hit = np.einsum("nii->ni", matrices)[:, 1:] * looked
    reference = matrices.sum(2)[:, 1:] * looked
    prediction = matrices.sum(1)[:, 1:] * looked
    size = reference + prediction
    present = size > 0
    distances = np.full((n, k), np.nan) if hd95 is None else np.asarray(hd95, np.float64)
    near = distances[:, 1:]
    measured = np.isfinite(near) & looked
    # Every score is a ratio of two sums over images. A bootstrap over patients only weights them.
    ratios = {
        "dice_pooled": (2 * hit, size),
        "dice_per_image": (_ratio(2 * hit, size, 0), present),
        "iou_pooled": (hit, size - hit),
        "iou_per_image": (_ratio(hit, size - hit, 0), present),
        "hd95": (np.where(measured, near, 0), measured),
    }
    columns, people = _over_patients(ratios, patients, resamples, seed)
    in_reference, in_prediction = reference > 0, prediction > 0
    counts = {
        "images": in_reference,
        "absent": looked & ~present,
        "missed": in_reference & ~in_prediction,
        "invented": in_prediction & ~in_reference,
    }

    def row(name: str, structures: slice, column: int) -> Row:
        number = {key: int(where[:, structures].sum()) for key, where in counts.items()}
        scores = {key: column_scores[column] for key, column_scores in columns.items()}
        return Row(name, **number, **scores)  # type: ignore[arg-type]

    rows = [row(name, slice(i, i + 1), i) for i, name in enumerate(classes[1:])]
    return Report(
        structures=tuple(rows),
        mean=row("mean", slice(None), k - 1),
        images=n,
        patients=people,
        hd95_unit="" if hd95 is None else hd95_unit,
        notes=tuple(_notes(rows, looked, people)),
        resamples=resamples,
        seed=seed,
    )


def _check_shapes(
    matrices: _F64,
    patients: Sequence[str],
    k: int,
    hd95: NDArray[Any] | None,
    judged: NDArray[np.bool_] | None,
) -> None:
    n = len(matrices)
    expected = {"matrices": (matrices.shape, (n, k, k)), "patients": ((len(patients),), (n,))}
    for name, array in (("hd95", hd95), ("judged", judged)):
        if array is not None:
            expected[name] = (array.shape, (n, k))
    if n == 0:
        raise ValueError("there are no images to score; give at least one")
    if wrong := [
        f"{a} has shape {got}, not {want}" for a, (got, want) in expected.items() if got != want
    ]:
        raise ValueError("; ".join(wrong) + " (N images, K classes); pass arrays that fit")


def _over_patients(
    ratios: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    patients: Sequence[str],
    resamples: int,
    seed: int,
) -> tuple[dict[str, list[Score]], int]:
    """Scores of each structure and their mean, with intervals; and the number of patients.

    Each score is a pair (above, below) of arrays (N, K - 1), the ratio of whose sums over the
    images it is.
    """
    ids, owner = np.unique(np.asarray(patients), return_inverse=True)
    belongs = (owner == np.arange(len(ids))[:, None]).astype(np.float64)  # (P, N)
    draws = np.random.default_rng(seed).multinomial(
        len(ids), np.full(len(ids), 1 / len(ids)), size=resamples
    )
    columns: dict[str, list[Score]] = {}
    for name, parts in ratios.items():
        above, below = (belongs @ part for part in parts)  # (P, K - 1)
        value = _with_mean(_ratio(above.sum(0), below.sum(0)))
        spread = _with_mean(_ratio(draws @ above, draws @ below))
        columns[name] = [
            _interval(float(one), column, len(ids))
            for one, column in zip(value, spread.T, strict=True)
        ]
    return columns, len(ids)


def _ratio(above: _F64, below: _F64, otherwise: float = math.nan) -> _F64:
    """``above / below``; `otherwise` where nothing is below."""
    ratio: _F64 = np.divide(
        above, below, out=np.full(above.shape, float(otherwise)), where=below > 0
    )
    return ratio


def _with_mean(values: _F64) -> _F64:
    """Append the mean over the structures (last axis) that have a value."""
    some = ~np.isnan(values)
    mean = _ratio(np.where(some, values, 0).sum(-1), some.sum(-1).astype(np.float64))
    return np.concatenate([values, mean[..., None]], axis=-1)


def _interval(value: float, spread: _F64, patients: int) -> Score:
    # Resamples without any image of the structure say nothing and are left out.
    spread = spread[~np.isnan(spread)]
    if patients < 2 or math.isnan(value) or not len(spread):
        return Score(value)
    low, high = np.percentile(spread, (2.5, 97.5))
    return Score(value, float(low), float(high))


def _notes(rows: Sequence[Row], looked: NDArray[np.bool_], patients: int) -> list[str]:
    notes = []
    if unseen := [row.name for i, row in enumerate(rows) if not looked[:, i].any()]:
        notes.append(f"looked for in no image, so without scores: {', '.join(unseen)}")
    few = [row for row in rows if row.images < _FEW and row.name not in unseen]
    if few:
        numbers = ", ".join(f"{row.name} ({row.images})" for row in few)
        notes.append(f"in fewer than {_FEW} images, so the scores are mostly noise: {numbers}")
    if patients < 2:
        notes.append("one patient only: no intervals")
    return notes
