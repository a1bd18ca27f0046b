"""The process of a device: it runs the engine, gets its runs from the queue, and is heard out.

It is the desks' own worker (:mod:`spad.worker.serve`) with another on its pipes. What it answers is
handed on message by message; where it dies, its run is told so and the next one has another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

from spad.remote import SERVER, messages
from spad.serving.fair_queue import FairQueue
from spad.serving.limits import Refused
from spad.serving.model_shelf import Shelf
from spad.serving.runs import Run, State

__all__ = ["DeviceProcess", "devices_here"]

KILL_S = 60.0
"""So long a cancelled run may take to its next step."""
log = logging.getLogger("spad.serving")


class DeviceProcess:
    """A process, and the thread that feeds it.

    Parameters
    ----------
    device : str
    queue : FairQueue
    shelf : Shelf
    """

    def __init__(self, device: str, queue: FairQueue, shelf: Shelf) -> None:
        self.device, self._queue, self._shelf = device, queue, shelf
        self.at_work: Run | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True, name=f"spad {device}")

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, let it open a model, and take runs."""
        self._warm_up()
        self._thread.start()

    def close(self) -> None:
        """End it at once."""
        self._closing.set()
        self._end()

    def cancel(self, run: Run) -> None:
        """End a run after its step, if it is at work here."""
        if self.at_work is not run:
            return
        with contextlib.suppress(OSError):
            self._send({"kind": "cancel", "run": run.id})
        timer = threading.Timer(KILL_S, self._end_if_at, (run,))
        timer.daemon = True
        timer.start()

    def _end_if_at(self, run: Run) -> None:
        if self.at_work is run:
            self._end()

    # ------------------------------------------------------------------ in the thread

    def _serve(self) -> None:
        while not self._closing.is_set():
            run = self._queue.take(0.5)
            if run is None:
                continue
            self.at_work = run
            try:
                self._answer(run)
            except Refused as refusal:
                run.fail(str(refusal))
            except Exception as error:  # a run that ends without a word would wait for ever
                log.exception("run %s", run.id)
                run.fail(f"the server failed ({type(error).__name__}); run it again")
            finally:
                self.at_work = None

    def _answer(self, run: Run) -> None:
        run.state, run.began = State.RUNNING, time.monotonic()
        if run.cancelled:
            run.end("cancelled")
            return
        path = self._shelf.path(str(run.content["model"]))
        if not self.alive:
            self._start()
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise OSError("no process")
        ours = {"checkpoint": str(path), "device": self.device, "server": None, "run": run.id}
        try:
            run.body.seek(0)
            self._send({**run.content, **ours, "compress": True}, run)
            run.body.close()
            while run.state is not State.DONE:
                self._hand_on(run, process.stdout)
        except (OSError, ValueError, EOFError):  # killed; a file that is closed is a ValueError
            if self._closing.is_set():
                run.fail("the server was shut down; run it again when it is there")
            elif run.over:
                run.fail(run.over)
            elif run.cancelled:
                run.end("cancelled")
            else:
                run.fail(
                    f"the process of {self.device} ended on the server (was there too little "
                    "memory?). Your image and your edits are as they were; run it again, with "
                    "fewer samples or B-scans if it happens again"
                )
            self._end()
            if not self._closing.is_set():
                self._warm_up()

    def _hand_on(self, run: Run, pipe: Any) -> None:
        """One message, whole: half a one would be none that a desk could go on after."""
        pieces: list[bytes] = []
        content = messages.relay(pipe, pieces.append)
        if content is None:
            raise EOFError
        kind = content["kind"]
        if kind == "cancelled":
            if run.over:
                run.fail(run.over)
            else:
                run.end("cancelled")
            return
        run.write(b"".join(pieces))
        if kind != "step":
            run.end("failed" if kind == "failed" else "done")

    def _send(self, content: dict[str, Any], run: Run | None = None) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise OSError("no process")
        with self._sending:
            if run is None:
                messages.send(process.stdin, content)
            else:
                process.stdin.write(messages.line_of(content))
                shutil.copyfileobj(run.body, process.stdin, 2**20)
                process.stdin.flush()

    def _warm_up(self) -> None:
        self._start()
        if self._shelf.own:
            model = str(self._shelf.own[0].path)
            with contextlib.suppress(OSError):
                self._send({"kind": "open", "checkpoint": model, "device": self.device})

    def _start(self) -> None:
        self._process = _process()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)


def devices_here() -> list[str]:
    """The GPUs of this machine, or its CPU: each gets a process. Asked in another process.

    Raises
    ------
    OSError
        PyTorch does not start.
    """
    process = _process()
    try:
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        messages.send(process.stdin, {"kind": "devices"})
        answer = messages.receive(process.stdout)
    finally:
        _kill(process)
    if answer is None or not answer[0]["devices"]:
        raise OSError("the engine does not start: see what stands above, or run `spad doctor`")
    devices: list[str] = answer[0]["devices"]
    return [d for d in devices if d.startswith("cuda")] or devices[:1]


def _process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "spad.worker.serve", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(5)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
