"""Models that have learnt, on the disk: a name for a new one, old ones away, one kept for good."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from spad.cases import replaced

__all__ = ["KEPT", "copy_model", "lessons_of", "new_path", "prune", "remove", "saved_models"]

KEPT = 8
"""Learnt models that stay, besides those in use."""
SUFFIX = ".safetensors"


def lessons_of(model: Path) -> Path:
    """What a model was taught, beside it; it need not be there."""
    return model.with_suffix(".lessons.npz")


def saved_models(folder: Path) -> list[Path]:
    """The models of a folder, the newest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):  # another window has just removed it
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def new_path(folder: Path, name: str) -> Path:
    """Where the next one goes: named after the model that learns and the time, not the patient.

    Parameters
    ----------
    folder : Path
    name : str
        Of the model that learns.
    """
    plain = re.sub(r"[^\w ,()-]+", "-", name)[:80]
    stem = f"{plain} learnt {time.strftime('%Y-%m-%d %H-%M-%S')}"
    path, number = folder / f"{stem}{SUFFIX}", 2
    while path.exists():
        path, number = folder / f"{stem} {number}{SUFFIX}", number + 1
    return path


def prune(folder: Path, used: Iterable[Path]) -> list[Path]:
    """Remove all but the newest `KEPT`; those that were removed.

    Parameters
    ----------
    folder : Path
    used : iterable of Path
        These stay, however old.
    """
    spared = {path.resolve() for path in used}
    old = [path for path in saved_models(folder)[KEPT:] if path.resolve() not in spared]
    for path in old:
        remove(path)
    return old


def remove(model: Path) -> None:
    """Remove a model that learnt, and what it was taught; one that is in use stays for now."""
    for path in (lessons_of(model), model):
        with contextlib.suppress(OSError):  # Windows, while it is open: the next lesson removes it
            path.unlink(missing_ok=True)


def copy_model(model: Path, target: Path) -> Path:
    """Copy a model, and what it was taught, elsewhere; where it is then.

    Parameters
    ----------
    model : Path
    target : Path
        Replaced if it exists; without the ending of a checkpoint it gets it.

    Raises
    ------
    ValueError
        The model is gone.
    OSError
        It cannot be written there.
    """
    if not model.is_file():
        raise ValueError(f"The model {model} is gone: press Learn again")
    target = target if target.suffix == SUFFIX else target.with_name(target.name + SUFFIX)
    if target == model:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # The model last: it is not there without its lessons.
    for source, to in ((lessons_of(model), lessons_of(target)), (model, target)):
        if source.is_file():
            with replaced(to) as beside:
                shutil.copyfile(source, beside)
    return target
