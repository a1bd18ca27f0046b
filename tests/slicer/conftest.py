"""Each test has a scene of its own. Without slicer-core all of them are skipped."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="needs Slicer's MRML core: pip install slicer-core")


@pytest.fixture
def scene():
    from scene import new_scene

    made, _, _ = new_scene()
    yield made
    made.Clear(1)
