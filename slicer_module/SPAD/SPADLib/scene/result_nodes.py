"""The nodes of a result as they are made: the segmentation, its uncertainty, its proposal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.checkpoint import NOTICE
from SPADLib.scene.bscan_layout import Layout
from SPADLib.scene.segments import write_segments
from SPADLib.scene.structures import class_segments
from SPADLib.scene.uncertainty_colours import show_uncertainty
from SPADLib.scene.volumes import array_of, into_study, new_volume

__all__ = [
    "PERCENT",
    "PROPOSAL",
    "UNCERTAINTY",
    "VOLUME",
    "add_probability",
    "make_nodes",
    "percent",
]

VOLUME, UNCERTAINTY, PROPOSAL = "SPAD.volume", "SPAD.uncertainty", "SPAD.proposal"
"""Roles of the node references of a result's segmentation."""
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
    uncertainty = new_volume(f"{node.GetName()} uncertainty (%)", doubt, volume)
    show_uncertainty(uncertainty)
    proposal = new_volume(
        f"{node.GetName()} proposal", labels, volume, kind="vtkMRMLLabelMapVolumeNode"
    )
    proposal.SetHideFromEditors(True)
    node.SetNodeReferenceID(VOLUME, volume.GetID())
    node.SetNodeReferenceID(UNCERTAINTY, uncertainty.GetID())
    node.SetNodeReferenceID(PROPOSAL, proposal.GetID())
    node.SetAttribute("SPAD.layout", layout.code)
    node.SetAttribute("SPAD.notice", NOTICE)
    node.SetAttribute("SPAD.checkpoint", run.provenance["checkpoint"]["name"])
    return node


def add_probability(segmentation: Any, volume: Any, layout: Layout, run: Any, first: int) -> None:
    """Add a volume of each structure's probability, in percent."""
    for c in run.classes[1:]:
        array = np.zeros(array_of(volume).shape[:3], np.uint8)
        for z in range(len(run.labels)):
            layout.stack(array)[first + z] = percent(run.probability[c.value][z])
        node = new_volume(f"{segmentation.GetName()} {c.name} (%)", array, volume)
        node.CreateDefaultDisplayNodes()
        node.SetAttribute("SPAD.probability_of", c.name)


def percent(share: NDArray[Any]) -> NDArray[np.uint8]:
    """Whole percents of shares in 0..1."""
    return np.rint(np.asarray(share, np.float32) * PERCENT).astype(np.uint8)
