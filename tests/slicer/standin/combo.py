"""The list of a scene's nodes."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from .observers import observe
from .reach import explain, kept

__all__ = ["qMRMLNodeComboBox"]


class qMRMLNodeComboBox(QWidget):
    """Follows the scene as Slicer's own: its manners that surprise are kept.

    - Without a scene it is disabled; a node set before the scene is chosen once that is there.
    - Without *None* in the list, the first node of an empty list is chosen by itself.
    - When the chosen node leaves the scene, its neighbour is chosen, not *None*.
    - ``currentNodeChanged`` is sent too when the chosen node gets another name.

    The menu's own entries (create, rename, delete) are not shown.
    """

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAddedByUser = Signal(object)
    currentNodeRenamed = Signal(str)
    __getattr__ = explain

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._tags: list[tuple[Any, int]] = []
        self._nodes: dict[str, tuple[Any, int]] = {}  # all of the right class: node, observer
        self._ids: list[str] = []
        self._current = self._requested = ""
        self._attributes: dict[str, dict[str, Any]] = {}
        self._box = QComboBox(self)
        self._box.currentIndexChanged.connect(self._picked)
        self._box.activated.connect(lambda _: self.nodeActivated.emit(self.currentNode()))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._refresh()
        self.setEnabled(False)

    # The scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for source, tag in [*self._tags, *self._nodes.values()]:
            source.RemoveObserver(tag)
        self._tags, self._nodes = [], {}
        self._scene = scene
        if scene is not None:
            for event, method, data in (
                (scene.NodeAddedEvent, "_node_added", True),
                (scene.NodeAboutToBeRemovedEvent, "_node_leaves", True),
                (scene.EndCloseEvent, "_refresh", False),
                (scene.EndImportEvent, "_refresh", False),
                (scene.EndBatchProcessEvent, "_refresh", False),
            ):
                self._tags.append((scene, observe(self, scene, event, method, data=data)))
        self._refresh()
        self.setEnabled(scene is not None)
        if self._requested:
            wanted, self._requested = self._requested, ""
            self.setCurrentNodeID(wanted)

    def _node_added(self, node: Any) -> None:
        if not (self._scene.IsBatchProcessing() or self._scene.IsClosing()):
            self._refresh()
            if node.GetID() in self._ids:
                self.nodeAdded.emit(node)

    def _node_leaves(self, node: Any) -> None:
        if not self._scene.IsClosing():
            if node.GetID() in self._ids:
                self.nodeAboutToBeRemoved.emit(node)
            self._refresh(node)

    def _of_right_class(self, node: Any) -> bool:
        if not self.nodeTypes:
            return True
        return any(
            node.IsA(kind) if self.showChildNodeTypes else node.GetClassName() == kind
            for kind in self.nodeTypes
        ) and not any(node.IsA(kind) for kind in self.hideChildNodeTypes)

    def _listed(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for kind, wanted in self._attributes.items():
            if not node.IsA(kind):
                continue
            for name, value in wanted.items():
                found = node.GetAttribute(name)
                if found is None or (value is not None and str(value) != found):
                    return False
        return True

    def _refresh(self, leaving: Any = None) -> None:
        found: dict[str, Any] = {}
        for n in range(self._scene.GetNumberOfNodes() if self._scene is not None else 0):
            node = self._scene.GetNthNode(n)
            if node is not leaving and self._of_right_class(node):
                found[node.GetID()] = node
        for gone in self._nodes.keys() - found.keys():
            node, tag = self._nodes.pop(gone)
            node.RemoveObserver(tag)
        for new in found.keys() - self._nodes.keys():
            tag = observe(self, found[new], "ModifiedEvent", "_refresh")
            self._nodes[new] = (found[new], tag)

        before, was = self._ids, self._current
        shown = self._box.currentText()
        self._ids = [key for key, node in found.items() if self._listed(node)]
        if was in self._ids:
            now = was
        elif was and self._ids:
            now = self._ids[min(before.index(was), len(self._ids) - 1)]
        elif not before and self._ids and not self.noneEnabled:
            now = self._ids[0]
        else:
            now = ""
        blocked = self._box.blockSignals(True)
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for key in self._ids:
            self._box.addItem(found[key].GetName(), key)
        self._box.setCurrentIndex(self._index(now))
        self._box.blockSignals(blocked)
        self._current = now
        if now != was or (now and shown != self._box.currentText()):
            self._tell()

    # The choice

    def _index(self, key: str) -> int:
        return self._box.findData(key) if key or self.noneEnabled else -1

    def _picked(self, index: int) -> None:
        key = self._box.itemData(index) if index >= 0 else ""
        if key != self._current:
            self._current = key
            self._tell()

    def _tell(self) -> None:
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(self._current)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, key: str | None) -> None:
        if self._scene is None:
            self._requested = key or ""
            return
        self._box.setCurrentIndex(self._index(key if key in self._ids else ""))

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNodeID(self._ids[index] if 0 <= index < len(self._ids) else "")

    def nodeCount(self) -> int:
        return len(self._ids)

    def nodeFromIndex(self, index: int) -> Any:
        return self._scene.GetNodeByID(self._ids[index]) if 0 <= index < len(self._ids) else None

    # Filters, and what the menu does

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        self._attributes.setdefault(kind, {})[name] = value
        self._refresh()

    def removeAttribute(self, kind: str, name: str) -> None:
        self._attributes.get(kind, {}).pop(name, None)
        self._refresh()

    def setNodeTypeLabel(self, label: str, kind: str) -> None:
        self._box.setPlaceholderText(f"Select a {label}")

    def addNode(self, kind: str | None = None) -> Any:
        kind = kind or self.nodeTypes[0]
        node = self._scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for name, value in self._attributes.get(kind, {}).items():
            node.SetAttribute(name, "" if value is None else str(value))
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)
    nodeTypes = kept("QStringList", [], _refresh)
    hideChildNodeTypes = kept("QStringList", [], _refresh)
    showChildNodeTypes = kept(bool, True, _refresh)
    showHidden = kept(bool, False, _refresh)
    noneEnabled = kept(bool, False, _refresh)
    noneDisplay = kept(str, "None", _refresh)
    addEnabled = kept(bool, True)
    removeEnabled = kept(bool, True)
    editEnabled = kept(bool, False)
    renameEnabled = kept(bool, False)
    selectNodeUponCreation = kept(bool, True)
    baseName = kept(str, "")
