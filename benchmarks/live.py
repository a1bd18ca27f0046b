"""How long the scores take after a stroke: from napari's `paint` event to the refreshed table.

    xvfb-run -a python benchmarks/live.py

Real strokes on a real Labels layer under the whole dock's table (10 classes, a reference of the
same size): a brush drag, a fill of a patch, of a whole B-scan, and a polygon. Counting, the memory
of what is by hand and the table's refresh are told apart; `count` compares with counting the whole
stack anew in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 10
PATCH = 32


def _timed(found: list[float], work: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        began = time.perf_counter()
        out = work(*args)
        found.append(time.perf_counter() - began)
        return out

    return timed


def _strokes(layer: Any, rng: np.random.Generator) -> dict[str, Callable[[int], None]]:
    """What an annotator does, by name; each takes a number that says which label."""
    z = tuple(n // 2 for n in layer.data.shape[:-2])
    height, width = layer.data.shape[-2:]

    def point() -> tuple[int, ...]:
        return (*z, int(rng.integers(60, height - 60)), int(rng.integers(60, width - 60)))

    def drag(size: int, label: int) -> None:
        at = point()
        layer.brush_size = size
        with layer.block_history():
            for step in range(-25, 25, 2):
                layer.paint((*at[:-1], at[-1] + step), label)

    def polygon(label: int) -> None:
        layer.paint_polygon([point() for _ in range(6)], label)

    def whole(label: int) -> None:
        corners = [(0, 0), (0, width - 1), (height - 1, width - 1), (height - 1, 0)]
        layer.paint_polygon([(*z, *c) for c in corners], label)

    return {
        "brush of 10": lambda label: drag(10, label),
        "brush of 40": lambda label: drag(40, label),
        "fill": lambda label: layer.fill(point(), label),
        "polygon": polygon,
        "whole B-scan": whole,
    }


def measure(shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Time every kind of stroke `rounds` times on a stack of this shape."""
    from napari import Viewer
    from qtpy.QtCore import QSettings
    from qtpy.QtWidgets import QApplication

    from napari_spad.desk.desk import Desk
    from napari_spad.desk.result import Result
    from napari_spad.desk.run import Engine
    from napari_spad.layers.image_source import open_source
    from napari_spad.scores.scores_panel import ScoresPanel
    from spad.checkpoint.labels import label_classes
    from spad.metrics import confusion_matrix

    rng = np.random.default_rng(0)
    blocks = rng.integers(0, CLASSES, (*shape[:-2], shape[-2] // PATCH, shape[-1] // PATCH))
    labels = np.kron(blocks, np.ones((PATCH, PATCH), np.uint8)).astype(np.uint8)
    viewer = Viewer(show=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        settings = QSettings(str(path / "settings.ini"), QSettings.Format.IniFormat)
        desk = Desk(viewer, Engine.spad(), settings, path)
        table = ScoresPanel(desk)
        viewer.window.add_dock_widget(table, area="right")
        image = viewer.add_image(labels, name="image")
        viewer.add_labels(np.roll(labels, 5, -1), name="reference")
        classes = label_classes(["background", *(f"S{i}" for i in range(1, CLASSES))])
        source = open_source(image, viewer, whole_stack=True)
        result = Result(viewer, source, classes, "benchmark")
        result.layer.data[...] = labels
        result.layer.refresh()
        desk.add_result(result)
        table.show_segmentation(result.layer)
        if len(shape) > 2:
            viewer.dims.set_point(0, shape[0] // 2)
        QApplication.processEvents()
        table.live.settle()

        spent: dict[str, list[float]] = defaultdict(list)
        paint, live = result.layer.events.paint, table.live
        # The event's whole emission, and in it what each listener takes.
        refresh = live._on_change
        live._on_change = _timed(spent["table"], refresh)
        paint.disconnect(live._on_paint)
        paint.connect(_timed(spent["scores"], live._on_paint))
        paint.disconnect(result.hand._on_paint)
        paint.connect(_timed(spent["by hand"], result.hand._on_paint))

        found: dict[str, Any] = {}
        for name, stroke in _strokes(result.layer, rng).items():
            for values in spent.values():
                values.clear()
            drawn: list[float] = []
            for number in range(rounds):
                stroke(1 + number % (CLASSES - 1))
                began = time.perf_counter()
                QApplication.processEvents()
                drawn.append(time.perf_counter() - began)
            parts = {
                "count": [s - t for s, t in zip(spent["scores"], spent["table"], strict=True)],
                "table": spent["table"],
                "by hand": spent["by hand"],
            }
            parts["sum"] = [sum(x) for x in zip(*parts.values(), strict=True)]
            parts["then drawing by Qt"] = drawn
            found[name] = {
                key: {"median_ms": 1e3 * statistics.median(v), "worst_ms": 1e3 * max(v)}
                for key, v in parts.items()
            }
        reference = np.asarray(viewer.layers["reference"].data)
        recount: list[float] = []
        for _ in range(3):
            began = time.perf_counter()
            confusion_matrix(result.layer.data, reference, CLASSES)
            recount.append(time.perf_counter() - began)
        whole = 1e3 * statistics.median(recount)
        found["full recount"] = {"median_ms": whole, "worst_ms": 1e3 * max(recount)}
        for name in list(found)[:-1]:
            found[name]["recount takes so many times the count"] = (
                whole / found[name]["count"]["median_ms"]
            )
        table.disconnect_viewer()
        desk.shut_down()
    viewer.close()
    return found


def main() -> None:
    """Measure a B-scan and a stack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    for shape in ((512, 512), (128, 512, 512)):
        title = " x ".join(map(str, shape))
        results[title] = measure(shape, args.rounds)
        print(f"{title}, {CLASSES} classes, median (worst of {args.rounds}) in ms")
        for name, parts in results[title].items():
            if name == "full recount":
                print(f"  {name}: {parts['median_ms']:.1f} ({parts['worst_ms']:.1f})")
                continue
            times = ", ".join(
                f"{key} {p['median_ms']:.2f} ({p['worst_ms']:.2f})"
                for key, p in parts.items()
                if isinstance(p, dict)
            )
            ratio = parts["recount takes so many times the count"]
            print(f"  {name}: {times}; a full recount takes {ratio:.0f} times the count")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
