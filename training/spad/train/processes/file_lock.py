"""A file that one process at a time holds; the system lets go of it when the process dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spad.cases import HELD, meant
from spad.train.config import ConfigError

__all__ = ["Busy", "alone_in", "locked"]


class Busy(RuntimeError):
    """Another process, alive, holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock `path`; the number of the holding process stands in it.

    The lock is the system's, on the open file: a file that a killed process left behind locks
    nothing. On a file system without locks nobody is kept out.

    Parameters
    ----------
    path : Path
        Made if need be, and left.
    wait : bool, optional
        Wait for the holder instead of refusing.

    Raises
    ------
    Busy
        Another process holds it; the message gives its number.
    """
    with path.open("a+", encoding="ascii") as handle:
        try:
            _lock(handle.fileno(), wait)
        except OSError as error:
            if error.errno in HELD:
                handle.seek(0)
                raise Busy(f"{path} is held by process {handle.read().strip() or '?'}") from None
        handle.truncate(0)
        with meant(path, path):  # unbuffered: else it is written, and fails, once more at the end
            os.write(handle.fileno(), str(os.getpid()).encode())
        try:
            yield
        finally:
            handle.truncate(0)


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Hold the folder of a run, which exists.

    Raises
    ------
    ConfigError
        Another process trains there.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(run / "training.lock"))
        except Busy as busy:
            raise ConfigError(
                f"{run}: another training is at work there ({busy}); wait for it, end it, or "
                "choose another --out"
            ) from None
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int, wait: bool) -> None:
        os.lseek(file, 2**20, os.SEEK_SET)  # beyond the text, which others may then read
        msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
