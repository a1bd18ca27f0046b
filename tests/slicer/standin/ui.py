"""``slicer.util.loadUI`` and ``childWidgetVariables`` over Qt's own loader."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QObject
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QWidget

from .combo import qMRMLNodeComboBox
from .ctk_widgets import CTK_CLASSES
from .mrml_widgets import qMRMLSegmentsTableView, qMRMLWidget
from .segment_editor import qMRMLSegmentEditorWidget

__all__ = ["CUSTOM", "childWidgetVariables", "loadUI"]

CUSTOM: dict[str, type[QWidget]] = {
    made.__name__: made
    for made in (
        *CTK_CLASSES,
        qMRMLNodeComboBox,
        qMRMLSegmentsTableView,
        qMRMLSegmentEditorWidget,
        qMRMLWidget,
    )
}

VALID = "currentNodeChanged(bool)"  # C++ has this overload; Python's signal sends the node


class _Loader(QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[QWidget] = []  # nothing else holds them while the tree grows

    def createWidget(self, kind: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        if kind not in CUSTOM:
            if kind.startswith(("ctk", "qMRML", "qSlicer")):
                raise ValueError(f"the stand-in has no “{kind}”: add it, or take another widget")
            return super().createWidget(kind, parent, name)
        widget = CUSTOM[kind](parent)
        widget.setObjectName(name)
        self.made.append(widget)
        return widget


def _take_enums(root: ET.Element) -> list[tuple[str, str, Any]]:
    """Take CTK's own enumerations out of the file: Qt's loader cannot look into Python classes."""
    out = []
    for element in root.iter("widget"):
        kind = CUSTOM.get(element.get("class", ""))
        for entry in list(element.findall("property")) if kind else []:
            value = entry[0] if len(entry) else None
            if value is None or value.tag not in ("enum", "set"):
                continue
            names = [part.rpartition("::")[2] for part in (value.text or "").split("|")]
            if not all(isinstance(getattr(kind, name, None), int) for name in names):
                continue  # Qt's own: sizePolicy, focusPolicy, …
            number = 0
            for name in names:
                number |= getattr(kind, name)
            out.append((element.get("name", ""), entry.get("name", ""), number))
            element.remove(entry)
    return out


def _take_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Take the connections with VTK's types out of the file: signals of Python have others."""
    out = []
    for group in root.findall("connections"):
        for entry in list(group):
            parts = [entry.findtext(n, "") for n in ("sender", "signal", "receiver", "slot")]
            if "vtk" in parts[1] or parts[1] == VALID:
                sender, signal, receiver, slot = parts
                out.append((sender, signal, receiver, slot.partition("(")[0]))
                group.remove(entry)
    return out


def _named(top: QWidget, name: str) -> Any:
    found = top if top.objectName() == name else top.findChild(QObject, name)
    if found is None:
        raise RuntimeError(f"the .ui file connects “{name}”, which it does not have")
    return found


def loadUI(path: str | Path) -> QWidget:
    """Make the widget of a .ui file; RuntimeError where there is no file, as in Slicer."""
    if not Path(path).exists():
        raise RuntimeError(f"Could not load UI file: file not found {path}")
    root = ET.fromstring(Path(path).read_bytes())  # noqa: S314  # our own file
    enums, connections = _take_enums(root), _take_connections(root)
    buffer = QBuffer()
    buffer.setData(QByteArray(ET.tostring(root)))
    loader = _Loader()
    top = loader.load(buffer)
    if top is None:
        raise RuntimeError(f"Could not load UI file: {path}: {loader.errorString()}")
    for name, attribute, value in enums:
        setattr(_named(top, name), attribute, value)
    for sender, signal, receiver, slot in connections:
        source = getattr(_named(top, sender), signal.partition("(")[0])
        target = getattr(_named(top, receiver), slot)
        source.connect((lambda node, f=target: f(node is not None)) if signal == VALID else target)
    return top


def childWidgetVariables(widget: QWidget) -> types.SimpleNamespace:
    """All named objects of a widget, as attributes by name."""
    named = {w.objectName(): w for w in (widget, *widget.findChildren(QObject)) if w.objectName()}
    return types.SimpleNamespace(**named)
