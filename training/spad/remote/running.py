"""A run on a server, followed from a thread: sent, listened to, taken up again where a line drops.

The desk's side pulls what has come, and never waits for the line; to cancel, it closes the run.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spad.cases import file_error, parsed_json
from spad.inference import ServerError, room_for
from spad.remote.http_line import DOWN, Line, NoLine, Refusal, engine_version
from spad.remote.messages import PROTOCOL, array_bytes, header_line, receive

__all__ = ["Message", "RemoteRun"]

PATIENCE_S = 60.0
"""So long a line that was there may be down: the server keeps a run as long."""
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
WAIT_S = 0.01

Message = tuple[dict[str, Any], list[Any]]
_Answer = TypeVar("_Answer")


class _Closed(Exception):
    pass


class RemoteRun:
    """One run.

    Parameters
    ----------
    line : Line
    model : (str, Path or bytes or None)
        SHA-256, and the checkpoint, for a server that does not have it.
    content : dict
        What is asked; its `arrays` follow.
    arrays : sequence of arrays
        May be lazy; read anew where they have to be sent again.
    """

    def __init__(
        self,
        line: Line,
        model: tuple[str, Path | bytes | None],
        content: dict[str, Any],
        arrays: Sequence[Any],
    ) -> None:
        self._line, self._model, self._arrays = line, model, arrays
        about = {"protocol": PROTOCOL, "engine": engine_version(), "model": model[0]}
        self._content = {**about, **content}
        self._news: queue.Queue[Message | BaseException] = queue.Queue(8)
        self._closed = threading.Event()
        self._id, self._heard = "", 0.0
        threading.Thread(target=self._work, daemon=True, name="spad server").start()

    def messages(self) -> Iterator[Message | None]:
        """What the server says, as it comes; None while there is nothing new.

        Raises
        ------
        ServerError
            It refuses, or is gone.
        ValueError
            What was asked does not fit.
        """
        while True:
            try:
                news = self._news.get(timeout=WAIT_S)
            except queue.Empty:
                yield None
                continue
            if isinstance(news, BaseException):
                raise news
            yield news

    def close(self) -> None:
        """Want no more of it; returns at once."""
        if self._closed.is_set():
            return
        self._closed.set()
        threading.Thread(target=self._forget).start()  # no daemon: the server is told

    def _forget(self) -> None:
        with contextlib.suppress(ServerError):  # else the server finds out that nobody listens
            if self._id:
                self._line.ask("DELETE", f"/v1/runs/{self._id}")

    # ------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        try:
            self._begin()
            self._listen()
        except _Closed:
            self._forget()
        except BaseException as error:  # whatever it is, the desk is told
            with contextlib.suppress(_Closed):
                self._put(error)

    def _put(self, news: Message | BaseException) -> None:
        while True:
            if self._closed.is_set():
                raise _Closed
            with contextlib.suppress(queue.Full):
                self._news.put(news, timeout=0.2)
                return

    def _begin(self) -> None:
        asked = parsed_json(header_line(self._content, self._arrays))
        try:
            said = self._patiently(lambda: self._line.ask("POST", "/v1/runs", asked))
        except Refusal as refusal:
            if refusal.code != "model" or self._model[1] is None:
                raise
            self._patiently(self._send_model)
            said = self._patiently(lambda: self._line.ask("POST", "/v1/runs", asked))
        self._id = str(said["id"])
        if self._closed.is_set():
            raise _Closed
        self._patiently(self._send_arrays)

    def _send_model(self) -> None:
        sha256, there = self._model
        content = there.read_bytes() if isinstance(there, Path) else there or b""
        pieces = (content[i : i + 2**20] for i in range(0, len(content), 2**20))
        self._line.ask("PUT", f"/v1/models/{sha256}", body=self._unless_closed(pieces))

    def _send_arrays(self) -> None:
        blocks = (b for array in self._arrays for b in array_bytes(array, compress=True))
        self._line.ask("PUT", f"/v1/runs/{self._id}", body=self._unless_closed(blocks))

    def _unless_closed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._closed.is_set():
                raise _Closed
            yield piece
            self._heard = time.monotonic()

    def _listen(self) -> None:
        at = 0

        def listen() -> bool:
            nonlocal at
            with self._line.listen(f"/v1/runs/{self._id}", at) as answer:
                pipe = _Counted(answer)
                while True:
                    message = receive(pipe, _place)
                    if message is None:
                        raise ConnectionError("it broke off")
                    at, pipe.count, self._heard = at + pipe.count, 0, time.monotonic()
                    self._put(message)
                    if message[0]["kind"] not in ("step", "alive", "waiting"):
                        return True

        self._patiently(listen)

    def _patiently(self, act: Callable[[], _Answer]) -> _Answer:
        """Do something on the line; where it is down, again, until that makes no sense."""
        self._heard, tries, failed = time.monotonic(), 0, 0.0
        while True:
            try:
                return act()
            except (NoLine, *DOWN) as error:
                down = error if isinstance(error, NoLine) else self._line.down(error)
                if not self._line.was_there or time.monotonic() - self._heard > PATIENCE_S:
                    raise down from error
            tries = tries + 1 if failed > self._heard else 0
            failed = time.monotonic()
            if not tries:
                self._tell(f"the line to {self._line.address.url} is down; trying again…")
            if self._closed.wait(PAUSES_S[min(tries, len(PAUSES_S) - 1)]):
                raise _Closed

    def _tell(self, text: str) -> None:
        self._put(({"kind": "waiting", "text": text}, []))


class _Counted:
    """A file that is read, and how many bytes were."""

    def __init__(self, file: Any) -> None:
        self._file, self.count = file, 0

    def read(self, size: int) -> bytes:
        got: bytes = self._file.read(size)
        self.count += len(got)
        return got

    def readline(self, limit: int) -> bytes:
        got: bytes = self._file.readline(limit)
        self.count += len(got)
        return got


def _place(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        return room_for(shape, dtype)
    except OSError as error:  # not of the line
        raise ServerError(f"the result has come, but {file_error(error)}") from error
