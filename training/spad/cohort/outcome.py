"""What became of a file, as a worker says it; and the hash by which it is known to be done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

__all__ = ["Outcome", "key_of", "our_version"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Parameters
    ----------
    state : {"done", "skipped", "failed"}
        Skipped: it was done before, with the same input, model and settings.
    text : str
        Where the result is, or why there is none.
    seconds : float
        That it took its worker.
    key : str
        `key_of` it.
    rows : tuple of dict
        Of a table; empty where files are written.
    said : str
        What has to be known of what was done.
    """

    state: Literal["done", "skipped", "failed"]
    text: str
    seconds: float = 0.0
    key: str = ""
    rows: tuple[dict[str, Any], ...] = ()
    said: str = ""


def key_of(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """SHA-256 of the contents of files and of settings; it takes no names.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        with path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def our_version() -> str:
    """The version of SPAD in this process."""
    try:
        return version("napari-spad")
    except PackageNotFoundError:
        return "not installed"
