"""Results of a run, slice by slice, in arrays of :func:`spad.inference.segmentation.room_for`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE
from spad.inference.ensemble import Outcome
from spad.inference.request import held_pixels, restore_edits
from spad.inference.segmentation import room_for

__all__ = ["Store"]


class Store:
    """The arrays of a :class:`spad.Segmentation`, of Z slices (Z = 1 for one B-scan).

    Parameters
    ----------
    shape : tuple of int
        (H, W) or (Z, H, W).
    samples, num_classes : int
    probability : bool
        Keep the mean probabilities.

    Raises
    ------
    OSError
        The folder of temporary files has no room.
    """

    def __init__(
        self, shape: tuple[int, ...], samples: int, num_classes: int, *, probability: bool
    ) -> None:
        self._shape = shape
        full = (1, *shape) if len(shape) == 2 else shape
        self.labels: NDArray[np.uint8] = room_for(full, np.uint8)
        self.samples: NDArray[np.uint8] = room_for((samples, *full), np.uint8)
        self.uncertainty: NDArray[np.float16] = room_for(full, np.float16)
        self.probability: NDArray[np.float16] | None = None
        if probability:
            self.probability = room_for((num_classes, *full), np.float16)

    def put(self, z: int, outcome: Outcome, fixed: dict[str, NDArray[Any]]) -> None:
        """Write slice z, with the pixels that its edits hold."""
        self.labels[z] = outcome.labels
        self.samples[:, z] = outcome.samples
        self.uncertainty[z] = outcome.uncertainty
        if self.probability is not None:
            held = held_pixels(fixed)
            for k, plane in enumerate(outcome.mean):
                self.probability[k, z] = (
                    plane if held is None else np.where(held == IGNORE, plane, held == k)
                )
        restore_edits(fixed, self.labels[z], self.samples[:, z], self.uncertainty[z])

    def leave_empty(self, z: int) -> None:
        """Mark slice z as one of which nothing is known: background, uncertainty 1."""
        self.uncertainty[z] = 1
        if self.probability is not None:
            self.probability[0, z] = 1

    def arrays(self) -> dict[str, Any]:
        """Arrays of a :class:`spad.Segmentation` by name, in the image's shape."""
        found: dict[str, NDArray[Any] | None] = {
            "labels": self.labels,
            "samples": self.samples,
            "uncertainty": self.uncertainty,
            "probability": self.probability,
        }
        return {
            name: None if one is None else one.reshape(*one.shape[:-3], *self._shape)
            for name, one in found.items()
        }
