"""NumPy in, a Segmentation out: what a host calls to run a model on an image.

What is asked is checked (:mod:`spad.inference.request`). Then each slice
(:mod:`spad.inference.stack`) is, as the checkpoint's card says, normalised and
letterboxed (:mod:`spad.inference.letterbox`), encoded once for all its chains
(:mod:`spad.inference.model`), with as much at once as the memory takes
(:mod:`spad.inference.batches`), and comes back on the image's own grid
(:mod:`spad.inference.store`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import checkpoint
from spad.cases import luminance
from spad.checkpoint import IGNORE, NOTICE, Card, InputConfig, LabelClass
from spad.inference.batches import Runner, Slice
from spad.inference.ensemble import Outcome
from spad.inference.learning_steps import learning_steps
from spad.inference.letterbox import Frame, frame_of, normalise
from spad.inference.memory_ladder import KEPT, Limits, placed, release
from spad.inference.model import Model
from spad.inference.request import Request, checked, held_pixels
from spad.inference.segmentation import Segmentation, Step, finished
from spad.inference.stack import BadSlice, order_of
from spad.inference.store import Store
from spad.learning import Recipe
from spad.network import Network, build, devices, pick_device

__all__ = ["Segmentation", "Segmenter", "Step", "devices", "load"]


class Segmenter:
    """A model ready to segment images.

    Parameters
    ----------
    card : Card
    network : Network
        In evaluation mode, on ``device``.
    device : torch.device
    sha256 : str
        Of the checkpoint file; empty for a model that was never saved.
    limits : Limits, optional
        How much of a run is done at once.
    """

    def __init__(
        self,
        card: Card,
        network: Network,
        device: torch.device,
        sha256: str = "",
        limits: Limits | None = None,
    ) -> None:
        self.card = card
        self.device = device
        self.sha256 = sha256
        self._limits = limits or Limits()
        self._model = Model(card, network, device)

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
            Non-negative; the same seed gives the same draws.
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
            Number of the slice to begin with; its neighbours follow, the result is the same.

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
        request = checked(
            self._model,
            image,
            spacing_mm,
            samples=samples,
            steps=steps,
            seed=seed,
            t0=t0,
            rgb=rgb,
            inverted=inverted,
            first_slice=first_slice,
            current=current,
            clamp=clamp,
            region=region,
            start=start,
        )
        stack, n = request.stack, request.samples
        store = Store(stack.shape, n, len(self.card.classes), probability=probability)
        frame = frame_of(stack.plane, self.card.input, self.card.network.stride)
        runner = Runner(
            self._model,
            self._limits,
            frame,
            request.times,
            chains=n,
            depth=stack.depth,
            seed=request.seed,
        )
        prepare = partial(_prepared, request, frame, self.card.input)
        try:
            said = yield from _run(request, prepare, runner, store)
        finally:
            release(self.device, KEPT)
        return Segmentation(
            **store.arrays(),
            classes=self.card.classes,
            spacing_mm=request.spacing_mm,
            provenance=self._provenance(request, runner, said),
        )

    def learn(
        self, images: Sequence[Any], label_maps: Sequence[NDArray[np.uint8]], **options: Any
    ) -> Segmenter:
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
        earlier: Sequence[tuple[Any, NDArray[np.uint8]]] = (),
        seed: int = 0,
        inverted: bool = False,
        **options: Any,
    ) -> Generator[Step, None, Segmenter]:
        """Learn from corrected B-scans step by step; to cancel, stop iterating.

        This segmenter stays as it is. Where a device has not enough memory, fewer views are learnt
        from at once, or the CPU learns, and a step says so.

        Parameters
        ----------
        images : sequence of arrays of any real dtype, shape (H, W), or (H, W, 3) for colours
            B-scans of one case, of any sizes.
        label_maps : sequence of arrays of uint8, shape (H, W)
            Class value of each pixel, 255 where it does not count.
        classes : sequence of LabelClass, optional
            The segmenter's own, then new ones.
        earlier : sequence of (image, label map), optional
            B-scans of earlier cases, so that they are not forgotten.
        seed : int
            The same seed gives the same model on one device.
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
        Segmenter
            On the same device, not saved yet.

        Raises
        ------
        ValueError
            No pixel counts, no structure is shown, or images, label maps, classes or options that
            do not fit.
        MemoryError
            Even one view at once does not fit into the CPU's memory.
        """
        card, network = yield from learning_steps(
            self._model,
            images,
            label_maps,
            classes=classes,
            earlier=earlier,
            seed=seed,
            inverted=inverted,
            recipe=Recipe(**options),
        )
        return Segmenter(card, network, self.device, limits=self._limits)

    def save(self, path: str | Path) -> None:
        """Write the model to a file, whole or not at all.

        Raises
        ------
        OSError
            It cannot be written.
        """
        checkpoint.save(path, self.card, self._model.network.state_dict())
        self.sha256 = checkpoint.sha256(path)

    def _provenance(self, request: Request, runner: Runner, said: list[str]) -> dict[str, Any]:
        return {
            "checkpoint": {"name": self.card.name, "sha256": self.sha256},
            "spad": _version(),
            "torch": torch.__version__,
            "device": ", ".join(runner.devices) or str(self.device),
            "seed": request.seed,
            "steps": len(request.times),
            "samples": request.samples,
            "t0": request.t0,
            "said": said,
            "image_sha256": request.stack.sha256(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "notice": NOTICE,
        }


def _run(
    request: Request, prepare: Callable[[int], Slice], runner: Runner, store: Store
) -> Generator[Step, None, list[str]]:
    """Run every slice and store its outcome; give what was said meanwhile."""
    depth, first, each = request.stack.depth, request.first_slice, len(request.times)
    total, done, past = depth * each, 0, 0
    said: list[str] = []
    waiting = order_of(depth, request.current)
    ready: dict[int, Slice] = {}  # also what a batch that shrank left over: none is read twice
    while waiting:
        for z in [z for z in waiting[: runner.plan.slices] if z not in ready]:
            try:
                ready[z] = prepare(z)
            except BadSlice as error:
                waiting.remove(z)
                store.leave_empty(z)
                said.append(f"{error}. It is left empty; the others are not touched by this")
                past += each
                done = max(done, past)
                yield Step(done, total, first + z, store.labels[z], said[-1])
        if not ready:
            continue
        batch = list(ready)
        run = runner.run(list(ready.values()))
        while True:
            try:
                event = next(run)
            except StopIteration as stop:
                outcomes: list[Outcome] = stop.value
                break
            if isinstance(event, str):
                said.append(event)
                yield Step(done, total, first + batch[0], None, event)
            elif event < each:
                # Not back to the batch's first step where it had to be run again.
                done = max(done, past + event * min(len(batch), runner.plan.slices))
                yield Step(done, total, first + batch[0], None)
        for z, outcome in zip(batch, outcomes, strict=False):
            store.put(z, outcome, request.edits_of(z))
            waiting.remove(z)
            del ready[z]
            past += each
            done = max(done + 1, past)
            yield Step(done, total, first + z, store.labels[z])
    return said


def load(path: str | Path, device: str = "auto") -> Segmenter:
    """Open a checkpoint for segmenting.

    Parameters
    ----------
    path : path-like, or the name of a model (`spad models`)
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    Segmenter

    Raises
    ------
    ValueError
        Not a checkpoint of SPAD (the message says what it is), or no such device.
    MemoryError
        The device has no room for the model. "auto" warns, and takes the CPU.
    OSError
        The file cannot be read.
    """
    target = pick_device(device)
    file = checkpoint.model_path(path)
    card, tensors = checkpoint.load(file)
    network = build(card.network, len(card.classes), tensors)
    sha256 = checkpoint.sha256(file)
    return placed(
        lambda place: Segmenter(card, network, place, sha256), target, else_cpu=device == "auto"
    )


def _prepared(request: Request, frame: Frame, config: InputConfig, z: int) -> Slice:
    """Read a slice, and bring it and its edits onto the network's grid."""
    raw, fixed = request.stack.read(z), request.edits_of(z)
    grey = luminance(raw) if request.rgb else raw
    return Slice(
        request.first_slice + z,
        frame.image(normalise(grey, config, inverted=request.inverted)),
        start=_on_grid(frame, fixed.get("start"), 0),
        clamp=_on_grid(frame, held_pixels(fixed), IGNORE),
        hints=_on_grid(frame, fixed.get("clamp"), IGNORE),
    )


def _on_grid(frame: Frame, labels: NDArray[np.uint8] | None, padding: int) -> Tensor | None:
    """A label map (H, W) as a batch of one on the network's grid."""
    return None if labels is None else torch.from_numpy(frame.labels(labels, padding))[None]


def _version() -> str:
    try:
        return version("napari-spad")
    except PackageNotFoundError:
        return "not installed"
