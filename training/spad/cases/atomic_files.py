"""Files that are replaced as a whole, and JSON in them: a killed process leaves the old one."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["read_json", "replaced", "write_bytes", "write_json"]


def read_json(path: Path) -> Any:
    """Parse a JSON file; a fault is a ValueError that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise ValueError(f"{path}: is not JSON ({error}); correct it") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a killed process leaves the old one, or none, but never half a file."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, as `write_bytes` does."""
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


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
