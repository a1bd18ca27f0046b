"""Each test has a scene of its own. Without slicer-core none is collected, which is said."""

from __future__ import annotations

import pytest

try:
    import slicer  # noqa: F401
except ImportError:
    collect_ignore_glob = ["*"]

    def pytest_terminal_summary(terminalreporter):
        terminalreporter.write_line(
            "tests/slicer left out: they need Slicer's MRML core (pip install slicer-core)"
        )


@pytest.fixture
def scene():
    from scene import new_scene

    made, _, _ = new_scene()
    yield made
    made.Clear(1)
