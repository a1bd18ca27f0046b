"""Qt where PythonQt and other bindings differ, and what several panels do with a widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

__all__ = ["get", "ink", "set_up_table"]

ROW_PX = 24
INKS = {"error": ("#a00000", "#ff9a94"), "warning": ("#804000", "#ffb861")}
"""On a light background, and on a dark one: at least 4.5:1 on both styles of Slicer."""
MIDDLE = 128


def get(widget: Any, name: str) -> Any:
    """Value of a property whose getter has the same name: PythonQt gives it without a call."""
    value = getattr(widget, name)
    return value() if callable(value) else value


def ink(widget: Any, kind: str) -> str:
    """Style of a text that warns or tells of an error, readable on the widget's background.

    Parameters
    ----------
    widget : QWidget
    kind : {"error", "warning", ""}

    Returns
    -------
    str
        A style sheet; empty for plain text.
    """
    if not kind:
        return ""
    dark = get(widget, "palette").color(qt.QPalette.Window).lightness() < MIDDLE
    return f"color: {INKS[kind][dark]};"


def set_up_table(table: Any, columns: Sequence[str]) -> None:
    """Give a table its columns; its rows are read, clicked, and not typed into."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
