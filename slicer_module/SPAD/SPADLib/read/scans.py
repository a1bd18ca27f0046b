"""Scans of small makers by the engine's reader, as volumes that know where their mm come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from SPADLib.read.pictures import add_picture, scaled

__all__ = ["load_scan"]


def load_scan(path: Path, size: Any = None) -> Any:
    """Load a Bioptigen or Optovue ``.OCT`` or a Zeiss ``.img`` into the scene.

    Parameters
    ----------
    path : Path
    size : spad.pictures.CubeSize, optional
        That an ``.img`` has, as a person says.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        B-scans along K; 1 mm along an axis whose length is not known. What the user should know of
        it is its description.

    Raises
    ------
    ValueError, OSError
        With the file's name and the remedy.
    """
    from spad.pictures import read_scan

    scan = read_scan(path, size)
    node = scaled(add_picture(scan.pixels, "vtkMRMLScalarVolumeNode", path), scan.scale)
    node.SetDescription("; ".join(scan.notes))
    return node
