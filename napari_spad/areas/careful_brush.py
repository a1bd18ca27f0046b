"""napari's brush, kept to the side of an edge on which a stroke began."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_spad.areas.area_tools import grey_values
from napari_spad.desk import Desk, Result
from napari_spad.layers import Part, turned_view

if TYPE_CHECKING:
    from spad.areas import EdgeBrush

__all__ = ["CarefulBrush"]


class CarefulBrush:
    """While it is on, the brush of the result at work paints on one side of an edge alone.

    The layer's own `paint` is ours meanwhile: it writes fewer pixels by the same way, so that
    undo, what is by hand, and locks are as with any stroke.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._result: Result | None = None
        self._brush: EdgeBrush | None = None

    @property
    def on(self) -> bool:
        """Whether it is on."""
        return self._result is not None

    def take(self, result: Result | None) -> None:
        """Be the brush of a result; of none: be off."""
        if result is self._result:
            return
        if self._result is not None:
            self._result.layer.__dict__.pop("paint", None)
            callbacks = self._result.layer.mouse_drag_callbacks
            if self._on_press in callbacks:
                callbacks.remove(self._on_press)
        self._result, self._brush = result, None
        if result is not None:
            result.layer.__dict__["paint"] = self._paint
            result.layer.mouse_drag_callbacks.insert(0, self._on_press)

    def _on_press(self, _layer: Any, _event: Any) -> Generator[None, None, None]:
        self._brush = None  # another stroke, another side
        yield

    def _paint(self, coord: Any, new_label: int, refresh: bool = True) -> None:
        result = self._result
        if result is None:
            return
        layer = result.layer
        if layer.n_edit_dimensions != 2 or turned_view(self.desk.viewer):
            type(layer).paint(layer, coord, new_label, refresh)
            return
        part = result.part(self.desk.place(result))
        if self._brush is None and not self._begin(result, part):
            return
        scale = np.abs(np.asarray(layer.scale[-2:], float))
        radii = (np.floor(layer.brush_size / 2) + 0.5) / (scale / scale.min())
        row, column = (float(np.round(i)) for i in coord[-2:])
        assert self._brush is not None  # noqa: S101 - by `_begin`
        rows, columns = self._brush.dab((row, column), (float(radii[0]), float(radii[1])))
        if layer.preserve_labels:
            keep = 0 if new_label else layer.selected_label
            free = np.asarray(layer.data[part.region])[rows, columns] == keep
            rows, columns = rows[free], columns[free]
        if rows.size:
            index = tuple(np.full(len(rows), i) for i in part.index)
            layer.data_setitem((*index, rows, columns), new_label, refresh=refresh)

    def _begin(self, result: Result, part: Part) -> bool:
        from spad.areas import EdgeBrush

        try:
            self._brush = EdgeBrush(grey_values(self.desk, result, part))
        except (ValueError, OSError) as error:
            self.desk.fail(error)
            return False
        return True
