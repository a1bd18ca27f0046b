"""Saving a result as a file for other programs, with the sidecar that says how it was made.

Everything is written by Slicer's own storage nodes, of this module's and not of the scene's: where
Slicer saves the result's nodes does not change. A file is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from spad.cases import (
    edited_pixels,
    file_stem,
    json_bytes,
    read_json,
    refuse_long_names,
    replaced,
    replaced_together,
    sidecar,
)
from spad.checkpoint import own_class
from spad.measuring import Scale
from SPADLib.scene import (
    BINARY,
    Result,
    Segments,
    array_of,
    as_called,
    directions_of,
    eye_of,
    ijk_to_ras,
    inner_source,
    known_mm,
    place_fovea,
    read_segments,
    scale_of,
    spacing_of,
)

__all__ = ["SUFFIXES", "overlap_of", "save", "save_volume", "storage_names"]

SUFFIXES = {
    ".seg.nrrd": "Segmentation of 3D Slicer",
    ".nii.gz": "NIfTI label map",
    ".nii": "NIfTI label map, not compressed",
    ".nrrd": "NRRD label map",
}
"""File name extensions, the longer before those that they end in, and what they are."""
_TOP = 254  # 255 is ignore


def save(result: Result, path: str | os.PathLike[str], *, replace: bool = False) -> list[Path]:
    """Write a result as it is now, and its sidecar ``NAME.spad.json`` beside it.

    A segmentation has all segments. A label map has the class values, and the next values for
    segments of the person's own; the sidecar names them all. Files hold no parent transform: where
    there is one, the sidecar says so.

    Parameters
    ----------
    result : Result
    path : path
        Its extension, one of `SUFFIXES`, says what is written.
    replace : bool
        Replace a file that was saved here before.

    Returns
    -------
    list of Path
        The label image and the sidecar.

    Raises
    ------
    ValueError
        An unknown extension; a file that exists; a folder that is missing or cannot be written to;
        a grid that the format cannot hold; or the volume was removed from the scene.
    """
    path = Path(path).absolute()
    suffix = _suffix(path)
    _refuse_folder(path.parent)
    if result.volume is None:
        raise ValueError(
            f"the volume of “{result.segmentation.GetName()}” was removed from the scene, and with "
            "it the grid: load the scene again, or save the segmentation in Slicer's own way"
        )
    result.follow()
    as_segmentation = suffix == ".seg.nrrd"
    if as_segmentation and inner_source(result.segmentation.GetSegmentation()) != BINARY:
        raise ValueError(
            f"“{result.segmentation.GetName()}” is edited as something else than a label map, "
            "which .seg.nrrd cannot hold: make “Binary labelmap” its source representation in "
            "Segmentations, or save it as .nii.gz or .nrrd"
        )
    if suffix.startswith(".nii"):
        _refuse_sheared(result.volume, path)
    own = _own_segments(result)
    labels = read_segments(result.segmentation, {**result.values, **own}, result.volume).labels
    beside = path.with_name(f"{path.name[: -len(suffix)]}.spad.json")
    refuse_long_names(path, beside)
    content = _describe(result, labels, own, path.name, as_segmentation)
    _refuse_existing(path, beside, content, replace)
    if as_segmentation:
        node, storage = result.segmentation, slicer.vtkMRMLSegmentationStorageNode()
    else:
        node = _label_map(labels, result.volume)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    with _in_words(path), replaced_together(path, beside) as (file, described):
        _write(storage, node, file, path)
        described.write_bytes(json_bytes(content))
    return [path, beside]


def save_volume(node: Any, path: Path) -> None:
    """Write a volume by itself, such as an uncertainty; raises as `save` does."""
    with _in_words(path), replaced(path) as file:
        _write(slicer.vtkMRMLVolumeArchetypeStorageNode(), node, file, path)


def overlap_of(result: Result, path: Path) -> int:
    """Pixels of several segments in a file that keeps the last of them alone."""
    if _suffix(path) == ".seg.nrrd":
        return 0
    every = {**result.values, **_own_segments(result)}
    return read_segments(result.segmentation, every, result.volume).overlap


def storage_names(result: Result) -> dict[str, str]:
    """File names to offer for a result, by their extension; no node learns of them."""
    stem = file_stem(result.segmentation.GetName(), "segmentation")
    return {suffix: f"{stem}{suffix}" for suffix in SUFFIXES}


# ---------------------------------------------------------------------- what is refused


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.casefold().endswith(suffix) and len(path.name) > len(suffix):
            return suffix
    raise ValueError(
        f"“{path.name}” has no extension that is known here: name it "
        + ", ".join(f"{suffix} ({what})" for suffix, what in SUFFIXES.items())
    )


def _refuse_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"the folder “{folder}” does not exist: make it, or choose another")
    if not os.access(folder, os.W_OK):
        raise ValueError(_locked(folder))


def _refuse_existing(path: Path, beside: Path, content: dict[str, Any], replace: bool) -> None:
    """Raise where something would be replaced that is not ours, or that nobody asked to replace."""
    there = [file for file in (path, beside) if file.exists()]
    if not there:
        return
    known = _known(beside)
    described = str(known.get("labels"))
    stem = beside.name.removesuffix(".spad.json")
    if described not in {stem + suffix for suffix in SUFFIXES}:
        if path not in there and isinstance(known.get("labels"), str):  # another host's
            raise ValueError(
                f"“{beside}” exists and describes “{described}”, which it would tell nothing of "
                "any more: choose another name"
            )
        raise ValueError(
            f"“{there[0]}” exists and was not saved by SPAD: choose another name, or remove it "
            "first"
        )
    # The same result in a second format: one sidecar does for both.
    same = all(known.get(key) == content[key] for key in ("image", "provenance", "edited"))
    if not replace and (path.exists() or not same):
        raise ValueError(
            f"“{there[0]}” exists{'' if path.exists() else f' and describes “{described}”'}: "
            "choose another name, or ask to replace it"
        )


def _known(beside: Path) -> dict[str, Any]:
    """What a sidecar holds; nothing where it is none."""
    try:
        content = read_json(beside)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _refuse_sheared(volume: Any, path: Path) -> None:
    steps = directions_of(volume)
    if np.abs(steps @ steps.T - np.eye(3)).max() > 1e-4:
        raise ValueError(
            f"the axes of “{volume.GetName()}” are not at right angles, which NIfTI cannot hold: "
            f"save “{path.name}” as .seg.nrrd or .nrrd"
        )


def _locked(folder: Path) -> str:
    return (
        f"the folder “{folder}” cannot be written to: choose another, or ask whoever administers "
        "it for permission"
    )


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ValueError(_locked(path.parent)) from error
    except OSError as error:
        raise ValueError(
            f"“{path}” was not saved ({error.strerror or error}): free some space, or choose "
            "another folder"
        ) from error


# ---------------------------------------------------------------------- what is written


def _own_segments(result: Result) -> Segments:
    """Segments of the person's own, with the values that follow the classes'."""
    known = result.values
    inner = result.segmentation.GetSegmentation()
    first = max(c.value for c in result.classes) + 1
    own = [s for s in inner.GetSegmentIDs() if s not in known]
    if first + len(own) - 1 > _TOP:
        raise ValueError(
            f"“{result.segmentation.GetName()}” has {len(own)} segments of your own; with the "
            f"model's classes a file has room for {_TOP - first + 1}: remove some"
        )
    return {s: first + n for n, s in enumerate(own)}


def _describe(
    result: Result, labels: NDArray[np.uint8], own: Segments, name: str, as_segmentation: bool
) -> dict[str, Any]:
    """Give the sidecar of a result; `labels` are (K, J, I) with the person's own segments."""
    inner = result.segmentation.GetSegmentation()
    classes = [c.as_json() for c in as_called(result.segmentation)]
    every = list(classes)
    for segment, value in own.items():
        every.append(_class_of(inner.GetSegment(segment), value, [c["name"] for c in every]))
    painted = result.by_hand().astype(np.uint8)
    known = known_mm(result.volume, result.layout)
    content = sidecar(
        labels=name,
        image=result.volume.GetName(),
        shape=labels.shape,
        spacing_mm=None if None in known else spacing_of(result.volume),
        classes=classes if as_segmentation else every,  # a segmentation names its own itself
        provenance=result.provenance,
        edited=edited_pixels(result.layout.stack(labels), painted, every),
        facts=_facts(result),
    )
    if as_segmentation:  # its file may reach further than the image, or have another grid
        content["ijk_to_ras"] = ijk_to_ras(result.volume).tolist()
    content["layout"] = result.layout.code  # `edited` counts B-scans, `shape` is along k, j, i
    content["parent_transform"] = _parent_transform(
        result.segmentation if as_segmentation else result.volume
    )
    return dict(json.loads(json.dumps(content)))


def _facts(result: Result) -> dict[str, Any]:
    """What the section Measure rests on: the scale with its origin, the eye, the fovea."""
    try:
        scale = scale_of(result)
    except ValueError:  # a pixel has no one size, or nobody told it: nobody is to measure
        scale = Scale()
    facts: dict[str, Any] = {"scale": scale.as_json(), "eye": eye_of(result.volume)}
    if (fovea := place_fovea(result)) is not None:
        deep, _, wide = result.layout.order(array_of(result.volume).shape[:3])
        if all(-0.5 <= at <= n - 0.5 for at, n in zip(fovea, (deep, wide), strict=True)):
            facts["fovea"] = {"at": list(fovea), "origin": "the point in 3D Slicer"}
    return facts


def _class_of(segment: Any, value: int, names: list[str]) -> dict[str, Any]:
    red, green, blue = (round(255 * level) for level in segment.GetColor())
    return own_class(value, segment.GetName() or "", (red, green, blue), names).as_json()


def _label_map(labels: NDArray[np.uint8], volume: Any) -> Any:
    """Make a label map node on a volume's grid, in no scene."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(labels))
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    return node


def _parent_transform(node: Any) -> dict[str, Any] | None:
    """Describe the transform that a node is under, and its file is not; None: there is none.

    Linear ones with their matrix from the file's RAS to the world's.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    said: dict[str, Any] = {"applied": False, "to_world_ras": None}
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        said["to_world_ras"] = np.asarray(slicer.util.arrayFromVTKMatrix(matrix)).tolist()
    return said


def _write(storage: Any, node: Any, file: Path, path: Path) -> None:
    """Write in a folder of its own, where Slicer may leave what it likes if it fails."""
    with tempfile.TemporaryDirectory(prefix=".spad-", dir=path.parent) as folder:
        fresh = Path(folder, path.name)
        storage.SetFileName(str(fresh))
        storage.SetUseCompression(not path.name.endswith(".nii"))
        if storage.WriteData(node) and fresh.exists():
            os.replace(fresh, file)
            return
    said = storage.GetUserMessages().GetAllMessagesAsString().strip()
    raise ValueError(
        f"Slicer could not write “{path}”{f' ({said})' if said else ''}: is the disk full? Free "
        "some space, or choose another folder or format"
    )
