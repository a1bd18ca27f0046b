"""Work in other threads: workers that always end, of which errors come back in words."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import superqt.utils

from spad.inference import hosts
from spad.quiet import unwarned

__all__ = ["Background", "EngineError", "FunctionWorker", "GeneratorWorker", "explain"]


class EngineError(Exception):
    """What went wrong in a worker, in words."""


def explain(error: BaseException) -> str:
    """Return the error in words, with what to do about it."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, EngineError):
        return text
    if isinstance(error, OSError) and getattr(error, "winerror", None) == 1114:
        return (
            "Windows could not load PyTorch after the window was opened (error 1114). Start napari "
            'with  python -c "import torch, napari; napari.Viewer(); napari.run()"  or install '
            "the current Microsoft Visual C++ redistributable."
        )
    if isinstance(error, ImportError):
        if error.name is None:  # raised by us, and says what to install
            return text
        return f"{text}. Install what is missing:  {sys.executable} -m pip install napari-spad"
    return hosts.explain(error, safe="The image and your layers are safe.")


class _Ending:
    """What superqt's workers lack: they end however their work does, and may outlive the window.

    superqt's swallow the RuntimeError of a generator, and every error of torch is one; where the
    work raises SystemExit they say nothing, and whoever waits for them waits for ever. Once the
    program ends, their signals raise “Signal source has been deleted”, and so does every warning,
    for which they leave a handler behind where two of them work at once.
    """

    work: Callable[[], Any]
    abort_requested: bool

    def run(self) -> None:
        """Work, and tell how it ended: `returned` or `errored`, then `finished`."""
        self._tell("started")
        self._running = True
        try:
            with unwarned:  # napari would show each warning; what matters is returned
                result = self.work()
            if isinstance(result, Exception):  # so superqt hands on a generator's RuntimeError
                raise result
            if not self.abort_requested:
                self._tell("returned", result)
        except BaseException as error:  # the thread is Qt's: nobody above it would tell
            self._tell("errored", error)
        self._running = False
        self._tell("finished")
        self._tell("_finished", self)

    def _tell(self, name: str, *values: Any) -> None:
        with contextlib.suppress(RuntimeError):  # Qt's half is gone: the program has ended
            getattr(self, name).emit(*values)


class FunctionWorker(_Ending, superqt.utils.FunctionWorker[Any]):
    """superqt's, which always ends."""


class GeneratorWorker(_Ending, superqt.utils.GeneratorWorker[Any, Any, Any]):
    """superqt's, which always ends."""


class Background:
    """One piece of work at a time: what was begun before it is forgotten.

    Parameters
    ----------
    fail : callable
        Takes what went wrong, in words.
    """

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self._worker: Any = None

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._worker is not None

    def start(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do `work` in another thread, then `done` with what it gave, in this one."""

        def safely() -> Any:
            try:
                return work(), ""
            except BaseException as error:
                return None, explain(error)

        def ended(found: Any) -> None:
            if worker is self._worker:
                self._worker = None
                self._fail(found[1]) if found[1] else done(found[0])

        worker = self._worker = FunctionWorker(safely)
        worker.returned.connect(ended)
        worker.start()

    def forget(self) -> None:
        """Let what is under way end unheard."""
        self._worker = None
