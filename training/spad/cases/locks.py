"""Locks between programs: who has one is alone, until its file is closed or its process ends."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

__all__ = ["HELD", "alone", "take_lock"]

PATIENCE_S = 10.0
PAUSE_S = 0.02
HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
"""What the systems say of a lock that another program has; all else, that there are no locks."""


def take_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, or its process ends; False where another one has it.

    Raises
    ------
    OSError
        The file system knows no locks.
    """
    file.seek(0)  # where Windows begins to lock
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


@contextmanager
def alone(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Wait for the others that read this file, change it and put it back.

    Without this, of two programs that do so at once, one puts back a file that lacks what the other
    one wrote. Where no lock can be had, nobody is waited for: in a folder that cannot be written
    to, of which the writing itself tells, and on a file system without locks.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    patience_s : float, optional

    Raises
    ------
    TimeoutError
        Another program has held it all the time.
    """
    lock = path.with_name(f".{path.name[:100]}.lock")
    until = time.monotonic() + patience_s
    while (file := _locked(lock)) is False:
        if time.monotonic() > until:
            raise TimeoutError(
                f"another program has been writing to {path} for {patience_s:.0f} s: wait until it "
                "is done, or end it"
            )
        time.sleep(PAUSE_S)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # Windows deletes no open file: it stays, and is taken again
                lock.unlink()
            file.close()


def _locked(lock: Path) -> IO[bytes] | Literal[False] | None:
    """The file, locked; False where another program has it; None where there are no locks."""
    try:
        file = lock.open("ab")
    except OSError:
        return None
    try:
        if take_lock(file) and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except FileNotFoundError:  # who had it has deleted it meanwhile
        pass
    except OSError:
        file.close()
        return None
    file.close()
    return False
