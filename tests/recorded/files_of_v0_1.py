"""The files that version 0.1 wrote (`make_v0_1.py`), laid out where a test may change them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["V0_1", "arrays", "laid_out"]

V0_1 = Path(__file__).parent / "v0_1"
_TEXTS = (".json", ".jsonl", ".toml", ".txt", ".ini")


def laid_out(part: str, folder: Path) -> Path:
    """Copy a part into an empty folder, whose path is what the program then wrote into it."""
    shutil.copytree(V0_1 / part, folder, dirs_exist_ok=True)
    for file in folder.rglob("*"):
        if file.suffix in _TEXTS:
            text = file.read_text("utf-8")
            file.write_text(text.replace("FOLDER", folder.as_posix()), "utf-8")
    return folder


def arrays(name: str) -> dict[str, NDArray]:
    """The arrays of an archive, by name."""
    with np.load(V0_1 / name) as archive:
        return {key: archive[key] for key in archive.files}
