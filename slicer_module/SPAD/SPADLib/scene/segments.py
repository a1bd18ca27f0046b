"""Where segmentations and label maps of the scene become label maps on a volume's grid, and back.

They may have a grid of their own, other extents and other transforms: they are brought to the grid
by nearest neighbour, in world coordinates. A result's own segments share one label map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SPADLib.scene.grid import BINARY, inner_source, lattice_box, on_grid, transform_between
from SPADLib.scene.volumes import array_of, oriented, shape_of

__all__ = [
    "Read",
    "Segments",
    "labels_of_volume",
    "read_segments",
    "refuse_unwritable",
    "replace_labels",
    "write_segments",
]

Segments = Mapping[str, int]
"""Segment id -> class value."""


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Read:
    """A label map on a volume's grid, and what happened on the way there.

    Parameters
    ----------
    labels : array of uint8 or int, shape (K, J, I)
    resampled : bool
        It came from another grid.
    overlap : int
        Pixels that several segments claim; the last of them has it.
    """

    labels: NDArray[Any]
    resampled: bool
    overlap: int = 0


def read_segments(segmentation: Any, values: Segments, volume: Any) -> Read:
    """Read segments as one label map of uint8 on a volume's grid.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    values : mapping of str to int
        Which segments, and their class values.
    volume : vtkMRMLVolumeNode

    Raises
    ------
    ValueError
        A segment is not in the segmentation, or has no label map that could be made.
    """
    inner = segmentation.GetSegmentation()
    if unknown := [i for i in values if inner.GetSegment(i) is None]:
        raise ValueError(
            f"“{segmentation.GetName()}” has no segment {unknown[0]!r} any more: choose again"
        )
    out = np.zeros(shape_of(volume), np.uint8)
    if not values:
        return Read(out, False)
    if not inner.ContainsRepresentation(BINARY) and not inner.CreateRepresentation(BINARY):
        raise ValueError(
            f"“{segmentation.GetName()}” cannot be turned into a label map: in Segmentations, "
            "create the binary label map by hand and look at what it says"
        )
    resampled, overlap = False, 0
    for image, members in _layers(inner, values):
        if image.IsEmpty():
            continue
        array, box, moved = on_grid(image, segmentation, volume)
        resampled |= moved
        if array is None:
            continue
        table = {inner.GetSegment(i).GetLabelValue(): values[i] for i in members}
        if inner_source(inner) != BINARY:
            table = {1: values[members[0]]}
        codes = _look_up(array, table)
        here = out[box]
        overlap += int(np.count_nonzero((here > 0) & (codes > 0) & (here != codes)))
        np.copyto(here, codes, where=codes > 0)
    return Read(out, resampled, overlap)


def labels_of_volume(labels: Any, volume: Any) -> Read:
    """Read a label map volume on another volume's grid, by nearest neighbour.

    Raises
    ------
    ValueError
        It holds no whole numbers.
    """
    array = array_of(labels)
    if array.dtype.kind == "f" and (array == np.rint(array)).all():
        array = array.astype(np.int32)
    if array.dtype.kind not in "iu" or array.ndim != 3:
        raise ValueError(
            f"“{labels.GetName()}” holds {array.dtype} pixels, not one whole number each: choose a "
            "label map, or a segmentation"
        )
    found, box, moved = on_grid(oriented(array, labels), labels, volume)
    out = np.zeros(shape_of(volume), array.dtype)
    if found is not None:
        out[box] = found
    return Read(out, moved)


def _layers(inner: Any, values: Segments) -> list[tuple[Any, list[str]]]:
    """Label map images of the segments: one of several share it, in the segments' order."""
    found: list[tuple[Any, list[str]]] = []
    for segment in inner.GetSegmentIDs():
        if segment not in values:
            continue
        image = inner.GetSegment(segment).GetRepresentation(BINARY)
        if image is None:
            continue
        for known, members in found:
            if known is image:
                members.append(segment)
                break
        else:
            found.append((image, [segment]))
    return found


def _look_up(array: NDArray[Any], table: Mapping[int, int]) -> NDArray[np.uint8]:
    """Label values to class values; what the table lacks is 0."""
    top = max(table, default=0)
    if array.dtype.kind == "u" and array.dtype.itemsize == 1:
        whole = np.zeros(256, np.uint8)
        for value, code in table.items():
            whole[value] = code
        return np.asarray(whole[array])
    codes = np.zeros(top + 2, np.uint8)  # the last entry is for all values beyond
    for value, code in table.items():
        codes[value] = code
    inside = np.where((array >= 0) & (array <= top), array, top + 1)
    found: NDArray[np.uint8] = codes[inside.astype(np.intp)]
    return found


# ---------------------------------------------------------------------- writing


def write_segments(
    segmentation: Any, labels: NDArray[np.uint8], classes: Sequence[tuple[str, Any]], volume: Any
) -> None:
    """Give an empty segmentation a segment for every class, also for those that do not occur.

    All share one label map, so that painting one takes from the others and nothing is split.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    labels : array of uint8, shape (K, J, I)
        Class values on the volume's grid.
    classes : sequence of (str, vtkSegment)
        Id and segment, with name, colour, tags and label value.
    volume : vtkMRMLVolumeNode
    """
    inner = segmentation.GetSegmentation()
    inner.SetSourceRepresentationName(BINARY)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())  # what comes heeds it
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    image = oriented(labels, volume)
    for name, segment in classes:
        segment.AddRepresentation(BINARY, image)
        inner.AddSegment(segment, name)


def replace_labels(
    segmentation: Any,
    values: Segments,
    volume: Any,
    where: NDArray[np.bool_],
    labels: NDArray[np.uint8],
) -> None:
    """Change some pixels of a segmentation, and no other.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    values : mapping of str to int
        Segments that may change, and their class values. Others stay as they are.
    volume : vtkMRMLVolumeNode
        The grid of `where` and `labels`.
    where : array of bool, shape (K, J, I)
    labels : array of uint8, shape (K, J, I)
        Class values there; 0, or a class without a segment here, clears.

    Raises
    ------
    ValueError
        As of `refuse_unwritable`; nothing is changed then.
    """
    inner = segmentation.GetSegmentation()
    box = _bounds(where)
    if box is None:
        return
    refuse_unwritable(segmentation, values, volume)
    for image, members in _layers(inner, values):
        present = {s: inner.GetSegment(s).GetLabelValue() for s in members}
        full = np.zeros(shape_of(volume), np.min_scalar_type(max(_all_values(inner, image))))
        if not image.IsEmpty():
            found, here, _ = on_grid(image, segmentation, volume)
            if found is not None:
                full[here] = found
        part, mask, new = full[box], where[box], labels[box]
        part[mask & np.isin(part, list(present.values()))] = 0
        for segment, value in present.items():
            part[mask & (new == values[segment]) & (part == 0)] = value
        image.ShallowCopy(oriented(full, volume))
        image.Modified()


def refuse_unwritable(segmentation: Any, values: Segments, volume: Any) -> None:
    """Refuse a segmentation whose segments cannot be changed pixel by pixel.

    Raises
    ------
    ValueError
        It is edited as something else than label maps, or they lie on another grid than the volume.
    """
    inner, name, of = segmentation.GetSegmentation(), segmentation.GetName(), volume.GetName()
    if (source := inner_source(inner)) != BINARY:
        raise ValueError(
            f"“{name}” is edited as “{source}”, where no pixel can be written: make “{BINARY}” its "
            "source representation in Segmentations, or segment anew"
        )
    for image, _ in _layers(inner, values):
        if image.IsEmpty():
            continue
        if transform_between(segmentation, volume) is not None:
            raise ValueError(
                f"“{name}” lies under another transform than “{of}”: put both under the "
                "same one in the module Data, or harden them, or segment anew"
            )
        if lattice_box(image, volume) is None:
            raise ValueError(
                f"“{name}” has other pixels than “{of}”: choose “{of}” as source "
                "geometry under Specify geometry in the Segment Editor, or segment anew"
            )


def _all_values(inner: Any, image: Any) -> list[int]:
    """Label values of all the segments that share an image."""
    return [
        inner.GetSegment(s).GetLabelValue()
        for s in inner.GetSegmentIDs()
        if inner.GetSegment(s).GetRepresentation(BINARY) is image
    ]


def _bounds(where: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    if not where.any():
        return None
    box = []
    for axis in range(3):
        held = np.flatnonzero(where.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(box)
