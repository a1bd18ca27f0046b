"""Which two label layers are compared: chosen from lists, and proposed where that is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import LayerCombo
from napari_spad.layers import is_label_map, outline
from napari_spad.scores.live_scores import mismatch

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ComparedLayers", "comparable"]


def comparable(layer: Labels, viewer: ViewerModel) -> list[Labels]:
    """Label layers that can be compared with one: all of its shape, the lowest first."""
    return [o for o in viewer.layers if is_label_map(o) and not mismatch(layer, o)]


class ComparedLayers(QObject):
    """The lists of segmentations and references.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    changed = Signal()
    """Another segmentation or another reference is chosen."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.segmentation = LayerCombo(viewer, is_label_map, "–", optional=True)
        self.segmentation.setObjectName("segmentation")
        self.reference = LayerCombo(viewer, is_label_map, "–", optional=True)
        self.reference.setObjectName("reference")
        self.segmentation.layer_changed.connect(self._on_segmentation)
        self.reference.layer_changed.connect(self._on_reference)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.layers.events.inserted.connect(self.look)

    def chosen(self) -> tuple[Labels | None, Labels | None, str]:
        """Segmentation and reference, and in words why the one chosen cannot be the reference."""
        ours, theirs = self.segmentation.layer, self.reference.layer
        if ours is not None and theirs is not None and (why := mismatch(ours, theirs)):
            return ours, None, f"No scores with “{theirs.name}”: {why}."
        return ours, theirs, ""

    def look(self, _event: Any = None) -> None:
        """Draw references as outlines, and propose one."""
        for layer in filter(is_label_map, self._viewer.layers):
            outline(layer)
        self._propose()

    def _propose(self) -> None:
        """Propose a reference where none is chosen that fits: one that no model made."""
        ours, chosen = self.segmentation.layer, self.reference.layer
        if ours is None or (chosen is not None and not mismatch(ours, chosen)):
            return
        fitting = [
            layer
            for layer in reversed(self._viewer.layers)
            if is_label_map(layer)
            and not {"spad", "vendor_lines"} & set(layer.metadata)  # those are other structures
            and not mismatch(ours, layer)
        ]
        self.reference.choose(fitting[0] if fitting else None)

    def _on_segmentation(self, _layer: Any = None) -> None:
        before = self.reference.layer
        self._propose()
        if self.reference.layer is before:  # otherwise its change has told it
            self.changed.emit()

    def _on_reference(self, _layer: Any = None) -> None:
        self.changed.emit()

    def _on_active(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels) and "spad" in active.metadata:
            self.segmentation.choose(active)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.segmentation.disconnect_viewer()
        self.reference.disconnect_viewer()
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._viewer.layers.events.inserted.disconnect(self.look)
