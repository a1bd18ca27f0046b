"""Where on this machine a person's own files of SPAD are, beside the scenes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["data_folder"]


def data_folder() -> Path:
    """The user's data folder: the same for every host of SPAD on this machine.

    The key of the pseudonyms is there: with two keys, one patient would come into training and
    validation. So are the models that learnt.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "napari-spad"
