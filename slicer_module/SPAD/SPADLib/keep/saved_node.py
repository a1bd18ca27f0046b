"""What a node of the scene and its autosaved files have in common, whatever the node holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from spad.autosave import AutosavedLayer

__all__ = ["SavedNode"]


class SavedNode(ABC):
    """A node, and where it is saved.

    Parameters
    ----------
    node : vtkMRMLNode
    saved : AutosavedLayer

    Attributes
    ----------
    removed, exported : str
        When it left the scene, or was saved by the person and not edited since; else empty.
    unsaved : bool
        Slicer would ask whether to save it.
    """

    def __init__(self, node: Any, saved: AutosavedLayer) -> None:
        self.node, self.saved = node, saved
        self.removed = self.exported = ""
        self.unsaved = False
        self._dirty: set[int] = set()
        self._header: dict[str, Any] = {}
        self._described = False

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return bool(self._dirty or not self._described)

    def mark(self, *, removed: str = "", exported: str = "") -> None:
        """Note when it left the scene, or was saved by the person."""
        self.removed, self.exported = removed or self.removed, exported or self.exported
        self.unsaved &= not exported
        self._described = False

    def writes(self) -> Iterator[None]:
        """Write what waits, a file or two a step; where one fails, the next time begins with it."""
        if self.saved.vanished():  # another program has moved or deleted it
            self._write_anew()
        if not self.saved.described:
            self._write_header()  # first: B-scans without it can be read, but not placed
        while self._dirty:
            z = min(self._dirty)
            wrote = self._write_bscan(z)
            self._dirty.discard(z)
            if wrote:
                yield
        yield from self._more_writes()
        if not self._described:
            self._write_header()

    def _write_header(self) -> None:
        self._described = True  # before: what is told meanwhile is written again
        header = {**self._header, "removed": self.removed, "exported": self.exported}
        try:
            self.saved.save_header(header)
        except BaseException:
            self._described = False
            raise

    @abstractmethod
    def _write_anew(self) -> None:
        """Mark everything that it holds."""

    @abstractmethod
    def _write_bscan(self, z: int) -> bool:
        """Write a B-scan; whether there was anything to write."""

    def _more_writes(self) -> Iterator[None]:
        """Write what belongs to no B-scan, a file a step."""
        yield from ()
