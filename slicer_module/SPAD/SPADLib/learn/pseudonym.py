"""A patient's pseudonym, from what DICOM says of a volume; see `spad.cases.pseudonyms`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import slicer

from spad.cases import pseudonym

__all__ = ["key_folder", "patient_of"]


def patient_of(volume: Any, keys: Path | None = None) -> str | None:
    """Pseudonym of a volume's patient; None where DICOM does not say who that is.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode
    keys : Path, optional
        Where the key is; `key_folder` by default.

    Raises
    ------
    ValueError, OSError
        The key is damaged, or can be neither read nor made.
    """
    names = slicer.vtkMRMLSubjectHierarchyConstants
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = 0 if hierarchy is None else hierarchy.GetItemByDataNode(volume)
    patient = item and hierarchy.GetItemAncestorAtLevel(item, names.GetDICOMLevelPatient())
    if not patient:
        return None
    said = [
        hierarchy.GetItemAttribute(patient, names.GetDICOMPatientIDAttributeName()),
        hierarchy.GetItemAttribute(patient, names.GetDICOMPatientNameAttributeName()),
    ]
    return pseudonym(*said, folder=keys or key_folder())


def key_folder() -> Path:
    """Where the key of the pseudonyms is: the same for every host of SPAD on this machine.

    Two hosts with two keys would put one patient into training and validation.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "napari-spad"
