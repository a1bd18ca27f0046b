"""What a run gives: a step at a time, then a segmentation on the image's own grid."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spad.checkpoint import LabelClass

__all__ = ["IN_MEMORY_BYTES", "Segmentation", "Step", "finished", "room_for"]

IN_MEMORY_BYTES = 2**25
"""A result's array of more bytes is mapped to a file."""

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


def room_for(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros, mapped to a temporary file where it exceeds :data:`IN_MEMORY_BYTES`.

    The file has no name, or vanishes with its last handle (Windows): whatever ends the process, the
    operating system frees it, at the latest when the array is gone.

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
