"""Where the time of the training steps goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock"]


class Clock:
    """Where the time between two looks at the loss goes."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew, after what was no training (a save, a validation)."""
        self._began, self._waited, self._steps = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The next step's data are waited for."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began
        self._steps += 1

    def speed(self, batch: int) -> dict[str, float]:
        """Of the steps since the start; to be asked after the host has waited for the device."""
        spent = time.perf_counter() - self._began
        return {
            "speed/images per second": self._steps * batch / spent,
            "speed/share of time waiting for data": self._waited / spent,
        }
