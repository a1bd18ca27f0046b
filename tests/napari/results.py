"""Results as a run makes them, without a run; and a stroke on one."""

from __future__ import annotations

import numpy as np

from napari_spad.desk.desk import Desk
from napari_spad.desk.result import Result
from napari_spad.desk.run import Finished
from napari_spad.layers.image_source import open_source

from conftest import CLASSES, fake_labels  # isort: skip

SHAPE = (4, 24, 36)
PLACED = {"scale": (0.1, 0.02, 0.03), "translate": (1, 2, 3), "units": ("mm",) * 3}


def stack(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype("uint8")


def segmentation(pixels: np.ndarray, **provenance):
    """What a run gives for one B-scan."""
    from hashlib import sha256
    from types import SimpleNamespace

    labels = fake_labels(pixels)
    return SimpleNamespace(
        labels=labels,
        samples=np.stack([labels, labels * 0]),
        uncertainty=(labels > 0).astype(np.float16) / 4,
        provenance={
            "seed": 7,
            "device": "cpu",
            "image_sha256": sha256(pixels.tobytes()).hexdigest(),
            **provenance,
        },
    )


def segment(desk: Desk, image, places=range(SHAPE[0])) -> Result:
    """A result as a run makes it."""
    source = open_source(image, desk.viewer, whole_stack=True)
    result = Result(desk.viewer, source, CLASSES, "model")
    for part in source.parts:
        if not part.index or part.index[-1] in places:
            result.put(Finished.of(part, segmentation(source.read(part))), undoable=False)
            desk.written.emit(result, part.index)
    desk.add_result(result)
    result.show_all()
    return result


def stroke(result: Result, z: int, value: int = 2) -> None:
    result.layer.selected_label = value
    result.layer.brush_size = 4
    result.layer.paint((z, 5, 30), value)
