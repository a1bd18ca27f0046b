"""A run of the engine as every front end shows it: what goes on, how far it is, how long it takes.

Generators: a worker thread or a timer pulls them, and who stops pulling has cancelled the run.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.inference import Engine, open_model
from spad.remote import is_server

__all__ = ["RunProgress", "duration", "followed", "meanwhile", "opened", "pixels", "seconds_left"]


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is.

    Parameters
    ----------
    done, total : int
        Steps.
    seconds_left : float
    number, count : int
        Of what is run one after another, from 1, and how many they are.
    unit : str
        What they are.
    """

    done: int
    total: int
    seconds_left: float
    number: int = 1
    count: int = 1
    unit: str = "B-scan"


def opened(engine: Engine, checkpoint: Path, device: str) -> Generator[str | None, None, Any]:
    """Open a model, and say what is waited for; returns the Segmenter."""
    if is_server(device):
        yield "asking the server…"
        return (yield from meanwhile(lambda: open_model(engine, checkpoint, device)))
    if "torch" not in sys.modules:
        yield "loading PyTorch…"
    yield f"opening {checkpoint.stem}…"
    return open_model(engine, checkpoint, device)


def meanwhile(act: Callable[[], Any]) -> Generator[None, None, Any]:
    """Do what may wait for a line in a thread; None while it is not done, then what it returns."""
    outcome: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def work() -> None:
        try:
            outcome.put((act(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=work, daemon=True, name="spad line").start()
    while True:
        with contextlib.suppress(queue.Empty):
            value, error = outcome.get(timeout=0.01)
            if error is not None:
                raise error
            return value
        yield None


def followed(
    steps: Generator[Any, None, Any],
    *,
    number: int = 1,
    count: int = 1,
    began: float | None = None,
) -> Generator[str | RunProgress | None, None, Any]:
    """Follow the sampler through one of several runs that are alike.

    Parameters
    ----------
    steps : generator
        Of `Segmenter.steps`.
    number, count : int
        Of this run, from 1, and how many there are.
    began : float, optional
        When the first of them did, by `time.monotonic`; now if None.

    Yields
    ------
    str
        What the engine noticed.
    RunProgress
        Over all runs.
    None
        Nothing new: a server has not gone on.

    Returns
    -------
    Segmentation
    """
    began = time.monotonic() if began is None else began
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            return stop.value
        if step.said:
            yield step.said
        if step.done == 0:  # a server may let a run wait: how long, it does not know
            yield None
            continue
        done, total = (number - 1) * step.total + step.done, count * step.total
        yield RunProgress(done, total, seconds_left(began, done, total), number, count)


def seconds_left(began: float, done: float, total: float) -> float:
    """How long a run will take that began then (`time.monotonic`), by what is done of it."""
    return (time.monotonic() - began) / max(done, 1e-9) * (total - done)


def pixels(count: int) -> str:
    """A number of pixels in words: “1 pixel”, “1,240 pixels”."""
    return f"{count:,} pixel{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """A time in round words: “3 s”, “40 s”, “7 min”, “2.0 h”."""
    if seconds < 10:
        return f"{max(round(seconds), 1)} s"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
