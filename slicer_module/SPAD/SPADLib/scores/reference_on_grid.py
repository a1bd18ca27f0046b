"""Any segmentation or label map as the reference of a result, brought to the result's grid.

It may have names, values, a grid and a transform of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, MAX_CLASSES
from spad.metrics import translate, values_in
from SPADLib.scene import (
    BINARY,
    Result,
    ijk_to_ras,
    inner_source,
    labels_of_volume,
    read_segments,
    spacing_of,
)
from SPADLib.scores.reference_structures import MatchedNode

__all__ = ["Reference"]

_LISTED = 4


class Reference(MatchedNode):
    """A reference for one result. Made by `of`.

    Attributes
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
    result : Result
    resampled : bool
        Whether `labels` had to be brought from another grid when it was called last.
    remark : str
        What the user should know of it, in whole sentences; also from the last call.
    """

    def __init__(self, node: Any, result: Result) -> None:
        super().__init__(node, result)
        self.resampled, self.remark = False, ""

    @classmethod
    def of(cls, node: Any, result: Result) -> Reference:
        """Take a node as the reference.

        Parameters
        ----------
        node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
        result : Result
            What is compared with it.

        Raises
        ------
        ValueError
            It cannot be one; in words.
        """
        if node is None or node.GetScene() is None:
            raise ValueError("no reference is chosen: choose a segmentation or a label map")
        name = node.GetName()
        if node is result.segmentation:
            raise ValueError(f"“{name}” is the segmentation itself: choose another reference")
        if not node.IsA("vtkMRMLSegmentationNode") and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            raise ValueError(
                f"“{name}” is neither a segmentation nor a label map: in the Volumes module, "
                "“Convert to label map” makes one of a volume of whole numbers"
            )
        found = cls(node, result)
        if found.is_segmentation:
            if not node.GetSegmentation().GetNumberOfSegments():
                raise ValueError(f"“{name}” has no segments: choose another reference")
            return found
        values = values_in(found.own())
        if values in ([IGNORE], [0, IGNORE]):
            raise ValueError(
                f"“{name}” has no value but {IGNORE}, which means “not annotated”: give the "
                "structure another value"
            )
        if len(values) > 4 * MAX_CLASSES:
            raise ValueError(
                f"“{name}” holds more than {4 * MAX_CLASSES} values: a reference has a value for "
                "each structure, not for each instance"
            )
        return found

    def labels(self) -> NDArray[np.uint8]:
        """Class values on the result's grid, (Z, H, W); `IGNORE` where nothing is counted.

        Raises
        ------
        ValueError
            It was removed, or lies outside the image.
        """
        name, volume = self.node.GetName(), self.result.volume
        if self.node.GetScene() is None or volume is None:
            gone = name if volume is not None else "the image"
            raise ValueError(f"“{gone}” was removed from the scene: choose another reference")
        low, high = _box(volume)
        own_low, own_high = _box(self.node)
        shared = np.minimum(high, own_high) - np.maximum(low, own_low)
        if (own_low <= own_high).all() and (shared <= 0).any():
            raise ValueError(
                f"“{name}” lies outside the image “{volume.GetName()}”: look at its transform and "
                "origin, or choose another reference"
            )
        table = {k: v for k, v in self.match.items() if v is not None}
        said = [] if self.chosen() else [self.guess()[1]]
        if self.is_segmentation:
            read = read_segments(self.node, table, volume)
            labels = read.labels
            if read.overlap:
                many = f"{read.overlap} pixels are in several structures"
                said.append(f"{many}; the last one counts.")
        else:
            read = labels_of_volume(self.node, volume)
            whole = {IGNORE: IGNORE} | {int(k): v for k, v in table.items()}
            labels = translate(read.labels, whole, 0)
            half = 0.999 * _half_a_pixel(volume)  # of each pixel, its centre has to be covered
            if (own_low > low + half).any() or (own_high < high - half).any():
                said.append("It covers a part of the image; elsewhere it counts as background.")
        if odd := _of_another(self.node, volume):
            said.insert(0, odd)
        if read.resampled:
            said.insert(0, f"Resampled from its own grid of {self._grid()} (nearest neighbour).")
        self.resampled = read.resampled
        self.remark = " ".join(filter(None, [*said, *self._left_out(labels)]))
        return self.result.layout.stack(labels)

    def _left_out(self, labels: NDArray[np.uint8]) -> list[str]:
        names = self.names
        unknown = [names[k] for k, v in self.match.items() if v is None]
        said = []
        if unknown:
            listed = ", ".join(unknown[:_LISTED]) + (" …" if len(unknown) > _LISTED else "")
            said.append(f"In the reference only, counted as background: {listed}.")
        if ignored := int(np.count_nonzero(labels == IGNORE)):
            said.append(f"{ignored} pixels are not annotated and not counted.")
        if not labels.any():
            said.append("The reference has none of the model's structures in this image.")
        return said

    def _grid(self) -> str:
        spacing = () if self.is_segmentation else spacing_of(self.node)
        if self.is_segmentation:
            inner = self.node.GetSegmentation()
            for segment in inner.GetSegmentIDs():
                image = inner.GetSegment(segment).GetRepresentation(BINARY)
                if image is not None and not image.IsEmpty():
                    spacing = image.GetSpacing()[::-1]
                    break
        return " × ".join(f"{s:.3g}" for s in spacing) + " mm"

    def stamp(self) -> tuple[Any, ...]:
        """What `labels` depends on: while it stays the same, so do they."""
        if self.is_segmentation:
            inner, source = self.node.GetSegmentation(), inner_source(self.node.GetSegmentation())
            pixels: tuple[Any, ...] = tuple(
                (s, inner.GetSegment(s).GetLabelValue(), _changed(inner, s, source))
                for s in inner.GetSegmentIDs()
            )
        else:
            image = self.node.GetImageData()
            pixels = image and image.GetMTime(), ijk_to_ras(self.node).tobytes()
        volume = self.result.volume
        return (
            pixels,
            tuple(sorted(self.match.items())),
            _moved(self.node),
            _moved(volume),
            ijk_to_ras(volume).tobytes(),
        )


def _box(node: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner in world coordinates; upside down where there is nothing."""
    bounds = [1.0, -1.0] * 3
    node.GetRASBounds(bounds)
    corners = np.array(bounds).reshape(3, 2)
    return corners[:, 0], corners[:, 1]


def _half_a_pixel(volume: Any) -> NDArray[np.float64]:
    """Half the extent of a pixel along the world's axes; at most so much, if it was moved."""
    if volume.GetParentTransformNode() is not None:
        return np.full(3, 0.5 * np.linalg.norm(spacing_of(volume)))
    half: NDArray[np.float64] = 0.5 * np.abs(ijk_to_ras(volume)[:3, :3]).sum(axis=1)
    return half


def _changed(inner: Any, segment: str, representation: str) -> int:
    data = inner.GetSegment(segment).GetRepresentation(representation)
    return int(data.GetMTime()) if data is not None else 0


def _moved(node: Any) -> tuple[str, int]:
    transform = node.GetParentTransformNode()
    if transform is None:
        return "", 0
    return transform.GetID(), transform.GetTransformToWorldMTime()


def _of_another(node: Any, volume: Any) -> str:
    """Say where a reference was drawn on another image, or is another patient's."""
    name = node.GetName()
    drawn = [node.GetNodeReference(role) for role in ("SPAD.volume", "referenceImageGeometryRef")]
    others = [other for other in drawn if other is not None and other is not volume]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    if hierarchy is not None:
        items = [hierarchy.GetItemByDataNode(n) for n in (node, volume)]
        patients = {hierarchy.GetItemAncestorAtLevel(i, "Patient") for i in items if i}
        if len(patients) == 2 and 0 not in patients:
            return f"⚠ “{name}” is of another patient than this image: are these scores meant?"
    if others and volume not in drawn:
        return f"⚠ “{name}” was drawn on “{others[0].GetName()}”, not on this image: is it of it?"
    return ""
