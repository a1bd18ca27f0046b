"""The dock in a real viewer: pressing its button, reading its scores."""

from __future__ import annotations

import numpy as np
from conftest import fake_labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

SHAPE = (4, 24, 36)


def stack(shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def press_segment(dock, qtbot) -> None:
    qtbot.mouseClick(dock.form.button, Qt.MouseButton.LeftButton)


def segment(dock, qtbot) -> None:
    """Press the button and wait for the end."""
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    assert dock.form.button.isEnabled()
    assert dock.footer.cancel_button.isHidden()
    for result in dock.results:
        result.show_all()


def shown_errors() -> list[str]:
    return [str(n.message) for n in notification_manager.records if str(n.severity) == "error"]


def cell(dock, name: str, column: int) -> str:
    table = dock.scores.table
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == name)
    return table.item(row, column).text()


def with_reference(open_dock, qtbot, **options):
    viewer, dock = open_dock(**options)
    image = viewer.add_image(stack(), name="eye", scale=(0.1, 0.02, 0.02), units=("mm",) * 3)
    reference = np.stack([fake_labels(b) for b in image.data])
    reference[:, :, :12] = 0
    reference[reference == 5] = 0
    viewer.add_labels(reference, name="reference", scale=image.scale, units=image.units)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    return viewer, dock
