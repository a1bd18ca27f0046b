"""Keys that work while the canvas has the focus. No Qt in here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from app_model.types import KeyCode, KeyMod
from napari.components import ViewerModel
from napari.layers import Layer

__all__ = ["UNDO_HERE", "Escapes", "Keys", "typed"]

UNDO_HERE = KeyMod.CtrlCmd | KeyMod.Alt | KeyCode.KeyZ
"""Beside the undo of napari, which on a Mac is of Cmd too."""


def typed(keys: str) -> str:
    """Name keys as they are on this computer's keyboard: "Cmd+Z" for "Ctrl+Z" on a Mac."""
    return keys.replace("Ctrl", "Cmd") if sys.platform == "darwin" else keys


class Keys:
    """Viewer-wide keys of a panel, given back when it goes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._bound: dict[str | int, Callable[[Any], None]] = {}

    def bind(self, key: str | int, function: Callable[[], Any]) -> None:
        """Call a function at a key."""

        def pressed(_viewer: Any) -> None:
            function()

        self._viewer.bind_key(key, pressed, overwrite=True)
        self._bound[key] = pressed

    def release(self) -> None:
        """Give all keys back, but those that another dock has taken over."""
        for key, ours in self._bound.items():
            bound = self._viewer.bind_key(key, None)
            if bound is not None and bound is not ours:
                self._viewer.bind_key(key, bound)
        self._bound = {}


class Escapes:
    """What Esc ends while a layer is active: what began last, first."""

    def __init__(self) -> None:
        self._ends: dict[Layer, list[Callable[[], Any]]] = {}

    def add(self, layer: Layer, end: Callable[[], Any]) -> None:
        """Let Esc call `end`, until it is taken away again."""
        ends = self._ends.setdefault(layer, [])
        ends.append(end)
        # Only for as long: otherwise it is napari's key, which drops a polygon.
        layer.bind_key("Escape", lambda _: ends[-1](), overwrite=True)

    def remove(self, layer: Layer, end: Callable[[], Any]) -> None:
        """Let Esc do what it did before."""
        ends = self._ends[layer]
        ends.remove(end)
        if not ends:
            layer.bind_key("Escape", None)
            del self._ends[layer]
