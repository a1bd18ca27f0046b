"""A dock with a segmented stack."""

from __future__ import annotations

import numpy as np
import pytest

from corrected import SHAPE, run  # isort: skip


@pytest.fixture
def desk(open_dock, qtbot):
    """A dock with a segmented stack, B-scan 1 on screen."""
    viewer, dock = open_dock()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye")
    dock.form.whole.setChecked(True)
    viewer.dims.set_current_step(0, 1)
    run(dock, qtbot, dock.segment)
    return viewer, dock, dock.results[0]
