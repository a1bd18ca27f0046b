"""Qt where PythonQt and other bindings differ, and what several panels do with a widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

__all__ = ["get", "set_up_table"]

ROW_PX = 24


def get(widget: Any, name: str) -> Any:
    """Value of a property whose getter has the same name: PythonQt gives it without a call."""
    value = getattr(widget, name)
    return value() if callable(value) else value


def set_up_table(table: Any, columns: Sequence[str]) -> None:
    """Give a table its columns; its rows are read, clicked, and not typed into."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
