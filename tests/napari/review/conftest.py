"""The panel Review over a stack of known doubt."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviewed import Doubting, close, queue_of, stack


@pytest.fixture
def engine(tmp_path: Path) -> Doubting:
    path = tmp_path / "fake.safetensors"
    path.write_bytes(b"fake")
    return Doubting(path)


@pytest.fixture
def review(open_dock, qtbot, monkeypatch):
    """Open a stack in the dock, segment it whole, and wait until it is judged.

    However long that takes, no B-scan is seen by lying on screen.
    """
    from napari_spad.review import records
    from napari_spad.review.review_panel import ReviewPanel

    monkeypatch.setattr(records, "LOOK_MS", 24 * 3600 * 1000)

    def opened(data=None, *, segment=True, **settings):
        viewer, dock = open_dock()
        viewer.add_image(stack() if data is None else data, name="eye", **settings)
        panel = dock.findChild(ReviewPanel)
        if panel is None:
            panel = ReviewPanel(dock.desk)
            dock.panels.addTab(panel, "Review")
        dock.panels.setCurrentWidget(panel)
        if segment:
            dock.form.whole.setChecked(True)
            dock.form.button.click()
            qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
            count = viewer.layers["eye"].data.shape[0] if viewer.layers["eye"].ndim > 2 else 1
            qtbot.waitUntil(lambda: len(queue_of(dock, panel).error) == count, timeout=15_000)
            panel.refresh()
        return viewer, dock, panel

    panels: list = []

    def remembered(*args, **kwargs):
        viewer, dock, panel = opened(*args, **kwargs)
        panels.append(panel)
        return viewer, dock, panel

    yield remembered
    for panel in panels:
        close(panel)
