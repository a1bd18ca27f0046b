"""Dice and IoU of each structure, their means, and where they are worst; from confusion matrices.

By docs/method.md, section 8, a structure in neither map has no score and is left out of means; one
in a single map has Dice and IoU 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import LabelClass
from spad.metrics.confusion import Matrix

__all__ = ["StructureScore", "dice_per_slice", "mean_scores", "structure_scores", "worst_slices"]


@dataclass(frozen=True, slots=True)
class StructureScore:
    """Score of one structure.

    Parameters
    ----------
    value, name : int, str
        Of its class.
    dice, iou : float
        In 0..1; 0 if missed or invented, NaN if absent.
    state : {"compared", "absent", "missed", "invented"}
        In both maps, in neither, in the reference only, in the prediction only.
    reference_pixels, predicted_pixels : int
        Where the reference is not ignored.
    """

    value: int
    name: str
    dice: float
    iou: float
    state: Literal["compared", "absent", "missed", "invented"]
    reference_pixels: int
    predicted_pixels: int


def structure_scores(matrix: Matrix, classes: Sequence[LabelClass]) -> tuple[StructureScore, ...]:
    """Dice and IoU of every structure, which are all classes but the background (method, Eq. 24).

    Parameters
    ----------
    matrix : ndarray of int, shape (K, K) or (K, K + 1)
        From `confusion_matrix` or `LiveConfusion`.
    classes : sequence of LabelClass
        All K, background included.

    Returns
    -------
    tuple of StructureScore
        In the order of `classes`.

    Raises
    ------
    ValueError
        The matrix is not for K classes.
    """
    if matrix.ndim != 2 or len(matrix) != len(classes):
        raise ValueError(
            f"confusion matrix of shape {matrix.shape} for {len(classes)} classes; count with "
            f"num_classes={len(classes)}"
        )
    scores = []
    for c in classes:
        if c.value == 0:
            continue
        both, reference, predicted = (int(n) for n in _overlap(matrix, c.value))
        state: Literal["compared", "absent", "missed", "invented"]
        dice = iou = math.nan
        if not reference and not predicted:
            state = "absent"
        else:
            state = "missed" if not predicted else "compared" if reference else "invented"
            dice = 2 * both / (reference + predicted)
            iou = both / (reference + predicted - both)
        scores.append(StructureScore(c.value, c.name, dice, iou, state, reference, predicted))
    return tuple(scores)


def mean_scores(scores: Iterable[StructureScore]) -> tuple[float, float, int]:
    """Mean Dice and mean IoU of the structures that are not absent, and how many these are.

    Returns
    -------
    mean_dice, mean_iou : float
        NaN if all are absent.
    count : int
    """
    present = [s for s in scores if s.state != "absent"]
    if not present:
        return math.nan, math.nan, 0
    n = len(present)
    return sum(s.dice for s in present) / n, sum(s.iou for s in present) / n, n


def dice_per_slice(slices: Matrix, value: int) -> NDArray[np.float64]:
    """Dice of one class in every slice.

    Parameters
    ----------
    slices : ndarray of int, shape (Z, K, K) or (Z, K, K + 1)
    value : int
        The class, 0..K-1.

    Returns
    -------
    ndarray of float64, shape (Z,)
        NaN where the class is in neither map.
    """
    both, reference, predicted = _overlap(slices, value)
    total = reference + predicted
    dice = np.full(len(slices), math.nan)
    np.divide(2 * both, total, out=dice, where=total > 0)
    return dice


def worst_slices(slices: Matrix, value: int, count: int = 5) -> list[int]:
    """Up to `count` slices, lowest Dice of the class `value` first; those without it left out."""
    dice = dice_per_slice(slices, value)
    order = np.argsort(dice, kind="stable")  # NaN last
    return [int(z) for z in order[: np.count_nonzero(~np.isnan(dice))][:count]]


def _overlap(matrix: Matrix, value: int) -> tuple[Any, Any, Any]:
    """Pixels of a class in both maps, in the reference, in the prediction; axes (..., K, K[+1])."""
    return (
        matrix[..., value, value],
        matrix[..., value, :].sum(axis=-1),
        matrix[..., value].sum(axis=-1),
    )
