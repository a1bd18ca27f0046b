"""What a run gives: a step at a time, then a segmentation on the image's own grid."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import LabelClass

__all__ = ["Segmentation", "Step", "finished"]

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of a run.

    Parameters
    ----------
    done, total : int
        Network steps, over all slices.
    slice_index : int
        The slice at work (0 for a single image).
    labels : array of uint8, shape (H, W), or None
        The slice's label map, as soon as it is final.
    said : str
        What the user has to know of it, such as a fall-back for lack of memory; mostly empty. All
        of it stands in the provenance too.
    """

    done: int
    total: int
    slice_index: int
    labels: NDArray[np.uint8] | None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Result of a run, on the image's own grid; of a large stack, mapped to temporary files.

    Parameters
    ----------
    labels : array of uint8, shape (H, W) or (Z, H, W)
        The most probable class, by the mean probability of the samples.
    samples : array of uint8, shape (N, *labels.shape)
        Each chain's own label map.
    uncertainty : array of float16, shape of labels
        Entropy of the mean probabilities divided by log K, in 0..1.
    probability : array of float16, shape (K, *labels.shape), or None
        Mean probabilities, where they were asked for.
    classes : tuple of LabelClass
    spacing_mm : tuple of float or None
        As given.
    provenance : dict
        JSON values: checkpoint, versions, device (all that were used), seed, steps, samples, what
        was said, image hash (of a stack, that of its slices' hashes), date, notice.
    """

    labels: NDArray[np.uint8]
    samples: NDArray[np.uint8]
    uncertainty: NDArray[np.float16]
    probability: NDArray[np.float16] | None
    classes: tuple[LabelClass, ...]
    spacing_mm: tuple[float, ...] | None
    provenance: dict[str, Any]


def finished(run: Generator[Step, None, _Outcome]) -> _Outcome:
    """What a run gives in the end; what it says meanwhile comes as a warning."""
    while True:
        try:
            step = next(run)
        except StopIteration as stop:
            outcome: _Outcome = stop.value
            return outcome
        if step.said:
            warnings.warn(step.said, stacklevel=3)
