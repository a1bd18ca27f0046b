"""What Python reaches of a C++ widget in Slicer: properties, slots and invokable methods only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from PySide6.QtCore import Property

__all__ = ["explain", "forwarded", "kept"]


def explain(self: Any, name: str) -> NoReturn:
    """``__getattr__`` of the stand-ins: setters that are no slots do not exist in PythonQt.

    Slicer wraps the methods of Qt's own classes by generated code, those of CTK and MRML widgets
    by their meta-object alone; code that calls another method would fail in Slicer only.
    """
    kind = type(self).__name__
    if name.startswith("set") and len(name) > 3:
        attribute = name[3].lower() + name[4:]
        if isinstance(getattr(type(self), attribute, None), Property):
            raise AttributeError(
                f"“{kind}.{name}” cannot be reached from Python in Slicer (it is no slot): "
                f"write widget.{attribute} = value"
            )
    raise AttributeError(f"“{kind}” has no attribute “{name}” that Python reaches in Slicer")


def kept(kind: Any, start: Any, changed: Callable[[Any], None] | None = None) -> Property:
    """A property that keeps its value, and calls ``changed(widget)`` when it is another one."""
    made: dict[str, str] = {}

    def read(self: Any) -> Any:
        return self.__dict__.get(made["key"], start)

    def write(self: Any, value: Any) -> None:
        if value != read(self):
            self.__dict__[made["key"]] = value
            if changed is not None:
                changed(self)

    out = Property(kind, read, write)
    made["key"] = f"_kept_{id(out)}"
    return out


def forwarded(kind: Any, part: str, getter: str, setter: str) -> Property:
    """A property of the widget that is one of its parts: ``self.<part>.<getter>()``."""
    return Property(
        kind,
        lambda self: getattr(getattr(self, part), getter)(),
        lambda self, value: getattr(getattr(self, part), setter)(value),
    )
