"""A patient's pseudonym, from what DICOM says of a volume; see `spad.cases.pseudonyms`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from spad.cases import pseudonym
from SPADLib.host import data_folder

__all__ = ["patient_of"]


def patient_of(volume: Any, keys: Path | None = None) -> str | None:
    """Pseudonym of a volume's patient; None where DICOM does not say who that is.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode
    keys : Path, optional
        Where the key is; `SPADLib.host.data_folder` by default.

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
    return pseudonym(*said, folder=keys or data_folder())
