"""Lines over a volume as a node of the scene: a hidden volume of their heights. No Qt."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.borders import Lines, followed
from spad.cases import Layout
from SPADLib.scene import Result, array_of, into_study, kept, nodes_of, note_order

__all__ = ["LineSet", "line_sets", "lines_of"]

NAMES = "SPAD.lines"
"""Attribute of the node: names of the lines, from top to bottom. By it the node is known."""
LAYOUT, BAND = "SPAD.layout", "SPAD.band"
"""Attributes: how the B-scans lie; class value of the structure whose top and bottom they are."""
VOLUME, SEGMENTATION = "SPAD.lines.volume", "SPAD.lines.segmentation"
"""Roles of its node references."""


class LineSet:
    """Lines of a volume's B-scans.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Made by `create`, or of a scene: `line_sets` finds it. Its pixels, float32 (lines, Z, W),
        are the heights, so that a scene keeps them to the last bit.
    """

    def __init__(self, node: Any) -> None:
        self.node = node
        self.names = tuple(str(name) for name in kept(node, NAMES, []))
        self.layout = Layout.of(node.GetAttribute(LAYOUT) or "")
        Lines(self.names, self.heights)  # refused here, where they are none

    @classmethod
    def create(
        cls,
        volume: Any,
        layout: Layout,
        lines: Lines,
        name: str,
        band: tuple[Any, int] | None = None,
    ) -> LineSet:
        """Put lines into the scene of a volume.

        Parameters
        ----------
        volume : vtkMRMLVolumeNode
        layout : Layout
        lines : Lines
            As many B-scans and columns as the volume has.
        name : str
        band : (vtkMRMLSegmentationNode, int), optional
            Whose top and bottom they are: a result's segmentation, and a class value.
        """
        scene = volume.GetScene()
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(scene.GenerateUniqueName(name))
        node.SetHideFromEditors(True)  # before it enters the scene: no selector takes it
        node.SetAttribute(NAMES, json.dumps(lines.names))
        node.SetAttribute(LAYOUT, layout.code)
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(lines.heights))
        node = scene.AddNode(node)
        node.SetNodeReferenceID(VOLUME, volume.GetID())
        note_order(volume)
        if band is not None:
            node.SetAttribute(BAND, str(band[1]))
            node.SetNodeReferenceID(SEGMENTATION, band[0].GetID())
        into_study(node, volume)
        return cls(node)

    @property
    def name(self) -> str:
        """Of the node."""
        return str(self.node.GetName())

    @property
    def volume(self) -> Any:
        """The volume under the lines; None where it was removed."""
        return self.node.GetNodeReference(VOLUME)

    @property
    def band(self) -> tuple[Any, int] | None:
        """The segmentation and the class value whose top and bottom they are; None of others."""
        segmentation = self.node.GetNodeReference(SEGMENTATION)
        value = self.node.GetAttribute(BAND) or ""
        return (segmentation, int(value)) if segmentation and value.isdecimal() else None

    @property
    def heights(self) -> NDArray[np.float32]:
        """Heights in px, (lines, Z, W); the scene's own memory."""
        return np.asarray(array_of(self.node), np.float32)

    @property
    def lines(self) -> Lines:
        """The lines as they are now."""
        return Lines(self.names, self.heights.copy())

    def plane(self, bscan: int) -> NDArray[np.float32]:
        """Heights of a B-scan, (lines, W); a copy."""
        return self.heights[:, bscan].copy()

    def put(self, bscan: int, plane: NDArray[np.float32]) -> bool:
        """Take new heights of a B-scan, (lines, W), within its rows; whether any is another."""
        rows = self.layout.stack(array_of(self.volume)).shape[1]
        new, now = np.clip(plane, -0.5, rows - 0.5), self.heights[:, bscan]
        if np.array_equal(new, now, equal_nan=True):
            return False
        now[...] = new
        slicer.util.arrayFromVolumeModified(self.node)
        return True

    def follow(self, bscans: Iterable[int], labels: NDArray[np.uint8]) -> bool:
        """Take a band's lines from its labels, (Z, H, W), where they do not fit them any more.

        Returns
        -------
        bool
            Whether a line of one of these B-scans is another one.
        """
        band = self.band
        if band is None:
            return False
        moved = [
            self.put(z, followed(np.asarray(labels[z]), band[1], self.plane(z))) for z in bscans
        ]
        return any(moved)


def line_sets(volume: Any, axis: int) -> list[LineSet]:
    """Lines over a volume whose B-scans lie along an axis of its array, the oldest first."""
    found = []
    for node in nodes_of(volume.GetScene(), "vtkMRMLScalarVolumeNode"):
        if node.GetAttribute(NAMES) and node.GetNodeReference(VOLUME) is volume:
            try:
                one = LineSet(node)
                stack = one.layout.stack(array_of(volume))
            except ValueError:  # a scene may come from anywhere
                continue
            size = (stack.shape[0], stack.shape[2])
            if one.layout.axis == axis and one.heights.shape[1:] == size:
                found.append(one)
    return found


def lines_of(result: Result) -> list[LineSet]:
    """Lines over the volume of a result: of its structures, and of no structure."""
    every = line_sets(result.volume, result.layout.axis)
    return [one for one in every if one.band is None or one.band[0] is result.segmentation]
