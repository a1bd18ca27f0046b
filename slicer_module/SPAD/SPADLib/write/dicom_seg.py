"""DICOM SEG of a result, by the plugin of the QuantitativeReporting extension.

The plugin gets a copy of the segmentation: without empty segments, which it cannot write and would
ask about, and with the tags by which a DICOM file says that a machine made a segment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer

from SPADLib.scene import BINARY, Result, into_study, read_segments, tag_of

__all__ = ["available", "export"]

PLUGIN = "DICOMSegmentationPlugin"
_LONG_STRING = 64
"""Characters that DICOM's LO holds."""


def available() -> str:
    """Say why DICOM SEG cannot be written here, and what helps; empty where it can."""
    plugins = getattr(slicer.modules, "dicomPlugins", None) or {}
    if PLUGIN in plugins:
        return ""
    return (
        "DICOM SEG needs the extension QuantitativeReporting: install it in the Extensions "
        "Manager (View, Extensions Manager), restart Slicer, and try again"
    )


def export(
    result: Result,
    folder: str | os.PathLike[str],
    *,
    plugin: Any = None,
) -> list[Path]:
    """Write a result as DICOM SEG, with the patient and study of its source.

    Parameters
    ----------
    result : Result
        Of a volume that was loaded from Slicer's DICOM database.
    folder : path
    plugin : optional
        With the methods of QuantitativeReporting's, which is the default.

    Returns
    -------
    list of Path
        The new files.

    Raises
    ------
    ValueError
        The plugin is missing, or says no; the volume is not from DICOM; nothing is segmented; a
        segment has no terminology code; the folder is missing.
    """
    if plugin is None:
        if missing := available():
            raise ValueError(missing)
        plugin = slicer.modules.dicomPlugins[PLUGIN]()
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise ValueError(f"the folder “{folder}” does not exist: make it, or choose another")
    _refuse_source(result)
    result.follow()
    before = _state(folder)
    with _copy(result) as (item, name):
        exportables = plugin.examineForExport(item)
        if not exportables:
            raise ValueError(
                f"the DICOM plugin does not take “{name}”: the images that it refers to are not "
                "in Slicer's DICOM database; import them in the DICOM module, and load them there"
            )
        for exportable in exportables:
            exportable.directory = str(folder)
            exportable.setTag("SeriesDescription", name[:_LONG_STRING])
        if failure := plugin.export(exportables):
            raise ValueError(f"the DICOM plugin did not write “{name}”: {failure}")
    written = sorted(file for file, seen in _state(folder).items() if before.get(file) != seen)
    if not written:
        raise ValueError(
            f"the DICOM plugin wrote no file of “{name}” to “{folder}”: look into the "
            "application's error log"
        )
    return written


def _refuse_source(result: Result) -> None:
    volume = result.volume
    if volume is None:
        raise ValueError(
            f"the volume of “{result.segmentation.GetName()}” was removed from the scene: load the "
            "scene again"
        )
    if not (volume.GetAttribute("DICOM.instanceUIDs") or "").split():
        raise ValueError(
            f"“{volume.GetName()}” was not loaded from Slicer's DICOM database, and a DICOM SEG "
            "refers to DICOM images: import them in the DICOM module and segment them there, or "
            "save this one as .seg.nrrd"
        )


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of a folder's files."""
    found = {}
    for file in folder.iterdir():
        if file.is_file():
            stat = file.stat()
            found[file] = (stat.st_size, stat.st_mtime_ns)
    return found


@contextmanager
def _copy(result: Result) -> Iterator[tuple[int, str]]:
    """Put a copy for the plugin into the scene; yield its item in the hierarchy, and its name."""
    original = result.segmentation
    scene = original.GetScene()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        raise ValueError("the scene has no subject hierarchy, which says whose images these are")
    filled = list(_filled(result))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", original.GetName())
    try:
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(original.GetTransformNodeID())  # what comes heeds it
        node.SetReferenceImageGeometryParameterFromVolumeNode(result.volume)
        inner = node.GetSegmentation()
        inner.SetSourceRepresentationName(BINARY)
        for segment, tags in filled:
            inner.CopySegmentFromSegmentation(original.GetSegmentation(), segment)
            copied = inner.GetSegment(segment)
            # By this name the plugin looks for pixels, and without it sees none.
            copied.GetRepresentation(BINARY).GetPointData().GetScalars().SetName("ImageScalars")
            for tag, value in tags.items():
                copied.SetTag(tag, value)
        item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(
            hierarchy.GetSceneItemID(), node
        )
        into_study(node, result.volume)
        # By this attribute the plugin looks whether the database has the source.
        hierarchy.SetItemAttribute(
            item, "DICOM.ReferencedInstanceUIDs", result.volume.GetAttribute("DICOM.instanceUIDs")
        )
        yield item, original.GetName()
    finally:
        display = node.GetDisplayNode()
        if item := hierarchy.GetItemByDataNode(node):
            hierarchy.RemoveItem(item, False)  # the node goes next
        scene.RemoveNode(node)
        if display is not None:
            scene.RemoveNode(display)


def _filled(result: Result) -> Iterator[tuple[str, dict[str, str]]]:
    """Segments that have pixels, and the tags that say who made them."""
    inner = result.segmentation.GetSegmentation()
    labels = result.read().labels
    painted = result.layout.volume(result.by_hand())
    proposal = result.layout.volume(result.proposal())
    model = result.segmentation.GetAttribute("SPAD.checkpoint") or "model"
    count = 0
    for segment in inner.GetSegmentIDs():
        value = result.values.get(segment)
        if value is None:
            inside = read_segments(result.segmentation, {segment: 1}, result.volume).labels > 0
            tags = {"DICOM.SegmentAlgorithmType": "MANUAL"}
        else:
            inside = labels == value
            touched = (painted & (inside | (proposal == value))).any()
            tags = {
                "DICOM.SegmentAlgorithmType": "SEMIAUTOMATIC" if touched else "AUTOMATIC",
                "DICOM.SegmentAlgorithmName": f"SPAD {model}"[:_LONG_STRING],
            }
        if not inside.any():
            continue
        one = inner.GetSegment(segment)
        if not tag_of(one, one.GetTerminologyEntryTagName()):
            raise ValueError(
                f"“{one.GetName()}” has no terminology code, without which DICOM SEG cannot say "
                "what it is: double-click its colour in Segmentations, and choose one"
            )
        count += 1
        yield segment, tags
    if not count:
        raise ValueError(
            f"“{result.segmentation.GetName()}” is empty: DICOM SEG holds only segments that have "
            "pixels"
        )
