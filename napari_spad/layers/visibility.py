"""What of a label layer is seen: structures hidden, or one alone. Pixels stay as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Looks"]

DIMMED = 0.13
"""Opacity of the others while one is shown alone: enough to see where they begin."""
UNSEEN = 0.001
"""Not 0, which writers of palettes and the like take for “no colour”."""


class Looks:
    """Changes a layer's colour map, and gives it back.

    Parameters
    ----------
    layer : napari.layers.Labels

    Attributes
    ----------
    hidden : set of int
        Values that are not seen. Call `apply` after changing it.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self.hidden: set[int] = set()
        self._own = self._base = layer.colormap
        layer.events.colormap.connect(self._on_colormap)

    def apply(self, values: Collection[int], alone: Collection[int] | None = None) -> None:
        """Show the layer as it should be.

        Parameters
        ----------
        values : collection of int
            All that the layer may hold, for those whose colours are not listed in its colour map.
        alone : collection of int, optional
            The others are dimmed.
        """
        plain = not self.hidden and alone is None
        own = self._base if plain else self._made(values, alone)
        if own is not self._own:
            self._own = own
            self.layer.colormap = own

    def release(self) -> None:
        """Give the layer its colours back, and let go of it."""
        self.hidden.clear()
        self.apply(())
        self.layer.events.colormap.disconnect(self._on_colormap)

    def _made(self, values: Collection[int], alone: Collection[int] | None) -> Any:
        from napari.utils.colormaps import DirectLabelColormap

        listed = getattr(self._base, "color_dict", None)
        if listed is None:
            colors: dict[int | None, Any] = {v: self._base.map(v) for v in values}
            colors[None] = "gray"
        else:
            colors = dict(listed)
        colors[0] = "transparent"
        for value in colors:
            if value in self.hidden:
                colors[value] = _faded(colors[value], UNSEEN)
            elif value and alone is not None and value not in alone:
                colors[value] = _faded(colors[value], DIMMED)
        return DirectLabelColormap(color_dict=colors)

    def _on_colormap(self, _event: Any = None) -> None:
        if self.layer.colormap is not self._own:  # the user chose another one
            self._own = self._base = self.layer.colormap
            self.hidden.clear()


def _faded(color: Any, opacity: float) -> Any:
    from napari.utils.color import ColorValue

    rgba = np.array(ColorValue(color), float)
    rgba[3] *= opacity
    return rgba
