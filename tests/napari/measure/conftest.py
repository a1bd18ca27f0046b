"""A drawn stack whose numbers are known, in the dock."""

from __future__ import annotations

import numpy as np
import pytest
from docked import segment
from measuring import MM, SHAPE


@pytest.fixture
def measured(open_dock, qtbot):
    """Open the tab Measure on a segmented stack."""

    def opened(mm=MM, shape=SHAPE, pixels=None, **options):
        viewer, dock = open_dock(**options)
        if pixels is None:
            pixels = np.random.default_rng(0).integers(0, 200, shape).astype("uint8")
        units = ["mm" if s else "pixel" for s in mm]
        scale = [s or 1 for s in mm]
        place = {"scale": scale[-len(shape) :], "units": units[-len(shape) :]}
        viewer.add_image(pixels, name="eye", rgb=pixels.ndim > len(shape), **place)
        dock.form.whole.setChecked(True)
        segment(dock, qtbot)
        dock.panels.setCurrentWidget(dock.measure)
        measures = dock.measure.measures
        measures.wake(True)  # a window that is not shown hides its panels
        qtbot.waitUntil(lambda: bool(measures.rows or measures.problem), timeout=5000)
        dock.measure.isVisible = lambda: True
        dock.measure.refresh()
        return viewer, dock

    return opened
