"""A result with its reference, and the scores of it, without the rest of the dock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES

SHAPE = (3, 40, 60)
SRF, IRF = 1, 2


@pytest.fixture
def bench(make_napari_viewer, engine, qtbot, tmp_path: Path):
    """A result of three B-scans with a reference; SRF is worst in the last one, far right."""

    from qtpy.QtCore import QSettings

    from napari_spad.desk.desk import Desk
    from napari_spad.desk.result import Result
    from napari_spad.layers.image_source import open_source
    from napari_spad.scores.scores_panel import ScoresPanel

    def opened(**options):
        viewer = make_napari_viewer(**options)
        settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)
        desk = Desk(viewer, engine, settings, tmp_path)
        table = ScoresPanel(desk)
        viewer.window.add_dock_widget(table, area="right")
        placed = {"scale": (0.1, 0.02, 0.01), "units": ("mm",) * 3}
        image = viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye", **placed)
        truth = np.zeros(SHAPE, np.uint8)
        truth[:, 5:15, 5:25], truth[:, 20:30, 5:25] = SRF, IRF
        truth[2, 30:38, 50:58] = SRF
        viewer.add_labels(truth, name="reference", metadata={"role": "reference"}, **placed)
        result = Result(viewer, open_source(image, viewer, whole_stack=True), CLASSES, "fake")
        result.layer.data[...] = np.where(truth == SRF, 0, truth)
        result.layer.data[:, 5:15, 5:25] = SRF
        result.layer.data[0, 20:22, 30:34] = IRF
        result.show_all()
        desk.add_result(result)
        table.show_segmentation(result.layer)
        table.live.settle()
        table.refresh()
        desk.heard = []
        desk.said.connect(desk.heard.append)
        viewer.dims.set_current_step(0, 0)
        made.append((table, desk))
        return viewer, desk, table, result

    made: list = []
    yield opened
    for table, desk in made:
        table.disconnect_viewer()
        desk.shut_down()
