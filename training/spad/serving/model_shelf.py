"""The models of a server, by their hash: its own, and what desks have sent of theirs."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spad.checkpoint import Card, read_card, sha256
from spad.serving.limits import Limits, Refused

__all__ = ["Shelf", "Shelved"]


@dataclass(frozen=True)
class Shelved:
    """A model of the server's own, as its file was when the server was started."""

    name: str
    card: Card
    path: Path
    sha256: str
    stamp: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp[0]

    @property
    def is_here(self) -> bool:
        """Whether its file is there, and no other has taken its place."""
        try:
            return _stamp(self.path) == self.stamp
        except OSError:
            return False


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


class Shelf:
    """Models by their hash.

    Parameters
    ----------
    own : mapping of str to Path
        By name.
    limits : Limits

    Raises
    ------
    ValueError, OSError
        One is no checkpoint, or cannot be read.
    """

    def __init__(self, own: Mapping[str, Path], limits: Limits) -> None:
        self.own = [Shelved(n, read_card(p), p, sha256(p), _stamp(p)) for n, p in own.items()]
        self._limits = limits
        self._folder = tempfile.TemporaryDirectory(prefix="spad-serve-")
        self._sent: dict[str, Path] = {}  # the one longest unused first
        self._lock = threading.Lock()

    def path(self, hash_: str) -> Path:
        """The file of a model.

        Raises
        ------
        Refused
            It is not here.
        """
        here = [one for one in self.own if one.is_here]
        for one in here:
            if one.sha256 == hash_:
                return one.path
        with self._lock:
            if hash_ in self._sent:
                self._sent[hash_] = self._sent.pop(hash_)
                return self._sent[hash_]
        gone = [one.name for one in self.own if one.sha256 == hash_]
        why = f"it has no model with the hash {hash_[:12]}…"
        if gone:
            why = (
                f"its file of “{gone[0]}” was removed or replaced since it was started; let who "
                "runs it start it anew"
            )
        others = ", ".join(f"“{one.name}”" for one in here)
        raise Refused(404, "model", f"{why}: choose one of {others}" if others else why)

    def refuse_large(self, size: int) -> None:
        """Refuse a model of more bytes than are taken.

        Raises
        ------
        Refused
        """
        limit = self._limits.model_mb
        if size > limit * 1e6:
            why = f"takes {limit:.0f} MB" if limit else "takes no models of desks"
            raise Refused(
                413, "model-size", f"it {why}: let who runs it raise --model-mb, or add the model"
            )

    def take(self, hash_: str, content: bytes) -> None:
        """Keep a model that a desk has sent, for a while: until others have come, or the end.

        Raises
        ------
        Refused
            It is not what its hash says, or no checkpoint of SPAD.
        """
        self.refuse_large(len(content))
        if hashlib.sha256(content).hexdigest() != hash_:
            raise Refused(400, "hash", "the model has not come as it was sent: send it again")
        path = Path(self._folder.name, f"{hash_}.safetensors")
        with self._lock:
            path.write_bytes(content)
            try:
                read_card(path)
            except (ValueError, OSError) as error:
                path.unlink()
                raise Refused(
                    400,
                    "model-file",
                    f"this is no model of SPAD ({str(error).replace(str(path), 'it')})",
                ) from error
            self._sent[hash_] = path
            while len(self._sent) > self._limits.models:
                oldest = next(iter(self._sent))
                self._sent.pop(oldest).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what desks have sent."""
        self._folder.cleanup()
