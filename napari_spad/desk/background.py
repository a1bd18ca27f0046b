"""Work in another thread, of which only the latest counts, and whose errors come in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superqt.utils import FunctionWorker

from napari_spad.desk.run import explain

__all__ = ["Background"]


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
            except Exception as error:
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
