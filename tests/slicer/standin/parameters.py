"""``slicer.parameterNodeWrapper``: typed attributes that live in a parameter node of the scene."""

from __future__ import annotations

import enum
import pathlib
import types
import weakref
from typing import Any, Union, get_args, get_origin, get_type_hints

import slicer
from PySide6.QtWidgets import QWidget

from . import validators
from .connectors import Connector, connector_of, split
from .observers import watch
from .validators import Default, Validator

__all__ = ["make_wrapper_module", "parameterNodeWrapper"]

PROPERTY = "SlicerParameterName"
PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath)


class _Kind:
    """How one type is kept in the node. Numbers refuse other numbers as Slicer does."""

    def __init__(self, type_: Any) -> None:
        self.type = type_
        known = type_ in (int, float, str, bool, type(None), *PATHS)
        self.node = isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)
        self.enum = isinstance(type_, type) and issubclass(type_, enum.Enum)
        if not (known or self.node or self.enum):
            raise TypeError(
                f"the stand-in keeps no {type_} (and Slicer no “X | None”: Optional[X])"
            )
        self.accepts = (int, float) if type_ is float else type_

    def default(self) -> Any:
        if self.node or self.type is type(None):
            return None
        return next(iter(self.type)) if self.enum else self.type()

    def check(self, value: Any) -> None:
        if value is None and not self.node and self.type is not type(None):
            raise ValueError("the value must not be None")
        if value is not None and not isinstance(value, self.accepts):
            raise TypeError(f"{value!r} is of type {type(value)}, not {self.accepts}")

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        if self.node:
            node.SetParameter(name, "")  # also None is a value
            node.SetNodeReferenceID(name, None if value is None else value.GetID())
        else:
            node.SetParameter(name, value.name if self.enum else str(value))

    def read(self, node: Any, name: str) -> Any:
        if self.node:
            return node.GetNodeReference(name)
        text = node.GetParameter(name)
        if self.type is type(None):
            return None
        if self.type is bool:
            return text == "True"
        if self.enum:
            try:
                return self.type[text]
            except KeyError:
                raise ValueError(f"the parameter node has {text!r}, none of {self.type}") from None
        return self.type(text)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        if self.node:
            node.RemoveNodeReferenceIDs(name)


class _Union:
    """One of several types; a number behind the name says which."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.kinds = [_Kind(split(part)[0]) for part in parts]

    def default(self) -> Any:
        optional = len(self.kinds) == 2 and self.kinds[1].type is type(None)
        return None if optional else self.kinds[0].default()

    def _fit(self, value: Any) -> int:
        for n, kind in enumerate(self.kinds):
            empty = kind.type is type(None)
            if (value is None) if (empty or value is None) else isinstance(value, kind.accepts):
                if value is None and not empty:
                    continue
                return n
        raise TypeError(
            f"{value!r} is of type {type(value)}, none of {[k.type for k in self.kinds]}"
        )

    def check(self, value: Any) -> None:
        self._fit(value)

    def has(self, node: Any, name: str) -> bool:
        return any(node.HasParameter(f"{name}_{n}") for n in range(len(self.kinds)))

    def write(self, node: Any, name: str, value: Any) -> None:
        chosen = self._fit(value)
        self.remove(node, name)
        self.kinds[chosen].write(node, f"{name}_{chosen}", value)

    def read(self, node: Any, name: str) -> Any:
        for n, kind in enumerate(self.kinds):
            if kind.has(node, f"{name}_{n}"):
                return kind.read(node, f"{name}_{n}")
        raise KeyError(name)

    def remove(self, node: Any, name: str) -> None:
        for n, kind in enumerate(self.kinds):
            kind.remove(node, f"{name}_{n}")


class _Parameter:
    def __init__(self, owner: type, name: str, datatype: Any) -> None:
        type_, annotations = split(datatype)
        self.name, self.datatype = name, datatype
        self.kind = _Union(get_args(type_)) if get_origin(type_) is Union else _Kind(type_)
        self.limits = [a for a in annotations if isinstance(a, Validator)]
        given = next((a for a in annotations if isinstance(a, Default)), None)
        if hasattr(owner, name):
            given = Default(getattr(owner, name))
        self.default = given or Default(self.kind.default())

    def write(self, node: Any, value: Any) -> None:
        for limit in self.limits:
            limit.validate(value)
        self.kind.check(value)
        with slicer.util.NodeModify(node):
            self.kind.write(node, self.name, value)

    def read(self, node: Any) -> Any:
        if not self.kind.has(node, self.name):
            self.write(node, self.default.value)
        return self.kind.read(node, self.name)


class _Cached:
    """A parameter's value, read when the node says that it was modified, and then only.

    So a reference to a node that comes later, as while a scene is imported, stays None.
    """

    def __init__(self, parameter: _Parameter, node: Any) -> None:
        self._parameter, self._node = parameter, node
        self._writing = False
        self.value = parameter.read(node)  # writes the default of one that is not there
        reference = weakref.ref(self)
        watch(node, "ModifiedEvent", lambda *_: (c := reference()) and c._on_modified())

    def _on_modified(self) -> None:
        if not self._writing:
            self.value = self._parameter.read(self._node)

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self._node):
                self._parameter.write(self._node, value)
                self.value = self._parameter.read(self._node)
        finally:
            self._writing = False


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: dict[str, _Parameter]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("the stand-in knows no prefixes")
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._next_tag, self._updating = 0, False
        self._cached = {n: _Cached(p, parameterNode) for n, p in self.allParameters.items()}

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"no parameter “{name}”; there are {', '.join(self.allParameters)}")
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:
        self._parameter(name)
        return self._cached[name].value

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name)
        self._cached[name].write(value)

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    def dataType(self, name: str) -> Any:
        return self._parameter(name).datatype

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return True

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        gui = {}
        for name, widget in mapping.items():
            datatype = self._parameter(name).datatype
            own = isinstance(widget, Connector)
            gui[name] = widget if own else connector_of(widget, datatype)
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = gui
        for name, connector in gui.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._from_gui(name, connector))
        watch(self.parameterNode, "ModifiedEvent", lambda *_: self._update_gui())
        return tag

    def _from_gui(self, name: str, connector: Connector) -> Any:
        def callback() -> None:
            with slicer.util.NodeModify(self):
                if not self._updating:
                    self.setValue(name, connector.read())

        return callback

    def _update_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for gui in self._guis.values():
                    for name, connector in gui.items():
                        connector.write(self.getValue(name))
        finally:
            self._updating = False

    def connectGui(self, gui: Any) -> None:
        """As in Slicer 5.10 no tag is returned: only connectParametersToGui can be undone."""
        widgets = gui.findChildren(QWidget) if isinstance(gui, QWidget) else vars(gui).values()
        named = {widget.property(PROPERTY): widget for widget in widgets}
        self.connectParametersToGui({name: w for name, w in named.items() if name})

    def disconnectGui(self, tag: int | None) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.onChanged(None)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, before: int) -> int:
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(decorated: type | None = None) -> Any:
    """Class decorator: every annotated attribute becomes a parameter of the node."""
    if decorated is None:
        return parameterNodeWrapper
    hints = get_type_hints(decorated, include_extras=True)
    parameters = {name: _Parameter(decorated, name, kind) for name, kind in hints.items()}
    for name, member in vars(_Wrapper).items():
        if not name.startswith("__") and (hasattr(decorated, name) or name in parameters):
            raise ValueError(f"Slicer's wrapper has a “{name}” of its own: take another name")
        if name == "__init__" or not name.startswith("__"):
            setattr(decorated, name, member)
    for name in parameters:
        setattr(
            decorated,
            name,
            property(
                lambda self, name=name: self.getValue(name),
                lambda self, value, name=name: self.setValue(name, value),
            ),
        )
    decorated.allParameters = parameters
    decorated._is_parameter_node_wrapper = True
    return decorated


def make_wrapper_module() -> types.ModuleType:
    """Build the module ``slicer.parameterNodeWrapper``."""
    out = types.ModuleType("slicer.parameterNodeWrapper", "parameters in a node of the scene")
    out.parameterNodeWrapper = parameterNodeWrapper
    out.SlicerParameterNamePropertyName = PROPERTY
    out.isParameterNodeWrapper = lambda it: getattr(it, "_is_parameter_node_wrapper", False)
    for name in validators.__all__:
        setattr(out, name, getattr(validators, name))
    return out
