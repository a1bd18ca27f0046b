"""The worker's side: ``python -m spad.worker.serve ROLE``. Answers on its standard output.

A desk has one that learns, ``here`` or, without torch, by a ``remote`` server; a ``server`` has one
for each device. Torch is loaded before anything is asked for, so that ten seconds are ten seconds.
It ends when whoever asks does: then its standard input is at its end.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spad.inference import Engine, Step, explain, open_model
from spad.remote import SERVER, choose, receive, send
from spad.worker.lesson import learn, teach
from spad.worker.segmenting import segment

if TYPE_CHECKING:
    from spad.inference import Segmenter

__all__ = ["main"]

_MORE_NICE = 15
Message = tuple[dict[str, Any], list[Any]]


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    role = sys.argv[-1]
    if hasattr(os, "nice") and role != SERVER:
        os.nice(_MORE_NICE)  # whoever paints meanwhile comes first
    if role != "remote":  # it asks a server, and need not even have it
        import torch  # noqa: F401
    asked = _Asked(sys.stdin.buffer)
    with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
        while (message := asked.next()) is not None:
            _answer(*message, asked, answers)


class _Cancelled(Exception):
    pass


class _Asked:
    """What is asked, read in a thread of its own: a run hears that it is cancelled."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._waiting: queue.Queue[Message | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._gone = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            message: Message | None
            try:
                message = receive(self._pipe)
            except ValueError as error:
                message = {"kind": "damaged", "text": str(error)}, []
            except MemoryError:  # of what stands on the pipe now nothing is understood
                self._waiting.put(({"kind": "damaged", "text": "too little memory for it"}, []))
                message = None
            if message is not None and message[0]["kind"] == "cancel":
                self._cancelled.add(message[0]["run"])
                continue
            self._gone = message is None
            self._waiting.put(message)
            if message is None:
                return

    def next(self) -> Message | None:
        """Wait for what is asked next; None where nobody asks any more."""
        return self._waiting.get()

    def cancelled(self, run: str) -> bool:
        """Whether a run is wanted no more."""
        return self._gone or run in self._cancelled


def _answer(content: dict[str, Any], arrays: list[Any], asked: _Asked, answers: IO[bytes]) -> None:
    """Do what is asked, and tell of it; of a model that cannot be opened, when it is used."""
    kind, run = content["kind"], content.get("run", "")
    packed = bool(content.get("compress"))

    last = (-1, 0)

    def tell(step: Step) -> None:
        nonlocal last
        if asked.cancelled(run):
            raise _Cancelled
        if (step.done, step.total) == last and step.labels is None and not step.said:
            return  # a server has nothing new
        last = step.done, step.total
        about = {"done": step.done, "total": step.total, "slice": step.slice_index}
        told = {"kind": "step", **about, "said": step.said}
        send(answers, told, [] if step.labels is None else [step.labels], compress=packed)

    try:
        if kind == "damaged":
            raise ValueError(content["text"])
        if kind == "devices":
            send(answers, {"kind": "devices", "devices": Engine.spad().devices()})
        elif kind == "open":
            with contextlib.suppress(Exception):
                _opened(content)
        elif asked.cancelled(run):
            raise _Cancelled
        elif kind == "learn":
            send(answers, learn(_opened(content), content, arrays, tell))
        elif kind == "teach":
            model = teach(_opened(content), content, arrays, tell)
            send(answers, {"kind": "model"}, [model])
        elif kind == "segment":
            made, parts = segment(_opened(content), content, arrays, tell)
            send(answers, made, parts, compress=packed)
    except _Cancelled:
        send(answers, {"kind": "cancelled"})
    except Exception as error:
        text = explain(error, safe="Nothing was changed.")
        mine = isinstance(error, ValueError | OSError)
        send(answers, {"kind": "failed", "text": text, "refused": mine})


def _opened(content: dict[str, Any]) -> Segmenter:
    if content.get("server"):
        choose(*content["server"])
    segmenter: Segmenter = open_model(Engine.spad(), Path(content["checkpoint"]), content["device"])
    return segmenter


if __name__ == "__main__":
    main()
