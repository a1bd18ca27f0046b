"""Corrected B-scans into a case folder that ``spad train`` reads: the same as of every host.

Nothing that is written tells who the patient is: a keyed pseudonym stands for them, and files are
named after that, the B-scan's number and a hash of its pixels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.cases import (
    Written,
    as_grey,
    bscan_case,
    describe,
    image_pseudonym,
    known_bscans,
    pseudonym,
    write_cases,
)
from spad.checkpoint import IGNORE
from SPADLib.scene import Input, Result, open_input, png_bytes, read_segments

__all__ = ["add", "candidates", "key_folder", "patient_of"]

"""Of PNG files: they shrink little with more, and take longer."""


def add(
    result: Result,
    bscans: Sequence[int],
    folder: str | os.PathLike[str],
    *,
    annotated: Collection[str],
    own_patients: bool,
    replace: bool = True,
    keys: Path | None = None,
) -> Generator[str, None, Written]:
    """Add B-scans to a training set, one at each step; to stop, drop the generator.

    What is added is the label map at the first step, so that painting on changes nothing. Where a
    segment of the person's own lies, no class is learned.

    Parameters
    ----------
    result : Result
    bscans : sequence of int
        From 0.
    folder : path
        A training set, or an empty or new folder.
    annotated : collection of str
        Structures that a person looked for. Pixels of the others are not learned.
    own_patients : bool
        Each B-scan is of another patient. Where DICOM says who the patient is, that counts.
    replace : bool
        Replace a B-scan that is in the set; its older label map is kept.
    keys : Path, optional
        Where the key of the pseudonyms is; `key_folder` by default.

    Yields
    ------
    str
        How far it is; at the end, what was written and what the set holds now.

    Returns
    -------
    Written
        What was written, over all B-scans.

    Raises
    ------
    ValueError
        No B-scan, or one that is neither segmented nor painted; a folder that is no training set,
        has other classes, or cannot be written to; pixels that make no image; an unknown structure;
        the volume was removed.
    """
    if result.volume is None:
        raise ValueError(
            f"the volume of “{result.segmentation.GetName()}” was removed from the scene: load the "
            "scene again"
        )
    labels = np.array(result.labels())
    _refuse(result, bscans, labels)
    labels[(labels == 0) & _own(result)] = IGNORE
    runs = _inverted(result)
    source = open_input(result.volume, result.layout, inverted=False)
    shown = open_input(result.volume, result.layout).inverted
    names = {c.value: c.name for c in result.classes}
    known = known_bscans(folder)
    notes: dict[str, None] = {}
    patient = patient_of(result.volume, keys)
    if patient is None and not own_patients:
        patient = image_pseudonym(_grey(source, 0, runs.get(0, shown), {}))
    splits: dict[str, str] = {}
    kept: dict[str, Path] = {}
    written = Written({}, {}, {}, {})
    for number, z in enumerate(bscans, start=1):
        yield f"adding B-scan {number} of {len(bscans)}…"
        image = _grey(source, z, runs.get(z, shown), notes)
        case = bscan_case(
            image,
            labels[z],
            names,
            patient=patient or image_pseudonym(image),
            number=z + 1,
            annotated=annotated,
            spacing_mm=source.spacing_mm and source.spacing_mm[1:],
            known=known,
        )
        # One by one: whenever the generator is dropped, the set is whole.
        try:
            last = write_cases(folder, [case], names, encode=png_bytes, replace=replace)
        except OSError as error:
            raise ValueError(
                f"“{folder}” cannot be written to ({error.strerror or error}): free some space, "
                "or choose a folder of your own"
            ) from error
        splits |= last.splits
        kept |= last.kept
        written = Written(splits, kept, last.patients, last.images)
    yield describe(written, list(notes))
    return written


def candidates(
    result: Result, reviewed: Iterable[int], labels: NDArray[np.uint8] | None = None
) -> tuple[list[int], list[int]]:
    """List the B-scans that may be added, from 0.

    Parameters
    ----------
    result : Result
    reviewed : iterable of int
        Those that a person looked through and accepted.
    labels : array of uint8, shape (Z, H, W), optional
        From `Result.labels`, where it is at hand.

    Returns
    -------
    corrected : list of int
        Painted in, or accepted.
    labelled : list of int
        All that a model or a person has been at.
    """
    segmented = result.segmented
    painted = set(np.flatnonzero(result.by_hand(labels).any(axis=(1, 2))).tolist())
    corrected = painted | (segmented & set(reviewed))
    return sorted(corrected), sorted(segmented | corrected)


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


def _refuse(result: Result, bscans: Sequence[int], labels: NDArray[np.uint8]) -> None:
    if not bscans:
        raise ValueError("No B-scan is chosen: correct or accept some, or add the one on screen")
    if beyond := [z for z in bscans if not 0 <= z < len(labels)]:
        raise ValueError(
            f"B-scan {beyond[0] + 1} was asked for; “{result.volume.GetName()}” has 1 to "
            f"{len(labels)}: choose among these"
        )
    painted = np.asarray(result.by_hand(labels).any(axis=(1, 2)))
    known = result.segmented
    if empty := [z for z in bscans if z not in known and not painted[z]]:
        raise ValueError(
            f"B-scan {empty[0] + 1} is not segmented, and nothing is painted in it: as a case it "
            "would teach that there is nothing; segment it first"
        )


def _own(result: Result) -> NDArray[np.bool_]:
    """Where segments of the person's own lie, (Z, H, W)."""
    known = result.values
    own = {s: 1 for s in result.segmentation.GetSegmentation().GetSegmentIDs() if s not in known}
    return result.layout.stack(read_segments(result.segmentation, own, result.volume).labels) > 0


def _inverted(result: Result) -> dict[int, bool]:
    """Whether the model saw the negative, by B-scan, as the last run of each says."""
    found: dict[int, bool] = {}
    for run in result.provenance:
        first, count = run["bscans"]
        if "inverted" in run:
            found |= {z: bool(run["inverted"]) for z in range(first, first + count)}
    return found


def _grey(source: Input, bscan: int, inverted: bool, notes: dict[str, None]) -> NDArray[Any]:
    """Give a B-scan as the model sees it, in integers; add to `notes` what was done."""
    image, said = as_grey(source.stack[bscan], rgb=source.rgb)
    if said:
        notes[said] = None
    return np.iinfo(image.dtype).max - image if inverted else image
