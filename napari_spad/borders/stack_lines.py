"""The lines over an image, for who measures them: maps of thickness, and word of each change."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.borders.line_layers import borders_of, image_of
from napari_spad.borders.line_model import Borders
from spad.borders import layer_maps

__all__ = ["StackLines"]


class StackLines(QObject):
    """Lines of all images in a viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    changed = Signal()
    """Lines were edited, came or went."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._heard: list[Borders] = []
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self.changed)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._listen)
        self._listen()

    @property
    def there(self) -> bool:
        """Whether there are any."""
        return bool(self._heard)

    def maps(self, image: Any, row_mm: float) -> dict[str, NDArray[np.float32]]:
        """Thickness between the lines over an image, in µm, (B-scans, columns), by name.

        Parameters
        ----------
        image : napari.layers.Layer
        row_mm : float
            Height of its pixels.
        """
        found: dict[str, NDArray[np.float32]] = {}
        for layer in self._viewer.layers:
            borders = borders_of(layer)
            if borders is not None and image_of(borders, self._viewer) is image:
                for name, um in layer_maps(borders.lines, row_mm).items():
                    found[name if name not in found else f"{name} ({layer.name})"] = um
        return found

    def follow_scale(self, image: Any) -> None:
        """Give the lines over an image its scale."""
        scale, units = image.scale, image.units
        for layer in self._viewer.layers:
            borders = borders_of(layer)
            if borders is not None and image_of(borders, self._viewer) is image:
                layer.scale, layer.units = scale, units

    def _listen(self, _event: Any = None) -> None:
        there = [b for la in self._viewer.layers if (b := borders_of(la)) is not None]
        if there == self._heard == []:
            return
        self._forget()
        self._heard = there
        for borders in there:
            borders.changed.connect(self._on_changed)
        self._soon.start()

    def _on_changed(self, _bscans: Any) -> None:
        self._soon.start()

    def _forget(self) -> None:
        for borders in self._heard:
            borders.changed.disconnect(self._on_changed)
        self._heard = []
        self._soon.stop()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._forget()
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self._listen)
