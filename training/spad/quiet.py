"""No warnings while a piece of work lasts, in whatever thread it runs."""

from __future__ import annotations

import threading
import warnings

__all__ = ["unwarned"]


class _Unwarned:
    """Python's filter of warnings is one for all threads: the first turns it, the last one back.

    `warnings.catch_warnings` puts back what it found. Of two threads that are in it at once the
    later one finds the filter of the earlier one, and leaves every warning of the program silent.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(None, None, None)


unwarned = _Unwarned()
