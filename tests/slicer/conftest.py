"""Each test has a scene of its own. Without slicer-core all of them are skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs Slicer's MRML core: pip install slicer-core")

MODULE = Path(__file__).parents[2] / "slicer_module" / "SPAD"
if str(MODULE) not in sys.path:
    sys.path.insert(0, str(MODULE))


@pytest.fixture
def scene():
    from scene import new_scene

    made, _, _ = new_scene()
    yield made
    made.Clear(1)
