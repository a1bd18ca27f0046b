"""The nodes of a result as they are made: the segmentation, its uncertainty, its proposal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.cases import Layout
from spad.checkpoint import IGNORE, NOTICE
from SPADLib.scene.segments import read_segments, write_segments
from SPADLib.scene.structures import class_segments, kept, structures_of
from SPADLib.scene.uncertainty_colours import show_uncertainty
from SPADLib.scene.volumes import array_of, from_world, into_study, new_volume, nodes_of

__all__ = [
    "EYE",
    "FOVEA",
    "MAP",
    "PERCENT",
    "PROPOSAL",
    "REVIEW",
    "UNCERTAINTY",
    "VOLUME",
    "accepted_sums",
    "add_probability",
    "companion",
    "companions",
    "eye_of",
    "fovea_of",
    "made_by_spad",
    "make_nodes",
    "own_companions",
    "percent",
    "place_fovea",
    "recovered",
    "refusal",
]

VOLUME, UNCERTAINTY, PROPOSAL = "SPAD.volume", "SPAD.uncertainty", "SPAD.proposal"
"""Roles of the node references of a result's segmentation."""
FOVEA = "SPAD.fovea"
"""And of that to the point of the fovea."""
MAP = "SPAD.map"
"""And to its en-face map; an attribute of that: its class value."""
REVIEW = "SPAD.review"
"""Attribute of it: state and check sum of the accepted labels, by B-scan."""
EYE = "SPAD.eye"
"""Attribute of a volume: "OD" or "OS", as a person said."""
PERCENT = 100


def make_nodes(volume: Any, layout: Layout, run: Any, first: int) -> Any:
    """Make the segmentation of a run on a volume, and its companions; see `Result.create`."""
    scene = volume.GetScene()
    name = f"{volume.GetName()} {run.provenance['checkpoint']['name']}"
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(scene.GenerateUniqueName(name))
    # Before it enters the scene: node selectors look whether it is a result as it comes.
    node.SetAttribute("SPAD.classes", json.dumps([c.as_json() for c in run.classes]))
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    shape = array_of(volume).shape[:3]
    count = len(run.labels)
    part = slice(first, first + count)
    labels = np.zeros(shape, np.uint8)
    layout.stack(labels)[part] = run.labels
    write_segments(node, labels, class_segments(run.classes), volume)
    into_study(node, volume)
    doubt = np.zeros(shape, np.uint8)
    for z in range(count):
        layout.stack(doubt)[first + z] = percent(run.uncertainty[z])
    node.SetNodeReferenceID(VOLUME, volume.GetID())
    _add_uncertainty(node, doubt, volume)
    _add_proposal(node, labels, volume)
    node.SetAttribute("SPAD.layout", layout.code)
    node.SetAttribute("SPAD.notice", NOTICE)
    node.SetAttribute("SPAD.checkpoint", run.provenance["checkpoint"]["name"])
    return node


def _add_uncertainty(segmentation: Any, doubt: NDArray[np.uint8], volume: Any) -> None:
    made = new_volume(f"{segmentation.GetName()} uncertainty (%)", doubt, volume)
    show_uncertainty(made)
    segmentation.SetNodeReferenceID(UNCERTAINTY, made.GetID())


def _add_proposal(segmentation: Any, labels: NDArray[np.uint8], volume: Any) -> None:
    kind = "vtkMRMLLabelMapVolumeNode"
    made = new_volume(f"{segmentation.GetName()} proposal", labels, volume, kind=kind)
    made.SetHideFromEditors(True)
    segmentation.SetNodeReferenceID(PROPOSAL, made.GetID())


def add_probability(segmentation: Any, volume: Any, layout: Layout, run: Any, first: int) -> None:
    """Add a volume of each structure's probability, in percent."""
    for c in run.classes[1:]:
        array = np.zeros(array_of(volume).shape[:3], np.uint8)
        for z in range(len(run.labels)):
            layout.stack(array)[first + z] = percent(run.probability[c.value][z])
        node = new_volume(f"{segmentation.GetName()} {c.name} (%)", array, volume)
        node.CreateDefaultDisplayNodes()
        node.SetAttribute("SPAD.probability_of", c.name)


def made_by_spad(volume: Any) -> str:
    """What a volume is that came of a run: "an uncertainty", say; empty where it is an image."""
    if volume.GetAttribute("SPAD.probability_of"):
        return "a probability"
    if volume.GetAttribute(MAP):
        return "a map of heights"
    results = nodes_of(volume.GetScene(), "vtkMRMLSegmentationNode") if volume.GetScene() else []
    mine = any(r.GetNodeReference(UNCERTAINTY) is volume for r in results)
    return "an uncertainty" if mine else ""


def companion(segmentation: Any, role: str) -> NDArray[np.uint8]:
    """Pixels of a result's uncertainty or proposal; a ValueError where it was removed."""
    node = segmentation.GetNodeReference(role)
    if node is None:
        raise ValueError(
            f"the {role.rpartition('.')[2]} of “{segmentation.GetName()}” was removed from the "
            "scene: segment the volume again"
        )
    return array_of(node)


def accepted_sums(segmentation: Any) -> dict[int, Any]:
    """The B-scans that a person has accepted, and the check sums of their labels then."""
    return {
        int(z): entry[1]
        for z, entry in kept(segmentation, REVIEW, {}).items()
        if z.isdecimal() and isinstance(entry, list) and entry[:1] == ["accepted"] and entry[1:]
    }


def companions(segmentation: Any) -> list[Any]:
    """A result's uncertainty and proposal, where no other segmentation (a clone) has them too."""
    others = nodes_of(segmentation.GetScene(), "vtkMRMLSegmentationNode")
    others.remove(segmentation)
    found = [segmentation.GetNodeReference(role) for role in (UNCERTAINTY, PROPOSAL)]
    theirs = [n.GetNodeReference(role) for n in others for role in (UNCERTAINTY, PROPOSAL)]
    return [n for n in found if n is not None and n not in theirs]


def own_companions(segmentation: Any) -> None:
    """Give a result whose companions are a clone's too some of its own, before they change."""
    volume, mine = segmentation.GetNodeReference(VOLUME), companions(segmentation)
    for role, add in ((UNCERTAINTY, _add_uncertainty), (PROPOSAL, _add_proposal)):
        node = segmentation.GetNodeReference(role)
        if node is not None and node not in mine:
            add(segmentation, array_of(node).copy(), volume)


def refusal(segmentation: Any) -> str:
    """Why a segmentation cannot be used as a result, and what helps; empty where it can."""
    name = segmentation.GetName()
    if not segmentation.GetAttribute("SPAD.classes"):
        return f"“{name}” was not made by SPAD: choose one that was, or segment a volume"
    stays = f"“{name}” itself stays in the scene, and can be the reference of Scores"
    shapes = set()
    for role in (VOLUME, UNCERTAINTY, PROPOSAL):
        node, what = segmentation.GetNodeReference(role), role.rpartition(".")[2]
        if node is None:
            return f"The {what} of “{name}” is not in the scene: segment the volume again. {stays}"
        if not _has_pixels(node):
            return (
                f"The {what} of “{name}”, “{node.GetName()}”, has no pixels. Was the scene saved "
                "without its hidden nodes, or is a file of it missing? Load it with all its files, "
                f"or segment the volume again. {stays}"
            )
        shapes.add(node.GetImageData().GetDimensions())
    if len(shapes) > 1:
        sizes = " and ".join("×".join(map(str, s)) for s in sorted(shapes))
        return (
            f"“{name}” and its volume, uncertainty or proposal are not of one size ({sizes}): "
            f"segment the volume again. {stays}"
        )
    return ""


def _has_pixels(volume: Any) -> bool:
    image = None if volume is None else volume.GetImageData()
    return bool(image and image.GetNumberOfPoints() and image.GetPointData().GetScalars())


def recovered(segmentation: Any) -> str:
    """Make a result's proposal and uncertainty anew where they are gone or have no pixels.

    Without the proposal nobody can tell what a person edited. So all of the B-scans that are
    labelled counts as by hand (`IGNORE` in the proposal): no run may change it.

    Returns
    -------
    str
        What to know of it; empty where nothing was lacking, or the volume is.
    """
    volume, name = segmentation.GetNodeReference(VOLUME), segmentation.GetName()
    if not segmentation.GetAttribute("SPAD.classes") or not _has_pixels(volume):
        return ""
    try:
        layout = Layout.of(segmentation.GetAttribute("SPAD.layout") or "")
    except ValueError:  # a scene may come from anywhere
        return ""
    told = []
    if not _has_pixels(segmentation.GetNodeReference(PROPOSAL)):
        labels = read_segments(segmentation, structures_of(segmentation), volume).labels
        segmented = kept(segmentation, "SPAD.bscans", [])
        for z, bscan in enumerate(layout.stack(labels)):
            if z in segmented or bscan.any():
                bscan[:] = IGNORE
        _add_proposal(segmentation, labels, volume)
        told.append(
            f"What the model wrote into “{name}”, its proposal, was not in the scene, so nobody "
            "can tell what you painted: all that is labelled counts as by hand, and no run "
            "changes it. For new drafts, segment into a new segmentation."
        )
    if not _has_pixels(segmentation.GetNodeReference(UNCERTAINTY)):
        _add_uncertainty(segmentation, np.zeros(array_of(volume).shape[:3], np.uint8), volume)
        told.append(
            f"The uncertainty of “{name}” was not in the scene and is taken for 0 %: Next goes in "
            "the order of the B-scans."
        )
    return " ".join(told)


def percent(share: NDArray[Any]) -> NDArray[np.uint8]:
    """Whole percents of shares in 0..1."""
    return np.rint(np.asarray(share, np.float32) * PERCENT).astype(np.uint8)


def eye_of(volume: Any) -> str | None:
    """Which eye a volume is of, as a person said: "OD", "OS" or None."""
    told = volume.GetAttribute(EYE)
    return told if told in ("OD", "OS") else None


def fovea_of(result: Any) -> Any:
    """The point (vtkMRMLMarkupsFiducialNode) of a result's fovea; None where there is none."""
    node = result.segmentation.GetNodeReference(FOVEA)
    return node if node is not None and node.GetNumberOfControlPoints() else None


def place_fovea(result: Any) -> tuple[float, float] | None:
    """Where it is: (B-scan, column), from 0; None where there is no point."""
    node = fovea_of(result)
    if node is None:
        return None
    ras = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, ras)
    i, j, k = from_world(np.array([ras]), result.volume)[0]
    bscan, _, column = result.layout.place((k, j, i), array_of(result.volume).shape[:3])
    return float(bscan), float(column)
