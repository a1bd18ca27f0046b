"""Slicer's Segment Editor inside the panel: painting, scores and the next B-scan in one view."""

from __future__ import annotations

from typing import Any

import slicer

from SPADLib.scene import Result

__all__ = ["SegmentEditor"]

TAG = "SPAD"
"""Of the editor's own parameter node, so that the module Segment Editor keeps its."""
UNDO_STATES = 10


class SegmentEditor:
    """Edits the result at work; its undo and redo are Slicer's.

    Parameters
    ----------
    frame : QFrame
        Where the editor is put.
    """

    def __init__(self, frame: Any) -> None:
        self.widget = widget = slicer.qMRMLSegmentEditorWidget()
        widget.setMaximumNumberOfUndoStates(UNDO_STATES)
        widget.segmentationNodeSelectorVisible = False
        widget.sourceVolumeNodeSelectorVisible = False
        widget.switchToSegmentationsButtonVisible = False
        widget.autoShowSourceVolumeNode = False  # the views are ours: image and uncertainty
        widget.setMRMLScene(slicer.mrmlScene)
        frame.layout().addWidget(widget)
        self._entered = False

    def edit(self, result: Result | None) -> None:
        """Take up a result; None: let go of the one before."""
        widget = self.widget
        if result is None:
            if widget.segmentationNode() is not None:
                widget.setActiveEffect(None)
                widget.setSegmentationNode(None)
                widget.removeViewObservations()
            return
        node = self._node()
        if widget.mrmlSegmentEditorNode() is not node:
            widget.setMRMLSegmentEditorNode(node)
        if widget.segmentationNode() is not result.segmentation:
            widget.setSegmentationNode(result.segmentation)
        if widget.sourceVolumeNode() is not result.volume:
            widget.setSourceVolumeNode(result.volume)

    def _node(self) -> Any:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(TAG)
            node = scene.AddNode(node)
        return node

    def save_state(self) -> None:
        """Make what comes a step of its own for undo, in every editor that edits this result."""
        for editor in self._editors():
            editor.saveStateForUndo()

    def forget_undo(self) -> None:
        """Forget what could be undone: it lies where the image was before."""
        node = self.widget.segmentationNode()
        for editor in self._editors():
            chosen = editor.mrmlSegmentEditorNode().GetSelectedSegmentID()
            editor.setActiveEffect(None)
            editor.setSegmentationNode(None)
            editor.setSegmentationNode(node)
            if chosen:
                editor.setCurrentSegmentID(chosen)

    def _editors(self) -> list[Any]:
        """Those that edit this result."""
        node = self.widget.segmentationNode()
        module = getattr(slicer.modules, "SegmentEditorWidget", None)  # once it was opened
        every = (self.widget, getattr(module, "editor", None))
        return [e for e in every if e is not None and node and e.segmentationNode() is node]

    def enter(self) -> None:
        """The module is opened: take the keys."""
        if not self._entered:
            self._entered = True
            self.widget.installKeyboardShortcuts()
            self.widget.setupViewObservations()
            self.widget.updateWidgetFromMRML()

    def exit(self) -> None:
        """Another module is opened: leave it the keys, and the mouse in the views."""
        if self._entered:
            self._entered = False
            self.widget.setActiveEffect(None)
            self.widget.uninstallKeyboardShortcuts()
            self.widget.removeViewObservations()
