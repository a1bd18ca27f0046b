"""Models that have learnt, on the disk: a name for a new one, old ones away, one kept for good."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["free_path", "keep_model", "lessons_of", "prune"]

KEPT = 8
"""Learnt models that stay, besides those in use."""
_NAME = re.compile(r"[\w ()+,.-]{1,80}")


def lessons_of(checkpoint: Path) -> Path:
    """What a model was taught, beside it; it need not be there."""
    return checkpoint.with_suffix(".lessons.npz")


def free_path(folder: Path, origin: Path) -> Path:
    """Where a model that learns from `origin` goes; no file is there."""
    name = f"{origin.stem}-learnt-{time.strftime('%m%d-%H%M%S')}"
    number, path = 1, folder / f"{name}.safetensors"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.safetensors"
    return path


def prune(folder: Path, used: Iterable[Path]) -> None:
    """Remove learnt models but the newest, and those in use."""
    spared = {path.resolve() for path in used}
    with contextlib.suppress(OSError):  # of no account: the next lesson tries again
        files = sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in files[KEPT:]:
            if old.resolve() not in spared:
                lessons_of(old).unlink(missing_ok=True)
                old.unlink()


def keep_model(learnt: Path, folder: Path, name: str) -> Path:
    """Copy a learnt model, and what it was taught, under a name of its own.

    Raises
    ------
    ValueError
        The name cannot be a file's, or is taken; in words.
    OSError
        It cannot be copied.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or name[0] == "." or name[-1] == ".":
        raise ValueError(
            f"“{name}” cannot be a model's name: give 1 to 80 letters, digits, spaces or -_.()+,"
        )
    target = folder / f"{name}.safetensors"
    if target.exists():
        raise ValueError(f"There is a model “{name}” already: give another name")
    folder.mkdir(parents=True, exist_ok=True)
    for file, to in ((lessons_of(learnt), lessons_of(target)), (learnt, target)):
        if file.is_file() or file is learnt:  # the model last: it is not there without its lessons
            part = to.with_name(f"{to.name}.part")
            shutil.copyfile(file, part)
            part.replace(to)
    return target
