"""Observers of VTK objects that are taken away before anything is garbage."""

from __future__ import annotations

import weakref
from typing import Any

import shiboken6
import vtk

__all__ = ["forget_observers", "observe", "watch"]

# A callback that Python's collector has cleared crashes the process when a dying node calls it
# once more: so callbacks are held here until their observers are removed.
_held: list[tuple[Any, int, Any]] = []


def watch(source: Any, event: Any, callback: Any) -> int:
    """``source.AddObserver(event, callback)`` until ``forget_observers``."""
    tag = source.AddObserver(event, callback)
    _held.append((source, tag, callback))
    return tag


def observe(widget: Any, source: Any, event: Any, method: str, *, data: bool = False) -> int:
    """Call ``widget.<method>()`` at an event, as long as there is the widget.

    With `data` the method gets the event's object (of a scene: the node).
    """
    reference = weakref.ref(widget)

    def call(*arguments: Any) -> None:
        target = reference()
        if target is not None and shiboken6.isValid(target):
            getattr(target, method)(*arguments)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def with_data(_: Any, __: str, node: Any) -> None:
        call(node)

    return watch(source, event, with_data if data else lambda *_: call())


def forget_observers() -> None:
    """Remove every observer: widgets that are left over follow no scene any more."""
    for source, tag, _ in _held:
        source.RemoveObserver(tag)
    _held.clear()
