"""Results of a run, slice by slice: in memory while they are small, else in temporary files.

The files have no name, or vanish with their last handle (Windows): whatever ends the process, the
operating system frees them, at the latest when the last array is gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spad.checkpoint import IGNORE
from spad.inference.ensemble import Outcome
from spad.inference.request import held_pixels, restore_edits

__all__ = ["IN_MEMORY_BYTES", "Store"]

IN_MEMORY_BYTES = 2**25
"""A result's array of more bytes is mapped to a file."""


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
        self.labels: NDArray[np.uint8] = _zeros(full, np.uint8)
        self.samples: NDArray[np.uint8] = _zeros((samples, *full), np.uint8)
        self.uncertainty: NDArray[np.float16] = _zeros(full, np.float16)
        self.probability: NDArray[np.float16] | None = None
        if probability:
            self.probability = _zeros((num_classes, *full), np.float16)

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


def _zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros, mapped to a temporary file where it exceeds :data:`IN_MEMORY_BYTES`.

    Raises
    ------
    OSError
        The folder of temporary files has no room for it.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY_BYTES:
        return np.zeros(shape, dtype)
    folder = tempfile.gettempdir()
    try:
        # A hole in a file is no promise of room: writing to it later would kill the process.
        if shutil.disk_usage(folder).free < size:
            raise OSError("not enough room")
        with tempfile.TemporaryFile(dir=folder, prefix="spad-") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise OSError(
            f"the result needs {size / 1e9:.1f} GB in {folder}, the folder of temporary files, "
            f"which cannot take them ({error.strerror or error}); free some room, name another "
            "folder in the environment variable TMPDIR, ask for fewer samples, or segment the "
            "stack in parts with first_slice"
        ) from error
