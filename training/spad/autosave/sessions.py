"""Folders of autosave, of windows living and dead, side by side. No Qt here.

A window's folder bears a lock that the operating system lets go when the process ends, however it
ends: who can take it knows that nobody works there any more. A file ``closed`` says that the end
was a proper one. On a file system that knows no locks a session is taken for over when nothing was
written to it for an hour: copies that are shown too often lose nothing, hidden ones might.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spad.autosave.autosaved_layer import AutosavedLayer
from spad.autosave.saved_header import HEADER
from spad.cases import take_lock

__all__ = [
    "KEPT_BYTES",
    "KEPT_DAYS",
    "Kept",
    "Session",
    "kept_layers",
    "move",
    "prune",
    "throw_away",
]

KEPT_DAYS = 30
KEPT_BYTES = 2 * 10**9
"""Sessions that ended properly are kept so long, and so much of them, the oldest going first."""
LOCK, CLOSED = "lock", "closed"
TRIES, PAUSE_SECONDS = 3, 0.05
UNHEARD_SECONDS = 3600.0


class Session:
    """Folder of one window; made when there is something to save.

    Parameters
    ----------
    root : Path
        The folder of all sessions.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.folder = root / f"{stamp}-{uuid.uuid4().hex[:8]}"
        self._lock: IO[bytes] | None = None

    def begin(self) -> None:
        """Make the folder and lock it, unless that is done and still so.

        Raises
        ------
        OSError
            The folder cannot be written to, or another program holds it all the time.
        """
        if self._lock is not None:
            if (self.folder / LOCK).exists():
                return
            self._lock.close()  # of a folder that another program has deleted
            self._lock = None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.folder / LOCK).open("wb")
        try:
            # A window that looks what is kept may have it for a moment. To go on without it would
            # be to leave the folder to the next window that looks.
            free = _patiently(lock)
        except OSError:  # there are no locks
            free = True
        if not free:
            lock.close()
            raise OSError(f"another program holds {self.folder / LOCK}: it is tried again")
        self._lock = lock

    def new_layer(self) -> AutosavedLayer:
        """A folder for one more layer."""
        return AutosavedLayer(self.folder / uuid.uuid4().hex)

    def close(self, *, properly: bool) -> None:
        """Let go of the folder.

        Parameters
        ----------
        properly : bool
            All is saved: nothing is offered at the next start.
        """
        if self._lock is None:
            return
        if properly:
            with suppress(OSError):  # else it is offered once more, which loses nothing
                (self.folder / CLOSED).touch()
        self._lock.close()
        self._lock = None


@dataclass(frozen=True)
class Kept:
    """A layer in the folder of a session that is over.

    Parameters
    ----------
    saved : AutosavedLayer
    name : str
    bscans : int
        How many of its B-scans are saved.
    seconds : float
        When it was last saved, as `time.time` has it.
    lost : bool
        Its session did not end properly, and it was open then.
    """

    saved: AutosavedLayer
    name: str
    bscans: int
    seconds: float
    lost: bool


def kept_layers(root: Path) -> list[Kept]:
    """Layers of all sessions that are over, the latest first."""
    found = []
    for folder in _sessions(root):
        with _held(folder) as free:
            if not free:
                continue
            crashed = not (folder / CLOSED).exists()
            for each in _layers(folder):
                saved = AutosavedLayer(each)
                try:
                    said = saved.read_header()
                except ValueError:  # of a newer version; told when one tries to recover it
                    said = {"name": f"a layer of a newer version ({each.name})"}
                lost = crashed and not said.get("removed") and not said.get("exported")
                found.append(Kept(saved, said["name"], len(saved.places()), saved.seconds(), lost))
    return sorted(found, key=lambda kept: -kept.seconds)


def move(saved: AutosavedLayer, session: Session) -> AutosavedLayer:
    """Take a layer over from a session that is over: it is in the one or the other, never lost.

    Raises
    ------
    OSError
        Another window has it, or the folders cannot be written to.
    """
    old = saved.folder.parent
    with _held(old) as free:
        if not free or not saved.folder.is_dir():
            raise OSError("another window has taken this layer up meanwhile")
        session.begin()
        target = session.folder / saved.folder.name
        saved.folder.rename(target)
    _drop_if_empty(old)
    return AutosavedLayer(target)


def throw_away(saved: AutosavedLayer) -> None:
    """Delete a layer's autosave.

    Raises
    ------
    OSError
        Another window has it, or it cannot be deleted.
    """
    old = saved.folder.parent
    with _held(old) as free:
        if not free:
            raise OSError("another window has taken this layer up meanwhile")
        shutil.rmtree(saved.folder)
    _drop_if_empty(old)


def prune(root: Path, *, most_bytes: int = KEPT_BYTES) -> None:
    """Delete what ended properly and is old, or too much; never what was lost in a crash."""
    closed = []
    for folder in _sessions(root):
        with suppress(OSError):  # what cannot be looked at is not deleted
            if (folder / CLOSED).exists():
                files = [f for f in folder.rglob("*") if f.is_file()]
                size = sum(f.stat().st_size for f in files)
                closed.append(((folder / CLOSED).stat().st_mtime, size, folder))
    total = 0
    for ended, size, folder in sorted(closed, reverse=True):
        total += size
        if time.time() - ended > KEPT_DAYS * 86400 or total > most_bytes:
            with _held(folder) as free:
                gone = free
            if gone:
                shutil.rmtree(folder, ignore_errors=True)


def _sessions(root: Path) -> list[Path]:
    """Folders that are sessions': with a lock, or with layers whose lock went astray."""
    if not root.is_dir():
        return []
    folders = (f for f in root.iterdir() if f.is_dir())
    return sorted(f for f in folders if (f / LOCK).exists() or _layers(f))


def _layers(session: Path) -> list[Path]:
    """Folders of a session that hold something of a layer, its header or B-scans alone."""
    files = (*session.glob(f"*/{HEADER}"), *session.glob("*/*.npz"))
    return sorted({file.parent for file in files})


def _drop_if_empty(folder: Path) -> None:
    """Delete a session's folder in which nothing but its lock is left."""
    if {f.name for f in folder.iterdir()} <= {LOCK, CLOSED}:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a session's lock; yields False where a living process has it."""
    file: IO[bytes] | None = None
    for mode in ("ab", "rb"):  # a lock that went astray is made anew; a folder may be read-only
        with suppress(OSError):
            file = file or (folder / LOCK).open(mode)
    if file is None:
        yield (folder / LOCK).is_dir()  # which no window has made
        return
    with file:
        try:
            free = _patiently(file)
        except OSError:  # there are no locks
            free = (folder / CLOSED).exists() or _unheard(folder)
        yield free


def _patiently(file: IO[bytes]) -> bool:
    """Take a lock; another window that starts just now may be looking, too."""
    free = take_lock(file)
    for _ in range(TRIES - 1):
        if free:
            break
        time.sleep(PAUSE_SECONDS)
        free = take_lock(file)
    return free


def _unheard(folder: Path) -> bool:
    """Whether nothing was written to a session's folder for long."""
    last = max((AutosavedLayer(each).seconds() for each in _layers(folder)), default=0.0)
    return time.time() - last > UNHEARD_SECONDS
