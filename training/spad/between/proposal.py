"""What lies between two B-scans that are right: their shapes, weighed against what a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.areas import drop_doubtful
from spad.between.alignment import align
from spad.between.shapes import Shapes, interpolated
from spad.cases import luminance
from spad.checkpoint import SamplingConfig

__all__ = ["Neighbour", "mixed", "shapes_between"]

SPREAD = 3.0
"""Pixels over which the shapes are unsure, for each by which the two borders lie apart."""
LEAST_PX = 1.0
BELIEF = 6.0
"""So sure are the shapes at most, far from a border: the logarithm of a probability."""
TRUST = 1 / 3
"""The power of the model's probabilities, which are surer than they are right."""
LEAST_WEIGHT = 0.4
"""Of the shapes, below which they are left aside. All of these by `benchmarks/between.py`."""
_TINY = 1e-3


@dataclass(frozen=True)
class Neighbour:
    """A B-scan that is right.

    Parameters
    ----------
    image : array of real dtype, shape (H, W) or (H, W, 3)
    labels : array of uint8, shape (H, W)
    """

    image: NDArray[Any]
    labels: NDArray[np.uint8]


def shapes_between(
    image: NDArray[Any],
    before: Neighbour,
    after: Neighbour,
    share: float,
    num_classes: int,
) -> Shapes:
    """Bring two neighbours onto a B-scan between them, and interpolate their shapes.

    Parameters
    ----------
    image : array of real dtype, shape (H, W) or (H, W, 3)
        The B-scan.
    before, after : Neighbour
    share : float
        How far it lies on the way from the first to the second, in 0..1.
    num_classes : int
        K; label values beyond are background.

    Returns
    -------
    Shapes

    Raises
    ------
    ValueError
        The B-scans differ in size, or the share is none.
    """
    onto = _grey(image)
    maps = [align(onto, _grey(n.image)).apply(n.labels) for n in (before, after)]
    return interpolated(maps[0], maps[1], share, num_classes)


def mixed(
    shapes: Shapes,
    alone: NDArray[np.uint8],
    probability: NDArray[Any],
    *,
    between: int = 1,
    rule: SamplingConfig,
) -> NDArray[np.uint8]:
    """Decide a label map by the product of the model's probabilities and the shapes'.

    The more B-scans lie between the two neighbours, the less their shapes count, unless they agree;
    where that is little, the model's own label map stands. As in that, a part in which the model
    nowhere reaches its card's peak is left out, but where both neighbours show the structure too.

    Parameters
    ----------
    shapes : Shapes
        With distances (K, H, W).
    alone : array of uint8, shape (H, W)
        The model's label map.
    probability : array of float, shape (K, H, W)
        Of the model.
    between : int
        How many B-scans lie between the neighbours.
    rule : SamplingConfig
        Of the model's card: its ``odds`` and ``peak``.

    Returns
    -------
    array of uint8, shape (H, W)

    Raises
    ------
    ValueError
        They differ in shape.
    """
    if shapes.distances.shape != probability.shape or alone.shape != probability.shape[1:]:
        raise ValueError(
            f"distances of shape {shapes.distances.shape}, probabilities of shape "
            f"{probability.shape} and a label map of shape {alone.shape} cannot be mixed; give all "
            "of one B-scan and one model"
        )
    weight = max(1 / between, shapes.agreement)
    if weight < LEAST_WEIGHT:
        return alone.copy()
    trust = 1 - weight * (1 - TRUST)
    best = np.full(alone.shape, -np.inf, np.float32)
    labels = np.zeros_like(alone)
    for value, (distance, p) in enumerate(zip(shapes.distances, probability, strict=True)):
        unsure_px = max(SPREAD * float(shapes.moved_px[value]), LEAST_PX)
        score = weight * np.clip(distance / unsure_px, -BELIEF, BELIEF)
        # method, Eq. 38
        score += trust * np.log(np.maximum(np.asarray(p, np.float32), _TINY))
        if not value and rule.odds is not None:
            score -= np.log(rule.odds)
        labels[score > best] = value
        np.maximum(best, score, out=best)
    sure = (np.maximum(p, shapes.shared == value) for value, p in enumerate(probability))
    drop_doubtful(labels, sure, rule.peak)
    return labels


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    return luminance(image) if image.ndim == 3 else image
