"""What lies between two B-scans that are right: their shapes, weighed against what a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.between.alignment import align
from spad.between.shapes import Shapes, interpolated
from spad.cases import luminance

__all__ = ["Neighbour", "mixed", "shapes_between"]

SPREAD = 3.0
"""Pixels over which the shapes are unsure, for each by which the two borders lie apart."""
LEAST_PX = 1.0
BELIEF = 5.0
"""So sure are the shapes at most, far from a border: the logarithm of a probability."""
TRUST = 0.3
"""The power of the model's probabilities, which are surer than they are right. These four by
`benchmarks/between.py`."""
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
    shapes: Shapes, probability: NDArray[Any], *, odds: float | None = None
) -> NDArray[np.uint8]:
    """Decide a label map by the product of the model's probabilities and the shapes'.

    Parameters
    ----------
    shapes : Shapes
        With distances (K, H, W).
    probability : array of float, shape (K, H, W)
        Of the model.
    odds : float, optional
        A structure is drawn where its probability times these exceeds the background's (of the
        model's card).

    Returns
    -------
    array of uint8, shape (H, W)

    Raises
    ------
    ValueError
        The two differ in shape.
    """
    if shapes.distances.shape != probability.shape:
        raise ValueError(
            f"distances of shape {shapes.distances.shape} and probabilities of shape "
            f"{probability.shape} cannot be mixed; give both of one B-scan and one model"
        )
    best = np.full(probability.shape[1:], -np.inf, np.float32)
    labels = np.zeros(best.shape, np.uint8)
    for value, (distance, p) in enumerate(zip(shapes.distances, probability, strict=True)):
        unsure_px = max(SPREAD * float(shapes.moved_px[value]), LEAST_PX)
        score = np.clip(distance / unsure_px, -BELIEF, BELIEF)
        score += TRUST * np.log(np.maximum(np.asarray(p, np.float32), _TINY))
        if not value and odds is not None:
            score -= np.log(odds)
        labels[score > best] = value
        np.maximum(best, score, out=best)
    return labels


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    return luminance(image) if image.ndim == 3 else image
