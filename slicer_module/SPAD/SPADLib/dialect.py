"""Reading Qt widgets where PythonQt and other bindings differ."""

from __future__ import annotations

from typing import Any

__all__ = ["get"]


def get(widget: Any, name: str) -> Any:
    """Value of a property whose getter has the same name: PythonQt gives it without a call."""
    value = getattr(widget, name)
    return value() if callable(value) else value
