"""The models that learnt: in the user's data folder, the newest of them kept."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from spad.cases import replaced
from SPADLib.host import data_folder

__all__ = ["KEPT", "copy", "lessons_of", "models", "new_path", "prune", "remove"]

KEPT = 8
SUFFIX = ".safetensors"


def lessons_of(model: Path) -> Path:
    """The file beside a model that holds what it was taught, where it has learnt."""
    return model.with_suffix(".lessons.npz")


def models() -> list[Path]:
    """The models that learnt on this machine, the newest first."""
    found = [(p.stat().st_mtime_ns, p) for p in _folder().glob(f"*{SUFFIX}")]
    return [path for _, path in sorted(found, reverse=True)]


def new_path(name: str) -> Path:
    """Where the next one goes: named after the model that learns and the time, not the patient.

    Parameters
    ----------
    name : str
        Of the model that learns.
    """
    plain = re.sub(r"[^\w ,()-]+", "-", name)[:80]
    stem = f"{plain} learnt {time.strftime('%Y-%m-%d %H-%M-%S')}"
    path, number = _folder() / f"{stem}{SUFFIX}", 2
    while path.exists():
        path, number = _folder() / f"{stem} {number}{SUFFIX}", number + 1
    return path


def prune(used: Collection[Path]) -> list[Path]:
    """Remove all but the newest `KEPT`; those that were removed.

    Parameters
    ----------
    used : collection of Path
        These stay, however old.
    """
    old = [path for path in models()[KEPT:] if path not in used]
    for path in old:
        remove(path)
    return old


def remove(model: Path) -> None:
    """Remove a model that learnt, and what it was taught; one that is in use stays for now."""
    for path in (model, lessons_of(model)):
        with contextlib.suppress(OSError):  # Windows, while it is open: the next lesson removes it
            path.unlink(missing_ok=True)


def copy(model: Path, path: Path) -> Path:
    """Keep a copy of a model, and of what it was taught, elsewhere; where it is.

    Parameters
    ----------
    model : Path
    path : Path
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
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if path == model:
        return path
    for source, target in ((lessons_of(model), lessons_of(path)), (model, path)):
        if source.is_file():
            with replaced(target) as beside:
                shutil.copyfile(source, beside)
    return path


def _folder() -> Path:
    return data_folder() / "learnt"
