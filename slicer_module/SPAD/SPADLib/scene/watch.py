"""Tells that a segmentation, its image or its reference may have changed, and not how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from SPADLib.scene.volumes import ijk_to_ras

__all__ = ["Watch"]


class Watch:
    """Tells when a segmentation, its image or its reference may have changed.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
    reference : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode, optional
    on_change : callable
        Called without arguments, often many times for one stroke: it should only start a timer.
    image : vtkMRMLVolumeNode, optional
        That the segmentation was made of.
    """

    def __init__(
        self,
        segmentation: Any,
        reference: Any | None,
        on_change: Callable[[], None],
        image: Any = None,
    ) -> None:
        self._on_change = on_change
        self._observed: list[tuple[Any, int]] = []
        self._pixels: dict[str, tuple[int, bytes]] = {}
        for node in filter(None, (segmentation, reference, image)):
            self._observe(node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
            if node.IsA("vtkMRMLSegmentationNode"):
                inner = slicer.vtkSegmentation
                for event in (
                    inner.SourceRepresentationModified,
                    inner.RepresentationModified,
                    inner.SegmentAdded,
                    inner.SegmentRemoved,
                    inner.SegmentModified,
                ):
                    self._observe(node.GetSegmentation(), event)
            else:
                self._pixels[node.GetID()] = _pixels_of(node)
                self._observe(node, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
                # Who writes into the array says no more than that the node is another one.
                self._observe(node, "ModifiedEvent", self._on_node)

    def _observe(self, source: Any, event: Any, call: Callable[..., None] | None = None) -> None:
        self._observed.append((source, source.AddObserver(event, call or self._on_event)))

    def _on_node(self, node: Any, _: Any) -> None:
        now = _pixels_of(node)
        if self._pixels.get(node.GetID()) != now:
            self._pixels[node.GetID()] = now
            self._on_event()

    def _on_event(self, *_: Any) -> None:
        if self._observed:
            self._on_change()

    def stop(self) -> None:
        """Tell nothing any more; also fine after the nodes were removed, and twice."""
        observed, self._observed = self._observed, []
        for source, tag in observed:
            source.RemoveObserver(tag)


def _pixels_of(volume: Any) -> tuple[int, bytes]:
    image = volume.GetImageData()
    return image.GetMTime() if image is not None else 0, ijk_to_ras(volume).tobytes()
