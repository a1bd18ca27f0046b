"""What a host asks of any segmenter, and gets: steps, then a segmentation on the image's grid."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spad.checkpoint import Card, LabelClass, refuse_masked
from spad.inference.stack import BScans, checked_bscans, checked_spacing, seed_number

__all__ = [
    "IN_MEMORY_BYTES",
    "AnySegmenter",
    "Segmentation",
    "Step",
    "drained",
    "finished",
    "room_for",
]

IN_MEMORY_BYTES = 2**25
"""A result's array of more bytes is mapped to a file."""

_Told = TypeVar("_Told")
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
        was said, image hash (of a stack, that of its slices' hashes), date, notice; and
        ``left_empty``, the slices that could not be read, where there are some.
    """

    labels: NDArray[np.uint8]
    samples: NDArray[np.uint8]
    uncertainty: NDArray[np.float16]
    probability: NDArray[np.float16] | None
    classes: tuple[LabelClass, ...]
    spacing_mm: tuple[float, ...] | None
    provenance: dict[str, Any]


class AnySegmenter(ABC):
    """A model ready to segment images and to learn, here or on a server."""

    card: Card
    device: Any
    """A `torch.device`; of a server its devices, in words."""
    sha256: str
    """Of the checkpoint file; empty for a model that was never saved."""

    def segment(
        self, image: Any, spacing_mm: tuple[float, ...] | None = None, **options: Any
    ) -> Segmentation:
        """Segment an image or stack in one call; arguments and errors as of :meth:`steps`.

        What the steps say comes as a ``UserWarning``.
        """
        return finished(self.steps(image, spacing_mm, **options))

    def steps(
        self,
        image: Any,
        spacing_mm: tuple[float, ...] | None = None,
        *,
        samples: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        clamp: NDArray[np.uint8] | None = None,
        region: NDArray[np.bool_] | None = None,
        start: NDArray[np.uint8] | None = None,
        t0: int | None = None,
        rgb: bool = False,
        inverted: bool = False,
        probability: bool = False,
        first_slice: int = 0,
        current: int | None = None,
    ) -> Generator[Step, None, Segmentation]:
        """Segment step by step; to cancel, stop iterating.

        Memory does not grow with the number of slices, but for the small results
        (:mod:`spad.inference.store`). Where a device has not enough of it, the run goes on with
        less at once, in tiles, or on the CPU, and says so.

        Parameters
        ----------
        image : array-like of any real dtype, shape (H, W) or (Z, H, W)
            With ``rgb`` a last axis of 3 or 4 is converted to luminance. A lazy stack is read slice
            by slice, each once.
        spacing_mm : tuple of float, optional
            Carried through to the result.
        samples : int, optional
            Chains, 1..64; the card's number if None.
        steps : int, optional
            Reverse steps of a chain; the card's number if None.
        seed : int
            In 0..2^64-1; the same seed gives the same draws.
        clamp : array of uint8, the image's shape, optional
            Class value of each pixel that a person fixed, 255 where free. Fixed pixels come out
            exactly, and tell of their neighbours, also from outside ``region``.
        region : array of bool, the image's shape, optional
            Only there may anything change against ``start``.
        start : array of uint8, the image's shape, optional
            Label map to keep outside ``region``, and to restart from if ``t0`` is below T.
        t0 : int, optional
            Time of the restart in 1..T: small keeps ``start``, mistakes included, T forgets it; T
            if None, from where corrections reach farthest.
        rgb : bool
        inverted : bool
            High values are dark (MONOCHROME1).
        probability : bool
            Keep the mean probabilities, K arrays of the image's size.
        first_slice : int
            Number of the first slice, for the draws and in the steps: a B-scan run alone under its
            own number comes out as in its stack.
        current : int, optional
            Number of the slice to begin with, as the one on screen; its neighbours follow outwards.
            The result is the same in any order.

        Yields
        ------
        Step

        Returns
        -------
        Segmentation

        Raises
        ------
        ValueError
            An image, a setting or an edit that does not fit; said before the first step. A bad
            slice of a lazy stack is found when its turn comes and then costs no other: it is left
            background, with uncertainty 1, and the step says so.
        OSError
            No room for the results of a large stack.
        MemoryError
            Even the least at once does not fit into the CPU's memory.
        """
        edits = {"clamp": clamp, "region": region, "start": start}
        for name, edit in edits.items():
            refuse_masked(name, edit)
        return self._steps(
            image,
            checked_spacing(spacing_mm),
            {name: np.asarray(edit) for name, edit in edits.items() if edit is not None},
            samples=samples,
            steps=steps,
            seed=seed,
            t0=t0,
            rgb=rgb,
            inverted=inverted,
            probability=probability,
            first_slice=first_slice,
            current=current,
        )

    def learn(
        self, images: Sequence[Any], label_maps: Sequence[NDArray[np.uint8]], **options: Any
    ) -> Self:
        """Learn from corrected B-scans in one call; arguments and errors as of :meth:`learn_steps`.

        What the steps say comes as a ``UserWarning``.
        """
        return finished(self.learn_steps(images, label_maps, **options))

    def learn_steps(
        self,
        images: Sequence[Any],
        label_maps: Sequence[NDArray[np.uint8]],
        *,
        classes: Sequence[LabelClass] | None = None,
        earlier: Iterable[tuple[Any, NDArray[np.uint8]]] = (),
        seed: int = 0,
        inverted: bool = False,
        **options: Any,
    ) -> Generator[Step, None, Self]:
        """Learn from corrected B-scans step by step; to cancel, stop iterating.

        This segmenter stays as it is. Where a device has not enough memory, fewer views are learnt
        from at once, or the CPU learns, and a step says so.

        Parameters
        ----------
        images : sequence of arrays of any real dtype, shape (H, W), or (H, W, 3) for colours
            B-scans of one case, of any sizes.
        label_maps : sequence of arrays of uint8, shape (H, W)
            Class value of each pixel, 255 where it does not count. A B-scan that is all 255 is left
            out.
        classes : sequence of LabelClass, optional
            The segmenter's own, then new ones; the last of these that no B-scan shows are left out,
            and the model that has learnt does not know them.
        earlier : iterable of (image, label map), optional
            B-scans of earlier cases, so that they are not forgotten.
        seed : int
            In 0..2^64-1; the same seed gives the same model on one device.
        inverted : bool
            High values are dark (MONOCHROME1).
        **options
            Of :class:`spad.learning.recipe.Recipe`.

        Yields
        ------
        Step
            ``slice_index`` is 0 and ``labels`` None.

        Returns
        -------
        segmenter
            On the same device, not saved yet.

        Raises
        ------
        ValueError
            No pixel counts, no structure is shown, or images, label maps, classes, seed or options
            that do not fit. After the last step: the weights that it led to are no numbers.
        MemoryError
            Even one view at once does not fit into the CPU's memory.
        """
        seed = seed_number(seed)
        options = {k: v.item() if isinstance(v, np.generic) else v for k, v in options.items()}
        count = max(len(self.card.classes), len(classes or ()))
        pairs = list(earlier)  # a zip is gone through once
        before = [image for image, _ in pairs], [labels for _, labels in pairs]
        return self._learn_steps(
            checked_bscans(images, label_maps, count),
            options,
            classes=classes,
            earlier=checked_bscans(*before, count, earlier=True),
            seed=seed,
            inverted=inverted,
        )

    def save(self, path: str | Path) -> None:
        """Write the model to a file, whole or not at all; opened, it gives the same results.

        Raises
        ------
        ValueError
            Only a server has it, or a weight is NaN or infinity.
        OSError
            It cannot be written.
        """
        self._save(Path(path))

    @abstractmethod
    def _steps(
        self,
        image: Any,
        spacing_mm: tuple[float, ...] | None,
        edits: Mapping[str, NDArray[Any]],
        **options: Any,
    ) -> Generator[Step, None, Segmentation]:
        """:meth:`steps`, with those edits that are given."""

    @abstractmethod
    def _learn_steps(
        self,
        bscans: BScans,
        options: Mapping[str, Any],
        *,
        classes: Sequence[LabelClass] | None,
        earlier: BScans,
        seed: int,
        inverted: bool,
    ) -> Generator[Step, None, Self]:
        """:meth:`learn_steps`, of B-scans that were checked."""

    @abstractmethod
    def _save(self, path: Path) -> None:
        """:meth:`save`."""


def drained(run: Generator[_Told, None, _Outcome], tell: Callable[[_Told], None]) -> _Outcome:
    """Run a generator to its end, telling all that it yields; gives what it returns."""
    while True:
        try:
            told = next(run)
        except StopIteration as stop:
            outcome: _Outcome = stop.value
            return outcome
        tell(told)


def finished(run: Generator[Step, None, _Outcome]) -> _Outcome:
    """What a run gives in the end; what it says meanwhile comes as a warning."""

    def warn(step: Step) -> None:
        if step.said:
            warnings.warn(step.said, stacklevel=5)

    return drained(run, warn)


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
