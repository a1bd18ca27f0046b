"""The Segment Editor's widget: its nodes and its history of undo states are Slicer's own."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from .mrml_widgets import qMRMLSegmentsTableView, qMRMLWidget
from .reach import kept

__all__ = ["qMRMLSegmentEditorWidget"]

EFFECTS = ("None", "Paint", "Draw", "Erase", "Level tracing", "Threshold", "Scissors", "Islands")


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Undo and redo as in Slicer; the effects are buttons that do nothing.

    Every setter that was called is in ``calls``.
    """

    segmentationNodeSelectorVisible = kept(bool, True)
    sourceVolumeNodeSelectorVisible = kept(bool, True)
    maskingSectionVisible = kept(bool, True)
    specifyGeometryButtonVisible = kept(bool, True)
    show3DButtonVisible = kept(bool, True)
    addRemoveSegmentButtonsVisible = kept(bool, True)
    autoShowSourceVolumeNode = kept(bool, True)
    switchToSegmentationsButtonVisible = kept(bool, True)
    undoEnabled = kept(bool, True)
    readOnly = kept(bool, False)
    effectColumnCount = kept(int, 2)
    jumpToSelectedSegmentEnabled = kept(bool, False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.calls: list[tuple[str, Any]] = []
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetMaximumNumberOfStates(10)
        self._node: Any = None
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        bar = QHBoxLayout()
        for text in ("Add", "Remove", "Show 3D"):
            bar.addWidget(QPushButton(text))
        grid.addLayout(bar, 0, 0, 1, 4)
        self._table = qMRMLSegmentsTableView(self)
        self._table.setFixedHeight(150)  # as in Slicer, where it can be dragged
        grid.addWidget(self._table, 1, 0, 1, 4)
        grid.addWidget(QLabel("Effects"), 2, 0, 1, 4)
        for n, text in enumerate(EFFECTS):
            grid.addWidget(QPushButton(text), 3 + n // 4, n % 4)
        undo, redo = QPushButton("Undo"), QPushButton("Redo")
        undo.clicked.connect(lambda *_: self.undo())
        redo.clicked.connect(lambda *_: self.redo())
        grid.addWidget(undo, 9, 0, 1, 2)
        grid.addWidget(redo, 9, 2, 1, 2)

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node = node
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        node = self.segmentationNode()
        if self._history.GetSegmentation() is not (node and node.GetSegmentation()):
            self._history.SetSegmentation(node and node.GetSegmentation())
        self._table.setSegmentationNode(node)

    def setSegmentationNode(self, node: Any) -> None:
        self.calls.append(("setSegmentationNode", node))
        if self._node is not None:
            self._node.SetAndObserveSegmentationNode(node)
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        return self._node and self._node.GetSegmentationNode()

    def segmentationNodeID(self) -> str:
        node = self.segmentationNode()
        return node.GetID() if node is not None else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        self.calls.append(("setSourceVolumeNode", node))
        if self._node is not None:
            self._node.SetAndObserveSourceVolumeNode(node)

    def sourceVolumeNode(self) -> Any:
        return self._node and self._node.GetSourceVolumeNode()

    def setCurrentSegmentID(self, segment: str) -> None:
        self.calls.append(("setCurrentSegmentID", segment))
        self._node.SetSelectedSegmentID(segment)

    def currentSegmentID(self) -> str:
        return self._node.GetSelectedSegmentID() or ""

    def setActiveEffectByName(self, name: str) -> None:
        self.calls.append(("setActiveEffectByName", name))
        self._node.SetActiveEffectName(name)

    def setActiveEffect(self, effect: Any) -> None:
        self.calls.append(("setActiveEffect", effect))
        if self._node is not None:
            self._node.SetActiveEffectName("")

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._history.SetMaximumNumberOfStates(count)

    def saveStateForUndo(self) -> None:
        if self.segmentationNode() is not None:
            self._history.SaveState()

    def undo(self) -> None:
        self._history.RestorePreviousState()

    def redo(self) -> None:
        self._history.RestoreNextState()

    def setupViewObservations(self) -> None:
        self.calls.append(("setupViewObservations", None))

    def removeViewObservations(self) -> None:
        self.calls.append(("removeViewObservations", None))

    def installKeyboardShortcuts(self, parent: QWidget | None = None) -> None:
        self.calls.append(("installKeyboardShortcuts", parent))

    def uninstallKeyboardShortcuts(self) -> None:
        self.calls.append(("uninstallKeyboardShortcuts", None))
