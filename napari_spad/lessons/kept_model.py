"""A model that has learnt, kept under a name of its own."""

from __future__ import annotations

import re
from pathlib import Path

from spad.worker import copy_model

__all__ = ["BadName", "keep_model"]

_NAME = re.compile(r"[\w ()+,.-]{1,80}")


class BadName(ValueError):
    """Another name is to be given."""


def keep_model(learnt: Path, folder: Path, name: str) -> Path:
    """Copy a learnt model, and what it was taught, under a name of its own.

    Raises
    ------
    BadName
        The name cannot be a file's, or is taken; in words.
    OSError
        It cannot be copied.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or name[0] == "." or name[-1] == ".":
        raise BadName(
            f"“{name}” cannot be a model's name: give 1 to 80 letters, digits, spaces or -_.()+,"
        )
    target = folder / f"{name}.safetensors"
    if target.exists():
        raise BadName(f"There is a model “{name}” already: give another name")
    return copy_model(learnt, target)
