"""How long the tab Measure takes after a stroke: from napari's `paint` to the drawn table.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/live_measures.py

A stack of 128 × 512 × 512 pixels with 8 samples and a reference, the fovea in its middle, the table
of volumes and the map en face shown. Each stroke is a brush drag; told are the time from its end to
the table's new numbers, to the window drawn with them (by Mesa, where there is no graphics card),
and what measuring takes of it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (128, 512, 512)
SPACING_MM = (0.047, 0.0039, 0.0117)
STROKES = 20


def main() -> None:
    """Print medians and the greatest, in milliseconds."""
    import napari
    from qtpy.QtCore import QObject, QSettings, Qt, QThreadPool
    from qtpy.QtWidgets import QApplication

    from napari_spad.desk import Result
    from napari_spad.dock import SpadDock
    from napari_spad.layers import open_source, reference_settings
    from spad.autosave import Packed
    from spad.checkpoint import label_classes
    from spad.phantom import CLASS_NAMES, stack

    folder = Path(tempfile.mkdtemp())
    viewer = napari.Viewer()
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    dock = SpadDock(viewer, settings=settings, folder=folder)
    viewer.window.add_dock_widget(dock, area="right")
    phantom = stack(7, shape=(16, *SHAPE[1:]))
    times = SHAPE[0] // 16
    placed = {"scale": SPACING_MM, "units": ("mm",) * 3}
    image = viewer.add_image(np.concatenate([phantom.image] * times), name="eye", **placed)
    labels = np.concatenate([phantom.labels] * times)
    classes = label_classes(CLASS_NAMES)
    looks = reference_settings("reference", classes)
    viewer.add_labels(np.roll(labels, 3, axis=1), **looks, **placed)
    result = Result(viewer, open_source(image, viewer, whole_stack=True), classes, "model")
    layer = result.layer
    layer.data[...] = labels
    for z, one in enumerate(labels):
        result.packed[(z,)] = Packed.of(np.stack([np.roll(one, n, axis=0) for n in range(8)]))
    result.show_all()
    dock.desk.add_result(result)
    dock.scores.reference.choose(viewer.layers["reference"])
    dock.panels.setCurrentWidget(dock.measure)
    measures = dock.measure.measures
    if measures.facts is not None:
        measures.facts.place_fovea((64.0, 256.0))
    began = time.perf_counter()
    while not measures.rows:
        QApplication.processEvents()
        time.sleep(0.005)
    print(f"first count, in a worker: {time.perf_counter() - began:.1f} s", flush=True)
    names = ("stroke's end to numbers", "to the window drawn with them", "of it, measuring")
    found: dict[str, list[float]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    layer.brush_size = 12
    work = measures._on_soon

    def timed() -> None:
        start = time.perf_counter()
        work()
        found[names[2]].append((time.perf_counter() - start) * 1000)

    class Drawn(QObject):
        """Sees the table being drawn."""

        seen = False

        def eventFilter(self, _table: Any, event: Any) -> bool:
            self.seen |= event.type() == event.Type.Paint
            return False

    measures._soon.disconnect()
    measures._soon.connect(timed, Qt.ConnectionType.QueuedConnection)
    told: list[float] = []
    measures.changed.connect(lambda: told.append(time.perf_counter()))
    drawn = Drawn()
    dock.measure.table.viewport().installEventFilter(drawn)
    for n in range(STROKES):
        z, row, column = int(rng.integers(128)), *(int(rng.integers(60, 450)) for _ in range(2))
        viewer.dims.set_current_step(0, z)
        for _ in range(60):
            QApplication.processEvents()
            time.sleep(0.01)
        with layer.block_history():
            for step in range(-25, 25, 2):
                layer.paint((z, row, column + step), 1 + n % 5)
        ended = time.perf_counter()
        told.clear()
        while not told:
            drawn.seen = False
            QApplication.processEvents()
        while not drawn.seen:
            QApplication.processEvents()
        found[names[0]].append((told[0] - ended) * 1000)
        found[names[1]].append((time.perf_counter() - ended) * 1000)
    table = {k: {"median": statistics.median(v), "most": max(v)} for k, v in found.items()}
    print(json.dumps(table, indent=1))
    viewer.close()
    QThreadPool.globalInstance().waitForDone()  # else they end without a Qt


if __name__ == "__main__":
    main()
