"""Keys that work while the canvas has the focus. No Qt in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel

__all__ = ["Keys"]


class Keys:
    """Viewer-wide keys of a panel, given back when it goes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._bound: dict[str, Callable[[Any], None]] = {}

    def bind(self, key: str, function: Callable[[], Any]) -> None:
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
