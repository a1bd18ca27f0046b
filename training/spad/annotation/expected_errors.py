"""Where to look next: how wrong a B-scan is likely to be, judged by its uncertainty alone.

The uncertainty of a pixel is the entropy of the mean probabilities
(:mod:`spad.inference.ensemble`). Read as if two classes shared the pixel, it gives the chance that
the label there is wrong. Summed within a structure and in a band around it, these chances are the
pixels that one expects to be false and missed, and so give an expected Dice.

Only structures in the label map are judged. Those that it lacks and single samples show tell less:
counting them ranked real B-scans worse (``benchmarks/review.py`` compares the candidates). So did
counting one that phantoms alone have taught, whose uncertainty on real images nobody has checked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.checkpoint import LabelClass

__all__ = [
    "BAND_PX",
    "Expected",
    "expected_error",
    "mismatch",
    "taught_by_phantoms",
    "uncertain_spot",
]

BAND_PX = 16
"""How far from a structure its missed pixels are looked for."""
DOUBTFUL = 0.25
"""Chance of a wrong label from which on a pixel belongs to an uncertain region."""

_CHANCE = np.linspace(0, 0.5, 257)
_ENTROPY = -(
    _CHANCE * np.log(np.maximum(_CHANCE, 1e-300)) + (1 - _CHANCE) * np.log(1 - _CHANCE)
)  # of two classes, in nats


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a B-scan's label map.

    Parameters
    ----------
    error : float
        1 less the mean of the expected Dice over the structures of the label map that count, in
        0..1; without a structure the greatest chance that any pixel should have been one.
    dice : dict of int to float
        Expected Dice of each structure of the label map.
    spot : (row, column) or None
        A pixel amid the largest uncertain region; None where nothing is uncertain.
    shown : int
        Pixels of the structures that count.
    """

    error: float
    dice: dict[int, float]
    spot: tuple[int, int] | None
    shown: int


def expected_error(
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.floating],
    num_classes: int,
    aside: Collection[int] = (),
) -> Expected:
    """How wrong a label map is likely to be.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
    uncertainty : array of float, shape (H, W)
        In 0..1, of the run that made the label map.
    num_classes : int
        K, background included.
    aside : collection of int
        Structures that count only where the label map has no others, as
        :func:`taught_by_phantoms` names them.

    Returns
    -------
    Expected

    Raises
    ------
    ValueError
        Shapes that do not fit each other, or an uncertainty outside 0..1.
    """
    if labels.ndim != 2 or labels.shape != uncertainty.shape:
        raise ValueError(
            f"labels of shape {labels.shape}, uncertainty of {uncertainty.shape}; give one B-scan, "
            "(H, W) both"
        )
    wrong = mismatch(uncertainty, num_classes)
    dice, shown = {}, 0
    for value, box in enumerate(ndimage.find_objects(np.where(labels < num_classes, labels, 0)), 1):
        if box is not None:
            wide = tuple(
                slice(max(s.start - BAND_PX, 0), s.stop + BAND_PX) for s in box
            )  # what is further away does not count
            own = labels[wide] == value
            dice[value] = _expected_dice(own, labels[wide] == 0, wrong[wide])
            shown += 0 if value in aside else int(np.count_nonzero(own))
    counted = [one for value, one in dice.items() if value not in aside] or [*dice.values()]
    error = 1 - math.fsum(counted) / len(counted) if counted else float(wrong.max(initial=0))
    return Expected(error, dice, uncertain_spot(wrong), shown)


def taught_by_phantoms(
    classes: Sequence[LabelClass], provenance: Iterable[Mapping[str, Any]]
) -> frozenset[int]:
    """Values of the structures that phantoms alone have taught the models of a result's runs.

    Parameters
    ----------
    classes : sequence of LabelClass
    provenance : iterable of mapping
        As of :class:`spad.inference.Segmentation`, one of each run.
    """
    said = [run.get("phantoms_only") for run in provenance]
    names = [name for names in said if isinstance(names, list) for name in names]
    return frozenset(c.value for c in classes if c.name in names)


def mismatch(uncertainty: NDArray[np.floating], num_classes: int) -> NDArray[np.float32]:
    """Chance that a pixel's label is wrong (method, Eq. 31).

    Exact where two classes share the pixel; from log 2 upwards a straight line, to 1 - 1/K where
    all classes are as likely.

    Parameters
    ----------
    uncertainty : array of float
        Entropy over log K, in 0..1.
    num_classes : int
        K.

    Returns
    -------
    array of float32

    Raises
    ------
    ValueError
        An uncertainty outside 0..1, or fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(
            f"num_classes is {num_classes}; a label map has 2 or more, with background"
        )
    # Of float16, what numpy looks up slowly, there are but few values between 0 and 1.
    levels = np.asarray(uncertainty, np.float16) + np.float16(0)  # -0 has a sign bit too
    codes = levels.view(np.uint16)
    if codes.max(initial=0) > _ONE:  # negative ones and NaN too: the sign bit, the exponent
        raise ValueError(
            f"uncertainty lies in {np.nanmin(uncertainty)}..{np.nanmax(uncertainty)}, with NaN or "
            "not; give that of a segmentation, 0..1"
        )
    return np.take(_table(num_classes), codes)


_ONE = int(np.float16(1).view(np.uint16))


def _table(num_classes: int) -> NDArray[np.float32]:
    """Chance for every float16 in 0..1, by its bits."""
    entropy = np.arange(_ONE + 1, dtype=np.uint16).view(np.float16) * math.log(num_classes)
    chance = np.interp(
        entropy, [*_ENTROPY, math.log(num_classes) + 1e-9], [*_CHANCE, 1 - 1 / num_classes]
    )
    return np.asarray(chance, np.float32)


def _expected_dice(
    structure: NDArray[np.bool_], background: NDArray[np.bool_], wrong: NDArray[np.float32]
) -> float:
    predicted = np.count_nonzero(structure)
    right = predicted - float(wrong[structure].sum(dtype=np.float64))
    near = ndimage.maximum_filter(structure.view(np.uint8), 2 * BAND_PX + 1, mode="constant")
    missed = float(wrong[(near > 0) & background].sum(dtype=np.float64))
    # method, Eq. 32
    return 2 * right / (predicted + right + missed)


def uncertain_spot(wrong: NDArray[np.float32]) -> tuple[int, int] | None:
    """Find the middle of the largest uncertain region.

    Parameters
    ----------
    wrong : array of float32, shape (H, W)
        From `mismatch`.

    Returns
    -------
    (row, column) or None
        Of the region with the most pixels expected to be wrong, the one of its pixels that is
        nearest to its centre: regions are rings as often as not.
    """
    highest = float(wrong.max(initial=0))
    if highest <= 0:
        return None
    regions, count = ndimage.label(wrong >= min(DOUBTFUL, highest), np.ones((3, 3), bool))
    sums = np.bincount(regions.ravel(), wrong.ravel(), count + 1)
    sums[0] = -1
    rows, columns = np.nonzero(regions == sums.argmax())
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(rows[nearest]), int(columns[nearest])
