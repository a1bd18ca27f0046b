"""Locked structures: no tool changes their pixels, and none adds to them. No Qt in here.

napari knows `preserve_labels` alone, which guards all structures or none. Its tools reach the data
by two ways, and both are narrowed here, layer by layer: brush, fill, polygon and eraser by
``_apply_mask_to_data``, everything else that can be undone by `data_setitem`. What was held back
never enters napari's history, so undo, redo and those who listen to `paint` see the strokes that
were made and nothing else.

Undo and redo are not held: they only take back, or make again, what was painted before the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Locks"]


class Locks:
    """Keeps the locked structures of a label layer as they are.

    Parameters
    ----------
    layer : napari.layers.Labels
    locked : set of int
        Their values; looked at anew at each stroke.
    on_held : callable
        Takes the values of the locked structures that a stroke would have changed.
    """

    def __init__(
        self, layer: Labels, locked: set[int], on_held: Callable[[set[int]], None]
    ) -> None:
        self.layer, self.locked, self._on_held = layer, locked, on_held
        self._set_item: Any = layer.data_setitem
        self._apply_mask: Any = getattr(layer, "_apply_mask_to_data", None)
        layer.__dict__["data_setitem"] = self._guarded_set_item
        if self._apply_mask is not None:
            layer.__dict__["_apply_mask_to_data"] = self._guarded_mask

    def release(self) -> None:
        """Leave the layer as napari made it."""
        self.layer.__dict__.pop("data_setitem", None)
        self.layer.__dict__.pop("_apply_mask_to_data", None)

    def _guarded_mask(self, data: NDArray[Any], mask: NDArray[Any], new: int, *rest: Any) -> Any:
        if self.locked:
            held = self._held(data, new) & mask
            if held.any():
                self._tell(data[held], new)
                mask = mask & ~held
        return self._apply_mask(data, mask, new, *rest)

    def _guarded_set_item(self, indices: Any, value: Any, refresh: bool = True) -> None:
        if self.locked:
            current = np.asarray(self.layer.data[indices])
            held = self._held(current, value)
            if held.any():
                self._tell(current[held], np.broadcast_to(value, current.shape)[held])
                indices = tuple(np.asarray(i)[~held] for i in indices)
                if np.ndim(value):
                    value = np.broadcast_to(value, current.shape)[~held]
                if not current[~held].size:
                    return
        self._set_item(indices, value, refresh)

    def _held(self, current: NDArray[Any], new: Any) -> NDArray[np.bool_]:
        """Which pixels may not become `new`."""
        locked = list(self.locked)
        held: NDArray[np.bool_] = (np.isin(current, locked) | np.isin(new, locked)) & (
            current != new
        )
        return held

    def _tell(self, current: NDArray[Any], new: Any) -> None:
        values = {int(v) for v in np.unique(current)} | {int(v) for v in np.unique(new)}
        self._on_held(values & self.locked)
