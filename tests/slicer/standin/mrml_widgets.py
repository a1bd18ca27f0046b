"""MRML widgets: a parent that hands its scene on, a list of segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from .observers import observe
from .reach import explain, kept

__all__ = ["qMRMLSegmentsTableView", "qMRMLWidget"]


class qMRMLWidget(QWidget):
    """A widget with a scene. .ui files connect its signal to the widgets inside."""

    mrmlSceneChanged = Signal(object)
    __getattr__ = explain

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLSegmentsTableView(qMRMLWidget):
    """The names of a segmentation's segments, to be selected."""

    selectionChanged = Signal(object, object)
    segmentAboutToBeModified = Signal(str)
    headerVisible = kept(bool, True)
    visibilityColumnVisible = kept(bool, True)
    colorColumnVisible = kept(bool, True)
    opacityColumnVisible = kept(bool, True)
    statusColumnVisible = kept(bool, False)
    selectionMode = kept(int, 3)
    readOnly = kept(bool, False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._tags = None, []
        self._list = QListWidget(self)
        self._list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self._list.itemSelectionChanged.connect(lambda: self.selectionChanged.emit(None, None))
        QVBoxLayout(self).addWidget(self._list)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        for source, tag in self._tags:
            source.RemoveObserver(tag)
        self._node, self._tags = node, []
        if node is not None:
            inner = node.GetSegmentation()
            for event in (inner.SegmentAdded, inner.SegmentRemoved, inner.SegmentModified):
                self._tags.append((inner, observe(self, inner, event, "_fill")))
        self._fill()

    def _fill(self) -> None:
        chosen = self.selectedSegmentIDs()
        before = self._list.blockSignals(True)
        self._list.clear()
        if self._node is not None:
            inner = self._node.GetSegmentation()
            for segment in inner.GetSegmentIDs():
                item = QListWidgetItem(inner.GetSegment(segment).GetName(), self._list)
                item.setData(0x100, segment)  # Qt.UserRole
                item.setSelected(segment in chosen)
        self._list.blockSignals(before)

    def _items(self) -> list[QListWidgetItem]:
        return [self._list.item(row) for row in range(self._list.count())]

    def segmentCount(self) -> int:
        return self._list.count()

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(item.data(0x100) for item in self._items() if item.isSelected())

    def setSelectedSegmentIDs(self, segments: Iterable[str]) -> None:
        wanted = set(segments)
        for item in self._items():
            item.setSelected(item.data(0x100) in wanted)

    def clearSelection(self) -> None:
        self._list.clearSelection()
