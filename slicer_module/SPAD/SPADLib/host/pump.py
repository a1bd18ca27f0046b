"""Pulls a generator of short steps from the event loop, so that the window stays alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from SPADLib.host.weak import one_shot_timer

__all__ = ["Pump"]

WAIT_MS = 30
"""Before a generator without news is asked again: else the event loop would turn without end."""


class Pump:
    """One generator at a time, pulled by a timer until it ends, fails or is cancelled.

    Parameters
    ----------
    on_event : callable
        Gets what the generator yields; not None, by which it says that it waits for something.
    on_end : callable
        Called once and always, last of all: with None where the generator ran to its end, with the
        exception where it failed (also where `on_event` did), with a `Cancelled` where it was
        cancelled.
    """

    def __init__(
        self, on_event: Callable[[Any], None], on_end: Callable[[BaseException | None], None]
    ) -> None:
        self._on_event, self._on_end = on_event, on_end
        self._generator: Iterator[Any] | None = None
        self._pulling = False
        self._cancelled: Cancelled | None = None
        self._timer = one_shot_timer(0, self._pull)

    @property
    def busy(self) -> bool:
        """Whether a generator is being pulled."""
        return self._generator is not None

    def start(self, generator: Iterator[Any]) -> None:
        """Begin.

        Raises
        ------
        RuntimeError
            Another one is not done yet.
        """
        if self.busy:
            raise RuntimeError("a run is going on: wait for it, or cancel it")
        self._generator, self._cancelled = generator, None
        self._timer.setInterval(0)
        self._timer.start()

    def cancel(self, why: str = "cancelled") -> None:
        """Drop the generator; nothing that it was about to do happens."""
        if not self.busy:
            return
        self._cancelled = Cancelled(why)
        if not self._pulling:  # else when its step has returned: a generator cannot close itself
            self._end(self._cancelled)

    def _pull(self) -> None:
        if self._generator is None or self._pulling:
            return
        self._pulling = True
        outcome: BaseException | None = None
        ended = waits = False
        try:
            event = next(self._generator)
            waits = event is None
            if self._cancelled is None and not waits:
                self._on_event(event)
        except StopIteration:
            ended = True
        except Exception as error:
            ended, outcome = True, error
        finally:
            self._pulling = False
        if self._cancelled is not None:
            ended, outcome = True, self._cancelled
        if ended:
            self._end(outcome)
        else:
            self._timer.setInterval(WAIT_MS if waits else 0)
            self._timer.start()

    def _end(self, outcome: BaseException | None) -> None:
        generator, self._generator = self._generator, None
        self._timer.stop()
        if (close := getattr(generator, "close", None)) is not None:
            close()
        self._on_end(outcome)


class Cancelled(Exception):
    """The run was dropped; the text says why."""
