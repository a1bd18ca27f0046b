"""A run of the engine in a worker thread: progress, cancel, and errors that always come back.

Nothing of the engine is imported before it is needed: importing PyTorch takes seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk.background import EngineError, GeneratorWorker, explain
from napari_spad.layers import FIRST, Part, Source, numbered
from spad.annotation import RunProgress, followed, opened
from spad.autosave import Packed
from spad.inference import Engine

__all__ = ["Edits", "Engine", "Finished", "Request", "Run"]


Edits = Mapping[tuple[int, ...], Mapping[str, Any]]
"""What a person's corrections ask of `Segmenter.steps`, by the B-scan's place."""


@dataclass(frozen=True)
class Request:
    """What to run.

    Parameters
    ----------
    checkpoint : Path
    device : str
        "auto" or a torch device.
    source : Source
    samples : int
    steps : int or None
        None: as many as the checkpoint's card recommends.
    seed : int
    into_result : bool
        One B-scan of a stack, which may join an earlier result of the same image and model.
    edits : Edits
        clamp, region, start, t0.
    onward : bool
        Each B-scan starts from the label map of the one before it (in the order of the parts),
        unless its edits say where from.
    """

    checkpoint: Path
    device: str
    source: Source
    samples: int
    steps: int | None
    seed: int
    into_result: bool = False
    edits: Edits = field(default_factory=dict)
    onward: bool = False

    def work(self, engine: Engine) -> Generator[Any, None, None]:
        """What the worker does. It is closed when the run is cancelled; None is no news."""
        return segment_parts(engine, self)


@dataclass(frozen=True)
class Finished:
    """One B-scan's segmentation, where it was made, and what the engine said meanwhile."""

    part: Part
    segmentation: Any
    packed: Packed
    device: str
    said: tuple[str, ...] = ()

    @classmethod
    def of(cls, part: Part, segmentation: Any, said: tuple[str, ...] = ()) -> Finished:
        """Pack the samples. Meant for a worker thread: many take some time."""
        made = segmentation.provenance
        said = (*said, *made.get("said", ()))
        where = made["device"] + (" of the server" if "server" in made else "")
        return cls(part, segmentation, Packed.of(segmentation.samples), where, said)


def segment_parts(
    engine: Engine, request: Request
) -> Generator[str | RunProgress | Finished | None, None, None]:
    """Segment every part of a request, telling how far it is; None is no news.

    The B-scans of a stack are segmented one by one: each is complete, with its uncertainty and
    provenance, while the others are still to come, and is the same as if it had been run alone.
    One that cannot be read, or that the engine refuses, costs the others nothing: it is named in an
    error at the end.
    """
    from spad.annotation import LikenessWatch

    segmenter = yield from opened(engine, request.checkpoint, request.device)
    source, parts = request.source, request.source.parts
    card = getattr(segmenter, "card", None)  # a quick engine of the tests has none
    likeness = None
    if card is not None:
        likeness = LikenessWatch(card, source.spacing_mm, inverted=source.inverted)
    began = time.monotonic()
    last: Any = None
    bad: list[_BadBscan] = []
    alone = len(parts) == 1 or request.onward  # then there is nothing to go on with
    for number, part in enumerate(parts, start=1):
        edits = dict(request.edits.get(part.index, {}))
        if request.onward and last is not None:
            edits.setdefault("start", _fitted(last, (part.height, part.width)))
        if number == 1:
            yield "reading the image…"
        place = part.index[-1] + FIRST if part.index else None
        try:
            pixels = source.read(part)
            if warning := likeness.look(pixels, place) if likeness is not None else "":
                yield warning
            if source.inverted:
                edits["inverted"] = True
            steps = segmenter.steps(
                pixels,
                source.spacing_mm,
                samples=request.samples,
                steps=request.steps,
                seed=request.seed,
                rgb=pixels.ndim == 3,
                first_slice=part.index[-1] if part.index else 0,
                **edits,
            )
            made = yield from followed(steps, number=number, count=len(parts), began=began)
        except (ValueError, OSError) as error:
            if alone:
                raise
            bad.append(_BadBscan(part, error))
            continue
        last = made.labels
        yield Finished.of(part, made, (warning,) if warning else ())
    if bad:
        raise _told(bad, len(parts)) from bad[0].error


def _fitted(labels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map at another B-scan's size: cut, or background below and at the right."""
    out = np.zeros(shape, np.uint8)
    both = tuple(slice(min(sizes)) for sizes in zip(labels.shape, shape, strict=True))
    out[both] = labels[both]
    return out


@dataclass(frozen=True)
class _BadBscan:
    part: Part
    error: ValueError | OSError


def _told(bad: list[_BadBscan], count: int) -> ValueError:
    """Say which B-scans were left out, and why the first of them."""
    why = explain(bad[0].error)
    if len(bad) == count:
        return ValueError(f"none of the {count} B-scans could be segmented: {why}")
    places = ", ".join(numbered(one.part.index[-1]) for one in bad[:8])
    more = " and others" * (len(bad) > 8)
    return ValueError(
        f"{count - len(bad)} of {count} B-scans are done; left out: {places}{more} ({why})"
    )


TAKEN_S = 5.0
"""So long a B-scan that is done waits for the window to take it, at most."""


def _guarded(
    engine: Engine, request: Request, taken: threading.Event, cancelled: threading.Event
) -> Generator[Any, None, None]:
    try:
        # Closed here, in its thread, and not when Python comes to it: it may hold a process.
        with closing(request.work(engine)) as events:
            for event in events:
                if cancelled.is_set():
                    return
                if event is None:
                    continue
                taken.clear()
                yield event
                # The window would fight for the interpreter's lock with the next B-scan's steps,
                # and stand still for seconds; so those wait until it has shown this one.
                taken.wait(TAKEN_S)
                if cancelled.is_set():
                    return
    except Exception as error:
        raise EngineError(explain(error)) from error


class Run(QObject):
    """One run in a worker thread. `ended` comes once and always, last of all.

    Parameters
    ----------
    engine : Engine
    request : Request
    """

    told = Signal(str)
    progressed = Signal(object)
    part_finished = Signal(object)
    failed = Signal(str)
    ended = Signal(bool)  # whether it ran to its end

    def __init__(self, engine: Engine, request: Request) -> None:
        super().__init__()
        self.request = request
        self._complete = False
        self._taken, self._cancelled = threading.Event(), threading.Event()
        self._worker: GeneratorWorker | None = GeneratorWorker(
            _guarded, engine, request, self._taken, self._cancelled
        )
        self._worker.yielded.connect(self._on_yield)
        self._worker.returned.connect(self._on_return)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finish)

    def start(self) -> None:
        """Begin."""
        if self._worker is not None:
            self._worker.start()

    def cancel(self) -> None:
        """End it after the current step."""
        self._cancelled.set()
        self._taken.set()

    # Methods of a QObject that lives in the main thread: Qt queues the worker's signals to there.
    def _on_yield(self, event: Any) -> None:
        try:
            if isinstance(event, str):
                self.told.emit(event)
            elif isinstance(event, RunProgress):
                self.progressed.emit(event)
            else:
                self.part_finished.emit(event)
        finally:
            self._taken.set()

    def _on_return(self, _: object) -> None:
        self._complete = not self._cancelled.is_set()

    def _on_error(self, error: Exception) -> None:
        self.failed.emit(explain(error))

    def _on_finish(self, _: object = None) -> None:
        if self._worker is not None:
            self._worker = None
            self.ended.emit(self._complete)
