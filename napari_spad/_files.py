"""Files that are there whole or not at all. No Qt in here."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replaced"]


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file beside `path` to write to; it takes the place of `path` if nothing is raised.

    Whatever ends the process, `path` holds what it held before or all of what was written.

    Parameters
    ----------
    path : Path
        Its folder must exist. The yielded name ends as this one does, for writers that go by it.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
