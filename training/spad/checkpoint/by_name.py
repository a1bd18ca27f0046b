"""Models by name: those that are shipped, and those that lie in folders kept for them.

This is the one place that turns a name into a file. Nothing here asks a network.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

__all__ = ["cache_folder", "installed", "model_folders", "model_path", "shipped"]


def cache_folder() -> Path:
    """Give the folder of what can be had again: ``$SPAD_CACHE``; it need not exist."""
    if given := os.environ.get("SPAD_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spad"


def model_folders() -> list[Path]:
    """Folders in which models are looked for by name; they need not exist.

    First those that ``$SPAD_MODELS`` names (several as in ``$PATH``), which SPAD only reads; last
    the user's own, where downloads go.
    """
    given = os.environ.get("SPAD_MODELS", "").split(os.pathsep)
    return [*(Path(folder) for folder in given if folder), cache_folder() / "models"]


def shipped() -> dict[str, Path]:
    """Names and paths of the checkpoints that come with the package, sorted by name."""
    return _models_in(Path(__file__).parent / "models")


def installed() -> dict[str, Path]:
    """Names and paths of all models that are on this machine: the shipped ones come first.

    Where two bear one name, the shipped one counts, then that of the first folder.
    """
    found = shipped()
    for folder in model_folders():
        found |= {n: p for n, p in _models_in(folder).items() if n not in found}
    return found


def model_path(name: str | os.PathLike[str]) -> Path:
    """Path of a checkpoint that is given by name or by path; a name goes before a file.

    Raises
    ------
    ValueError
        It is neither, with the nearest name.
    """
    models, path = installed(), Path(name)
    if (found := models.get(str(name))) is not None:
        return found
    if os.path.exists(path) or path.suffix or len(path.parts) != 1:
        return path
    near = difflib.get_close_matches(str(name), models, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(models) or 'none'}"
    raise ValueError(
        f"{name}: there is no such file and no such model; {hint} (`spad models` lists also those "
        "to download)"
    )


def _models_in(folder: Path) -> dict[str, Path]:
    try:
        return {p.stem: p for p in sorted(folder.glob("*.safetensors")) if os.path.isfile(p)}
    except OSError:  # a share that is away
        return {}
