"""Which widget shows a parameter of which type, as in ``slicer.parameterNodeWrapper``.

Slicer looks at the exact class of the widget; so does this.
"""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

import slicer
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QTextEdit,
    QWidget,
)

from .combo import qMRMLNodeComboBox
from .ctk_widgets import ctkPathLineEdit, ctkSliderWidget
from .validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange

__all__ = ["Connector", "connector_of", "split"]


def split(datatype: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type and the annotations of a type that may be annotated."""
    if get_origin(datatype) is Annotated:
        return datatype.__origin__, datatype.__metadata__
    return datatype, ()


class Connector:
    """Reads and writes one widget; `signal` says that the user changed it."""

    def __init__(
        self, widget: QWidget, signal: Any, read: Callable[[], Any], write: Callable[[Any], None]
    ) -> None:
        self._widget, self._signal = widget, signal
        self.read, self.write = read, write
        self._callback: Callable[[], None] | None = None

    def widget(self) -> QWidget:
        return self._widget

    def changed(self) -> None:
        if self._callback is not None:
            self._callback()

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if callback is None:
            self._signal.disconnect(self.changed)
        else:
            self._signal.connect(self.changed)


def _first(annotations: tuple[Any, ...], kind: type) -> Any:
    # By name: Slicer's genuine layer (`genuine`) has validators of its own.
    return next((a for a in annotations if type(a).__name__ == kind.__name__), None)


def _limit(widget: Any, annotations: tuple[Any, ...], low: float, high: float) -> None:
    within = _first(annotations, WithinRange)
    minimum, maximum = _first(annotations, Minimum), _first(annotations, Maximum)
    bounded = within is not None or (minimum is not None and maximum is not None)
    if isinstance(widget, QSlider | ctkSliderWidget) and not bounded:
        raise RuntimeError(f"“{widget.objectName()}” is a slider: its parameter needs WithinRange")
    ends = (
        within.minimum if within else minimum.minimum if minimum else low,
        within.maximum if within else maximum.maximum if maximum else high,
    )
    decimals, step = _first(annotations, Decimals), _first(annotations, SingleStep)
    if isinstance(widget, ctkSliderWidget):
        if decimals:
            widget.decimals = decimals.value
        if step:
            widget.singleStep = step.value
        widget.minimum, widget.maximum = ends
        return
    if decimals and isinstance(widget, QDoubleSpinBox):
        widget.setDecimals(decimals.value)
    if step:
        widget.setSingleStep(step.value)
    widget.setRange(*ends)


def _chooser(widget: QComboBox, labels: list[str], values: list[Any]) -> Connector:
    widget.clear()
    widget.addItems(labels)

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"{value!r} is none of {values}")
        widget.setCurrentIndex(values.index(value))

    return Connector(
        widget, widget.currentIndexChanged, lambda: values[widget.currentIndex()], write
    )


def _node_types(type_: Any) -> list[str] | None:
    parts = get_args(type_) if get_origin(type_) is Union else (type_,)
    nodes = [split(part)[0] for part in parts if part is not type(None)]
    if all(isinstance(n, type) and issubclass(n, slicer.vtkMRMLNode) for n in nodes):
        return [n().GetClassName() for n in nodes]
    return None


def connector_of(widget: Any, datatype: Any) -> Connector:
    """Connector of a widget; RuntimeError where Slicer has none for the two."""
    type_, annotations = split(datatype)
    kind = type(widget)
    if type_ is bool and kind in (QCheckBox, QPushButton):
        widget.setCheckable(True)
        signal = widget.toggled if kind is QPushButton else widget.stateChanged
        return Connector(widget, signal, widget.isChecked, widget.setChecked)
    if type_ is int and kind in (QSlider, QSpinBox):
        _limit(widget, annotations, -(2**31), 2**31 - 1)
        return Connector(widget, widget.valueChanged, widget.value, widget.setValue)
    if type_ is float and kind is QDoubleSpinBox:
        _limit(widget, annotations, float("-inf"), float("inf"))
        return Connector(widget, widget.valueChanged, widget.value, widget.setValue)
    if type_ is float and kind is ctkSliderWidget:
        _limit(widget, annotations, float("-inf"), float("inf"))
        return Connector(widget, widget.valueChanged, lambda: widget.value, widget.setValue)
    if kind is QComboBox and type_ in (int, float, str, bool):
        if (choice := _first(annotations, Choice)) is None:
            raise RuntimeError(
                f"“{widget.objectName()}” is a QComboBox: its parameter needs Choice"
            )
        return _chooser(widget, [str(c) for c in choice.choices], list(choice.choices))
    if kind is QComboBox and isinstance(type_, type) and issubclass(type_, enum.Enum):
        label = getattr(type_, "label", lambda member: member.name)
        return _chooser(widget, [label(member) for member in type_], list(type_))
    if type_ is str and kind is QLineEdit:
        return Connector(widget, widget.textChanged, widget.text, widget.setText)
    if type_ is str and kind is QTextEdit:
        return Connector(widget, widget.textChanged, widget.toPlainText, widget.setPlainText)
    if kind is ctkPathLineEdit and isinstance(type_, type) and issubclass(type_, pathlib.PurePath):
        return Connector(
            widget,
            widget.currentPathChanged,
            lambda: type_(widget.currentPath),
            lambda path: widget.setCurrentPath(str(path)),
        )
    if kind is qMRMLNodeComboBox and (types := _node_types(type_)) is not None:
        widget.nodeTypes = types
        return Connector(
            widget, widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode
        )
    raise RuntimeError(
        f"Slicer has no connection of a {datatype} to a {kind.__name__} (“{widget.objectName()}”)"
    )
