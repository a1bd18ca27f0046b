"""The front end's side: a worker process that is started warm, asked, listened to and killed.

A crash of it costs nothing: the front end is another process, and the old model is still there.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.annotation import RunProgress, seconds_left
from spad.cases import file_error
from spad.remote import is_server, receive, send, server_of
from spad.worker.lesson_plan import LessonPlan

__all__ = ["Learnt", "Worker", "WorkerError"]

TELL_S = 5.0
"""So long a process may take to tell a server that its lesson is wanted no more."""


class WorkerError(Exception):
    """What went wrong in the worker, in words. Not a `RuntimeError`, which every torch error is."""


@dataclass(frozen=True)
class Learnt:
    """What came of a lesson.

    Parameters
    ----------
    out : Path
        The new model; beside it, NAME.lessons.npz, what it was taught, for the next case.
    seconds : float
    said : tuple of str
        What the engine noticed.
    earlier : int
        B-scans of earlier cases that were rehearsed.
    guard : (float, float) or None
        Pooled Dice on some of them: of the model as it was, and of the learnt one.
    """

    out: Path
    seconds: float
    said: tuple[str, ...] = ()
    earlier: int = 0
    guard: tuple[float, float] | None = None


class Worker:
    """A process that learns.

    Parameters
    ----------
    python : str, optional
        The interpreter; this one's by default.
    """

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._remote = False

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def warm_up(self, checkpoint: Path | None = None, device: str = "auto") -> None:
        """Start the process, unless it runs, and let it open a model; returns at once.

        Raises
        ------
        WorkerError
            It cannot be started.
        """
        with self._lock:
            if not self.running:
                self._start(device)
        if checkpoint is not None:
            content = {"kind": "open", "checkpoint": str(checkpoint), "device": device}
            _send(self._process, {**content, "server": server_of(device)})

    def _start(self, device: str) -> None:
        self._answers = queue.Queue()
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self._remote = is_server(device)
        role = "remote" if self._remote else "here"
        try:
            process = self._process = subprocess.Popen(  # noqa: S603
                [self._python, "-m", "spad.worker.serve", role],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # A program without a console has none on Windows, and would give a broken one on.
                stderr=None if sys.__stderr__ else subprocess.DEVNULL,
                env=environment,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                # Ctrl-C in the terminal is not meant for it. Of this session still: between
                # sessions Linux shares the cores evenly, however nice one of them is (autogroups).
                process_group=None if os.name == "nt" else 0,
            )
        except OSError as error:
            raise WorkerError(
                f"the process that learns could not be started: {file_error(error)}"
            ) from error
        listener = threading.Thread(
            target=_listen, args=(process, self._answers), daemon=True, name="spad worker"
        )
        listener.start()

    def learn(
        self, plan: LessonPlan, *, wait_s: float = 0.05
    ) -> Generator[str | RunProgress | None, None, Learnt]:
        """Learn; to cancel, close the generator: the process is killed then.

        Parameters
        ----------
        plan : LessonPlan
        wait_s : float
            How long to wait for news, at most, before it yields; 0 in the thread of a window.

        Yields
        ------
        str
            What goes on, in words.
        RunProgress
        None
            No news.

        Returns
        -------
        Learnt

        Raises
        ------
        WorkerError
            It failed, or the process ended; in words.
        """
        finished = False
        try:
            if not self.running:
                yield "starting the process that learns…"
            self.warm_up(device=plan.device)
            began = time.monotonic()
            process, answers = self._process, self._answers
            # In a thread: a pipe takes some kilobytes, and a window must not wait for the rest.
            sender = threading.Thread(
                target=_send_plan, args=(process, answers, plan), daemon=True, name="spad lesson"
            )
            sender.start()
            while True:
                try:
                    answer = answers.get(timeout=wait_s) if wait_s else answers.get_nowait()
                except queue.Empty:
                    yield None
                    continue
                if answer is None:
                    raise WorkerError(_ended(process))
                kind = answer["kind"]
                if kind == "failed":
                    finished = True
                    raise WorkerError(answer["text"])
                if kind == "step":
                    if answer["said"]:
                        yield answer["said"]
                    done, total = answer["done"], answer["total"]
                    if done:
                        left = seconds_left(began, done, total)
                        yield RunProgress(done, total, left, unit="step")
                if kind == "done":
                    finished = True
                    guard = answer["guard"]
                    return Learnt(
                        Path(answer["out"]),
                        answer["seconds"],
                        tuple(answer["said"]),
                        answer["earlier"],
                        None if guard is None else (guard[0], guard[1]),
                    )
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """End the process at once; a model that it was making is not made."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._remote:  # it tells the server first
            threading.Thread(target=_end, args=(process, TELL_S)).start()
        else:
            _end(process, 0)


def _send(
    process: subprocess.Popen[bytes] | None, content: dict[str, Any], arrays: Any = ()
) -> None:
    if process is None or process.stdin is None:
        raise WorkerError("the process that learns is not running")
    try:
        send(process.stdin, content, arrays)
    except (OSError, ValueError) as error:  # it has ended, or was closed meanwhile
        raise WorkerError(_ended(process)) from error


def _send_plan(
    process: subprocess.Popen[bytes] | None,
    answers: queue.Queue[dict[str, Any] | None],
    plan: LessonPlan,
) -> None:
    """Ask a process for a lesson: this one, whichever runs by the time that it is sent."""
    try:
        content = {**plan.content(), "server": server_of(plan.device)}
        _send(process, content, [*plan.images, *plan.label_maps])
    except WorkerError:
        answers.put(None)


def _ended(process: subprocess.Popen[bytes] | None) -> str:
    code = None
    if process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(5)
    why = "it was killed; was there too little memory?" if code and code < 0 else f"code {code}"
    return f"the process that learns has ended ({why}). The model is as it was; try again"


def _end(process: subprocess.Popen[bytes], wait_s: float) -> None:
    if wait_s and process.stdin is not None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.stdin.close()
            process.wait(wait_s)
    process.kill()
    process.wait(5)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what could not be sent any more
                pipe.close()


def _listen(process: subprocess.Popen[bytes], answers: queue.Queue[dict[str, Any] | None]) -> None:
    """Put what a process answers into a queue; None when it has ended."""
    try:
        while process.stdout is not None and (message := receive(process.stdout)) is not None:
            answers.put(message[0])
    except (OSError, ValueError):
        pass  # closed from this side, or cut
    answers.put(None)
