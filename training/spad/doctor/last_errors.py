"""The last errors that a person was told of, kept nameless for a bug report.

They lie in the folder of the cache (``$SPAD_CACHE``, else ``spad`` in the user's cache folder), a
line each, so that they outlive the program that failed. The folder may be deleted at any time.
"""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from spad.checkpoint import cache_folder
from spad.doctor.taking_out_names import nameless

__all__ = ["last_errors", "note"]

KEPT = 8
_LONGEST = 400
_OURS = ("spad", "napari_spad", "SPADLib")


def note(error: BaseException | str) -> None:
    """Keep an error that a person was told of. Raises nothing: a full disk is no second error.

    Parameters
    ----------
    error : BaseException or str
    """
    with suppress(Exception):
        now = datetime.now().strftime("%Y/%m/%d %H:%M")
        text = " ".join(nameless(str(error)).split())[:_LONGEST]
        if isinstance(error, BaseException):
            text = f"{type(error).__name__}{_place(error)}: {text}"
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [*last_errors(), f"{now} {text}"][-KEPT:]
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text("\n".join(lines) + "\n", "utf-8")
        partial.replace(path)


def last_errors() -> list[str]:
    """Give the last errors, the newest last: when, of what kind, where in our code, in words."""
    try:
        return _file().read_text("utf-8").splitlines()[-KEPT:]
    except (OSError, ValueError):
        return []


def _file() -> Path:
    return cache_folder() / "last-errors.txt"


def _place(error: BaseException) -> str:
    """Where in our code an error arose: `` in inference/model.py:120``."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        if ours := [at for at, part in enumerate(parts) if part in _OURS]:
            return f" in {'/'.join(parts[ours[-1] :])}:{frame.lineno}"
    return ""
