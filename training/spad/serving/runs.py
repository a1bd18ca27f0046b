"""A run on a server: what was asked, and all that was answered, to be read from any byte on.

Both are kept in files without a name, or in memory while they are small, and go with the run.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from spad.remote import messages

__all__ = ["Run", "State"]

IN_MEMORY = 2**24


class State(Enum):
    """How far a run is."""

    SENDING = "its arrays are being sent"
    WAITING = "in the queue"
    RUNNING = "at work"
    DONE = "done"


class Run:
    """One run.

    Parameters
    ----------
    owner : int
        The number of the token.
    content : dict
        What is asked, without its arrays.
    arrays : int
        How many follow.
    """

    def __init__(self, owner: int, content: dict[str, Any], arrays: int) -> None:
        self.id = secrets.token_hex(12)
        self.owner, self.content, self.arrays = owner, content, arrays
        self.state = State.SENDING
        self.cancelled = False
        self.seen = time.monotonic()
        """When its desk was last heard of."""
        self.began = 0.0
        self.most = 0
        """Bytes that its arrays come in, at most."""
        self.over = ""
        """Why it is ended before its time."""
        self.sender: object = None
        self.listeners = 0
        self.outcome = ""
        self.news: Callable[[], None] = lambda: None
        self.body = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._log = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._size = 0
        self._told = time.monotonic()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes answered until now."""
        return self._size

    def write(self, piece: bytes) -> None:
        """Add to the answer; dropped where the run was forgotten."""
        with self._lock:
            if self._log.closed:
                return
            self._log.seek(self._size)
            self._log.write(piece)
            self._size += len(piece)
        self._told = time.monotonic()
        self.news()

    def tell(self, kind: str, **content: Any) -> None:
        """Add a message to the answer."""
        self.write(messages.header_line({"kind": kind, **content}))

    def read(self, start: int) -> bytes:
        """Some of the answer, from a byte on; empty where there is no more yet."""
        with self._lock:
            if self._log.closed:
                return b""
            self._log.seek(start)
            return self._log.read(2**18)

    def quiet_s(self) -> float:
        """Seconds since the last word."""
        return time.monotonic() - self._told

    def fail(self, text: str, *, refused: bool = False) -> None:
        """End it with what went wrong."""
        self.tell("failed", text=text, refused=refused)
        self.end("failed")

    def end(self, outcome: str) -> None:
        """It is done, one way or the other: nothing is kept of what was asked."""
        self.body.close()
        self.state, self.outcome = State.DONE, outcome
        self.news()

    def forget(self) -> None:
        """Keep nothing of it; what a device is being sent, until that has heard of it."""
        self.cancelled = True
        if self.state is not State.RUNNING:
            self.body.close()
        with self._lock:
            self._log.close()
        self.news()
