"""A stack of known doubt in the panel Review, and what the panel shows of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import FakeEngine
from qtpy.QtCore import Qt

DOUBT = (10, 60, 30, 90, 20)  # of each B-scan of `stack`, in percent
WORST_FIRST = [3, 1, 2, 4, 0]


class Doubting(FakeEngine):
    """An engine as uncertain as the B-scan is bright, at one spot more so."""

    phantoms_only: tuple[str, ...] = ()

    def steps(self, image, *args, **kwargs):
        made = yield from super().steps(image, *args, **kwargs)
        plane = np.asarray(image)
        uncertainty = np.full(plane.shape, plane[0, 0] / 100 * 0.35, np.float16)
        uncertainty[15:18, 25:28] += 0.2
        made.provenance["phantoms_only"] = list(self.phantoms_only)
        made.provenance["image_sha256"] = hashlib.sha256(plane.tobytes()).hexdigest()
        return replace(made, uncertainty=uncertainty)


def stack(doubt=DOUBT) -> np.ndarray:
    out = np.zeros((len(doubt), 24, 36), np.uint8)
    out += np.array(doubt, np.uint8)[:, None, None]
    return out


def close(panel) -> None:
    """Close the panel, once."""
    if not getattr(panel, "closed_by_test", False):
        panel.closed_by_test = True
        panel.disconnect_viewer()


def queue_of(dock, panel):
    return panel.reviews.bench(dock.desk.result).queue


def press(viewer, qtbot, key: str) -> None:
    """Press a key while the canvas has the focus."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))


def shown(viewer) -> int:
    return viewer.dims.current_step[0]


def listed(panel) -> list[tuple[str, str]]:
    table = panel.table
    return [(table.item(r, 1).text(), table.item(r, 3).text()) for r in range(table.rowCount())]


def looks(panel) -> list[str]:
    panel.refresh()
    return [cell.look for cell in panel.strip.cells]


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "reviews.json").read_text("utf-8"))
