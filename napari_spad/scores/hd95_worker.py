"""HD95 in a worker thread: too slow to follow every stroke, and for a volume to wait for."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import GeneratorWorker
from spad.checkpoint import IGNORE
from spad.metrics import hd95

__all__ = ["Distances"]


class Distances(QObject):
    """HD95 of several structures in a worker thread; a new start makes the old one void."""

    found = Signal(int, float)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker: GeneratorWorker | None = None
        self._turn = 0

    def start(
        self,
        prediction: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        values: list[int],
        spacing: tuple[float, ...] | None,
    ) -> None:
        """Count, and tell each structure's distance by `found` as it is known."""
        self.stop()
        self._worker = GeneratorWorker(
            _distances, prediction, reference, values, spacing, self._turn
        )
        self._worker.yielded.connect(self._on_yield)
        self._worker.start()

    def stop(self) -> None:
        """Tell nothing any more."""
        self._turn += 1
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _on_yield(self, event: tuple[int, int, float]) -> None:
        turn, value, distance = event
        if turn == self._turn:
            self.found.emit(value, distance)


def _distances(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    values: list[int],
    spacing: tuple[float, ...] | None,
    turn: int,
) -> Generator[tuple[int, int, float], None, None]:
    counted = reference != IGNORE
    for value in values:
        yield turn, value, hd95((prediction == value) & counted, reference == value, spacing)
