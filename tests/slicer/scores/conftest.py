"""A result, and the truth that it is compared with."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (4, 24, 32)
SPACING = (0.2, 0.004, 0.01)


@pytest.fixture
def volume(scene):
    from scene import add_volume

    return add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[1, 2:10, 3:19], out[2, 6:14, 1:12] = 1, 1
    out[2, 16:20, 4:20] = 2
    return out


@pytest.fixture
def truth(labels):
    out = np.roll(labels, (1, 2), (1, 2))
    out[3, 5:9, 5:9] = 3
    return out


@pytest.fixture
def result(volume, labels):
    from fakes import run_of

    from spad.cases import Layout
    from SPADLib.scene.result import Result

    return Result.create(volume, Layout(), run_of(labels))
