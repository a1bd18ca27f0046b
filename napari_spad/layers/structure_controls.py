"""The structures of label layers at work: which are seen, which are locked, which key is whose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from napari.layers import Labels

from napari_spad.layers.locks import Locks
from napari_spad.layers.visibility import Looks

__all__ = ["StructureControls"]


class StructureControls:
    """Eyes, padlocks and number keys, layer by layer.

    Parameters
    ----------
    values_of : callable
        The values of a layer's structures, in the order of the keys 1 to 9.
    on_held : callable
        Takes a layer and the values of its locked structures that a stroke would have changed.
    say : callable
        For the status line.
    """

    def __init__(
        self,
        values_of: Callable[[Labels], Sequence[int]],
        on_held: Callable[[Labels, set[int]], None],
        say: Callable[[str], None],
    ) -> None:
        self._values_of, self._on_held, self._say = values_of, on_held, say
        self._guards: dict[Labels, Locks] = {}
        self._looks: dict[Labels, Looks] = {}

    def attend(self, layer: Labels, locked: set[int] | None = None) -> None:
        """Give a layer its number keys and its guard.

        Parameters
        ----------
        layer : napari.layers.Labels
        locked : set of int, optional
            Where its locks are kept from now on; those that it has already go there.
        """
        guard = self._guards.get(layer)
        if guard is None:
            guard = Locks(layer, set() if locked is None else locked, partial(self._on_held, layer))
            self._guards[layer] = guard
            for number in range(10):
                # On this layer alone: napari's own meaning of 1 to 7 is bound to the class.
                layer.bind_key(str(number), self._key(number), overwrite=True)
        elif locked is not None and locked is not guard.locked:
            locked |= guard.locked
            guard.locked = locked

    def locked(self, layer: Labels) -> set[int]:
        """Values that nobody changes."""
        self.attend(layer)
        return self._guards[layer].locked

    def hidden(self, layer: Labels) -> set[int]:
        """Values that are not seen."""
        return self._looks[layer].hidden if layer in self._looks else set()

    def looks(self, layer: Labels) -> Looks:
        """How a layer is shown."""
        if layer not in self._looks:
            self._looks[layer] = Looks(layer)
        return self._looks[layer]

    def forget(self, layer: Labels) -> None:
        """Leave a layer as napari made it."""
        if (guard := self._guards.pop(layer, None)) is not None:
            guard.release()
            for number in range(10):
                layer.bind_key(str(number), None)
        self.undress(layer)

    def undress(self, layer: Labels) -> None:
        """Show a layer as it was."""
        if (looks := self._looks.pop(layer, None)) is not None:
            looks.release()

    def release(self) -> None:
        """Leave all layers as napari made them."""
        for layer in {*self._guards, *self._looks}:
            self.forget(layer)

    def _key(self, number: int) -> Callable[[Any], None]:
        def choose_structure(layer: Any) -> None:  # napari wants a function with a name
            values = self._values_of(layer)
            if number > len(values):
                self._say(f"“{layer.name}” has {len(values)} structures: no key {number}.")
            else:
                layer.selected_label = values[number - 1] if number else 0
                if str(layer.mode) in ("pan_zoom", "transform"):
                    layer.mode = "paint"  # whoever picks up a colour wants the brush

        return choose_structure
