"""How long the tab Measure takes after a stroke: from napari's `paint` to the refreshed table.

    xvfb-run -a python benchmarks/live_measures.py

A stack of 128 × 512 × 512 pixels with 8 samples and a reference, the fovea in its middle, the table
of volumes and the map en face shown. Each stroke is a brush drag; told are the event loop's turn
that measures and draws the numbers, and the whole from the stroke's end to the table.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE = (128, 512, 512)
SPACING_MM = (0.047, 0.0039, 0.0117)
STROKES = 20


def main() -> None:
    """Print medians and the greatest, in milliseconds."""
    import napari
    from qtpy.QtCore import QSettings
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
    drawn = stack(7, shape=(16, *SHAPE[1:]))
    times = SHAPE[0] // 16
    placed = {"scale": SPACING_MM, "units": ("mm",) * 3}
    image = viewer.add_image(np.concatenate([drawn.image] * times), name="eye", **placed)
    labels = np.concatenate([drawn.labels] * times)
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
    found: dict[str, list[float]] = {"stroke's end to table": [], "of it, measuring": []}
    rng = np.random.default_rng(0)
    layer.brush_size = 12
    work = measures._on_soon

    def timed() -> None:
        start = time.perf_counter()
        work()
        found["of it, measuring"].append((time.perf_counter() - start) * 1000)

    measures._soon.timeout.disconnect()
    measures._soon.timeout.connect(timed)
    for n in range(STROKES):
        z, row, column = int(rng.integers(128)), *(int(rng.integers(60, 450)) for _ in range(2))
        viewer.dims.set_current_step(0, z)
        for _ in range(60):
            QApplication.processEvents()
            time.sleep(0.01)
        told: list[float] = []
        measures.changed.connect(lambda told=told: told.append(time.perf_counter()))
        with layer.block_history():
            for step in range(-25, 25, 2):
                layer.paint((z, row, column + step), 1 + n % 5)
        ended = time.perf_counter()
        while not told:
            QApplication.processEvents()
        found["stroke's end to table"].append((told[0] - ended) * 1000)
    table = {k: {"median": statistics.median(v), "most": max(v)} for k, v in found.items()}
    print(json.dumps(table, indent=1))
    viewer.close()


if __name__ == "__main__":
    main()
