"""What is costly to make and easily made again, kept in the user's cache folder.

An entry's name is a hash of all that it depends on, contents and settings, so that a changed file
or setting asks for another entry and none can be out of date. Entries are written whole, by any
number of processes, and carry a check sum; a damaged one counts as absent. The folder is
``$SPAD_CACHE``, else ``spad`` in the user's cache folder, and may be deleted at any time. Whatever
fails here costs time only, and is said once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import warnings
from pathlib import Path

from spad.cases import file_error
from spad.checkpoint import cache_folder

__all__ = ["Cache"]

_KEPT_FREE = 0.05  # share of the disk that entries never take


class Cache:
    """Bytes by key, in a folder on the disk."""

    def __init__(self) -> None:
        self.folder = cache_folder()
        self._failed = False

    def get(self, key: str) -> bytes | None:
        """Content of an entry; None if there is none, or none that is whole."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        content = data[32:]
        return content if hashlib.sha256(content).digest() == data[:32] else None

    def put(self, key: str, content: bytes) -> None:
        """Write an entry; where that fails, say so once and write no more."""
        if self._failed:
            return
        path = self._path(key)
        fresh = path.with_name(f".{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk = shutil.disk_usage(path.parent)
            if disk.free - len(content) < _KEPT_FREE * disk.total:
                raise OSError(f"less than {_KEPT_FREE:.0%} of the disk is free")
            try:
                fresh.write_bytes(hashlib.sha256(content).digest() + content)
                os.replace(fresh, path)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as error:
            self._failed = True
            warnings.warn(
                f"the cache in {self.folder} cannot be written ({file_error(error)}); going on "
                "without. Free some space, set SPAD_CACHE to another folder, or data.cache=false",
                stacklevel=2,
            )

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key
