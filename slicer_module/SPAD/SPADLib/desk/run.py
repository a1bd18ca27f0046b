"""A run of the engine as a generator of short steps: what a timer pulls, or a batch drains."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.annotation import RunProgress, followed, opened
from spad.inference import Engine
from SPADLib.desk.words import FIRST, numbered
from SPADLib.scene import Source

__all__ = ["Done", "Event", "Request", "carried", "drain", "events"]


@dataclass(frozen=True)
class Request:
    """What to run.

    Parameters
    ----------
    checkpoint : Path
    device : str
        "auto" or a torch device.
    bscans : range
        Consecutive B-scans of the input; a falling range is for `carried`.
    samples : int, optional
    steps : int, optional
        Both the card's where None.
    seed : int
    probability : bool
    current : int, optional
        The B-scan on screen, which comes first.
    edits : mapping
        clamp, region, start, t0 of `Segmenter.steps`, (H, W), for a single B-scan.
    """

    checkpoint: Path
    device: str
    bscans: range
    samples: int | None = None
    steps: int | None = None
    seed: int = 0
    probability: bool = False
    current: int | None = None
    edits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a run made of the B-scans from `first` on, and the seconds that it took."""

    segmentation: Any
    first: int
    seconds: float


Event = str | RunProgress | Done | None


def events(
    engine: Engine,
    request: Request,
    source: Source,
    *,
    number: int = 1,
    count: int = 1,
    began: float | None = None,
) -> Generator[Event, None, None]:
    """Run a model on B-scans of a volume; to cancel, stop iterating.

    Parameters
    ----------
    engine : Engine
    request : Request
    source : Source
    number, count, began
        Of one among runs that are alike, as of `spad.annotation.followed`.

    Yields
    ------
    str
        A word for the person, of what is going on or what the engine noticed.
    RunProgress
    None
        Nothing new: a server has not gone on.
    Done
        Once, last of all.

    Raises
    ------
    ValueError, OSError, MemoryError
        As of `Segmenter.steps`; or a B-scan that the volume does not have.
    """
    first, last = request.bscans[0], request.bscans[-1]
    if not 0 <= first <= last < source.depth:
        raise ValueError(
            f"B-scans {numbered(first)} to {numbered(last)} were asked for; "
            f"“{source.volume.GetName()}” has {FIRST} to {numbered(source.depth - 1)}: choose "
            "among these"
        )
    segmenter = yield from opened(engine, request.checkpoint, request.device)
    yield "reading the image…"
    one = bool(request.edits)  # edits are of one B-scan, so its axis goes
    part = source.stack[first : last + 1]
    pixels = part[0] if one else _ByBscan(part) if _some_are_bad(part) else part
    start = time.monotonic()
    steps = segmenter.steps(
        pixels,
        source.spacing_mm and (source.spacing_mm[1:] if one else source.spacing_mm),
        samples=request.samples,
        steps=request.steps,
        seed=request.seed,
        rgb=source.rgb,
        inverted=source.inverted,
        probability=request.probability,
        first_slice=first,
        **({} if one or request.current is None else {"current": request.current}),
        **request.edits,
    )
    made = yield from followed(steps, number=number, count=count, began=began or start)
    made = _stacked(made) if one else made
    made = replace(made, provenance={**made.provenance, "inverted": source.inverted})
    yield Done(made, first, time.monotonic() - start)


def carried(
    engine: Engine,
    request: Request,
    source: Source,
    start: Any,
    edits_of: Callable[[int], Any],
) -> Generator[Event, None, None]:
    """Carry a corrected B-scan to its neighbours, each restarting from the one before it.

    Parameters
    ----------
    request : Request
        Its `bscans` are the neighbours in their order, upwards or downwards.
    start : array of uint8, shape (H, W)
        The corrected label map.
    edits_of : callable
        Edits of a B-scan (clamp, t0, ...), asked for when its turn comes; or its label map (H, W),
        if it stays as it is.

    Yields
    ------
    as `events`, a `Done` for each B-scan
    """
    began = time.monotonic()
    count = len(request.bscans)
    for number, bscan in enumerate(request.bscans, start=1):
        edits = edits_of(bscan)
        if not isinstance(edits, Mapping):
            start = edits
            continue
        one = replace(request, bscans=range(bscan, bscan + 1), edits={**edits, "start": start})
        for event in events(engine, one, source, number=number, count=count, began=began):
            if isinstance(event, Done):
                start = np.array(event.segmentation.labels[0])
            yield event


def drain(run: Generator[Event, None, None], told: Callable[[str], None] | None = None) -> Done:
    """Run to the end, for scripts: no window is alive meanwhile."""
    last: Done | None = None
    for event in run:
        if isinstance(event, str) and told is not None:
            told(event)
        elif isinstance(event, Done):
            last = event
    if last is None:
        raise RuntimeError("the run ended without a result")
    return last


class _ByBscan:
    """A stack that the engine reads B-scan by B-scan: a bad one costs no other, and is told."""

    def __init__(self, stack: NDArray[Any]) -> None:
        self._stack, self.shape, self.dtype = stack, stack.shape, stack.dtype

    def __getitem__(self, bscan: int) -> NDArray[Any]:
        return np.asarray(self._stack[bscan])


def _some_are_bad(stack: NDArray[Any]) -> bool:
    """Whether some B-scans hold NaN or infinity, and not all."""
    if stack.dtype.kind != "f":
        return False
    good = [bool(np.isfinite(one).all()) for one in stack]
    return any(good) and not all(good)


def _stacked(one: Any) -> Any:
    """A segmentation (H, W) as a stack of one."""
    return replace(
        one,
        labels=one.labels[None],
        samples=one.samples[:, None],
        uncertainty=one.uncertainty[None],
        probability=None if one.probability is None else one.probability[:, None],
    )
