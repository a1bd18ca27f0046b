"""Ctrl-C and SIGTERM: asked to stop, a run saves and leaves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "stop_signals"]


class Stop:
    """Whether somebody asked to stop; as long as it does not collect, the asking interrupts."""

    asked = False
    collecting = False


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM in a :class:`Stop` instead of dying; a second one dies at once.

    Raises
    ------
    KeyboardInterrupt
        At a signal while ``collecting`` is false: there is nothing to save.
    """
    stop = Stop()

    def handle(number: int, _: FrameType | None) -> None:
        stop.asked = True
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        if not stop.collecting:
            raise KeyboardInterrupt("stopped before the first step; there was nothing to save")

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    except ValueError:  # not in the main thread, where no signal arrives
        yield stop
        return
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)
