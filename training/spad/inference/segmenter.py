"""NumPy in, a Segmentation out: what a host calls to run a model on an image.

What is asked is checked (:mod:`spad.inference.request`). Then each slice
(:mod:`spad.inference.stack`) is, as the checkpoint's card says, normalised and
letterboxed (:mod:`spad.inference.letterbox`), encoded once for all its chains
(:mod:`spad.inference.model`), with as much at once as the memory takes
(:mod:`spad.inference.batches`), and comes back on the image's own grid
(:mod:`spad.inference.store`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad import checkpoint
from spad.cases import luminance
from spad.checkpoint import NOTICE, Card, InputConfig, from_json
from spad.inference.batches import Runner, Slice
from spad.inference.ensemble import Outcome
from spad.inference.learning_steps import learning_steps, with_gradients
from spad.inference.letterbox import Frame, frame_of, normalise
from spad.inference.memory_ladder import KEPT, Limits, placed, release
from spad.inference.model import Model
from spad.inference.request import Request, checked, held_pixels
from spad.inference.segmentation import AnySegmenter, Segmentation, Step
from spad.inference.stack import BadSlice, BScans, order_of
from spad.inference.store import Store
from spad.learning import Recipe
from spad.network import Network, build, devices, pick_device

__all__ = ["Segmentation", "Segmenter", "Step", "devices", "load"]


class Segmenter(AnySegmenter):
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
    origin : mapping of str to Tensor, optional
        Of a model that has learnt from corrections: what learns as it was before the first lesson.
    """

    def __init__(
        self,
        card: Card,
        network: Network,
        device: torch.device,
        sha256: str = "",
        limits: Limits | None = None,
        origin: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.card = card
        self.device = device
        self.sha256 = sha256
        self._limits = limits or Limits()
        self._origin = origin
        self._model = Model(card, network, device)

    def _steps(
        self,
        image: Any,
        spacing_mm: tuple[float, ...] | None,
        edits: Mapping[str, NDArray[Any]],
        *,
        probability: bool = False,
        **options: Any,
    ) -> Generator[Step, None, Segmentation]:
        request = checked(self._model, image, edits, **options)
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
            said, empty = yield from _run(request, prepare, runner, store)
        finally:
            release(self.device, KEPT)
        return Segmentation(
            **store.arrays(),
            classes=self.card.classes,
            spacing_mm=spacing_mm,
            provenance=self._provenance(request, runner, said, empty),
        )

    def _learn_steps(
        self,
        bscans: BScans,
        options: Mapping[str, Any],
        **asked: Any,
    ) -> Generator[Step, None, Self]:
        recipe = from_json(Recipe, options, "learn")
        run = learning_steps(self._model, bscans, origin=self._origin, recipe=recipe, **asked)
        card, network, origin = yield from with_gradients(run, self.device)
        return type(self)(card, network, self.device, limits=self._limits, origin=origin)

    def _save(self, path: Path) -> None:
        tensors = self._model.network.state_dict()
        checkpoint.save(path, self.card, tensors, origin=self._origin, half=None)
        self.sha256 = checkpoint.sha256(path)

    def _provenance(
        self, request: Request, runner: Runner, said: list[str], empty: list[int]
    ) -> dict[str, Any]:
        return {
            "checkpoint": {"name": self.card.name, "sha256": self.sha256},
            "phantoms_only": list(self.card.phantoms_only),
            "spad": _version(),
            "torch": torch.__version__,
            "device": ", ".join(runner.devices) or str(self.device),
            "seed": request.seed,
            "steps": len(request.times),
            "samples": request.samples,
            "t0": request.t0,
            "said": said,
            **({"left_empty": empty} if empty else {}),
            "image_sha256": request.stack.sha256(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "notice": NOTICE,
        }


def _run(
    request: Request, prepare: Callable[[int], Slice], runner: Runner, store: Store
) -> Generator[Step, None, tuple[list[str], list[int]]]:
    """Run every slice and store its outcome; give what was said, and which were left empty."""
    depth, first, each = request.stack.depth, request.first_slice, len(request.times)
    total, done, past = depth * each, 0, 0
    said: list[str] = []
    empty: list[int] = []
    waiting = order_of(depth, request.current)
    ready: dict[int, Slice] = {}  # also what a batch that shrank left over: none is read twice
    while waiting:
        for z in [z for z in waiting[: runner.plan.slices] if z not in ready]:
            try:
                ready[z] = prepare(z)
            except BadSlice as error:
                waiting.remove(z)
                store.leave_empty(z)
                empty.append(first + z)
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
    return said, sorted(empty)


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
    sha256, origin = checkpoint.sha256(file), checkpoint.load_origin(file)
    return placed(
        lambda place: Segmenter(card, network, place, sha256, origin=origin),
        target,
        else_cpu=device == "auto",
    )


def _prepared(request: Request, frame: Frame, config: InputConfig, z: int) -> Slice:
    """Read a slice, and bring it and its edits onto the network's grid."""
    raw, fixed = request.stack.read(z), request.edits_of(z)
    grey = luminance(raw) if request.rgb else raw
    return Slice(
        request.first_slice + z,
        frame.image(normalise(grey, config, inverted=request.inverted)),
        start=_batch(fixed.get("start"), partial(frame.labels, padding=0)),
        clamp=_batch(held_pixels(fixed), frame.strokes),
        hints=_batch(fixed.get("clamp"), frame.strokes),
    )


def _batch(
    labels: NDArray[np.uint8] | None, on_grid: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> Tensor | None:
    """A label map (H, W) as a batch of one on the network's grid."""
    return None if labels is None else torch.from_numpy(on_grid(labels))[None]


def _version() -> str:
    try:
        return version("napari-spad")
    except PackageNotFoundError:
        return "not installed"
