"""Each test has a scene of its own. Without slicer-core none is collected, which is said."""

from __future__ import annotations

import numpy as np
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


@pytest.fixture
def app(scene, tmp_path, monkeypatch):
    """The stand-in for Slicer's Qt world; and a data folder of the test's own."""
    pytest.importorskip("PySide6", reason="the stand-in for Slicer's Qt is made of PySide6")
    import standin

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    application = standin.install(scene)
    yield application
    standin.remove()


@pytest.fixture
def labels():
    """Two structures on two B-scans of `driving.SHAPE`."""
    out = np.zeros((4, 24, 32), np.uint8)
    out[1, 4:12, 4:20], out[2, 12:20, 2:10] = 1, 2
    return out


@pytest.fixture
def panel_engine(tmp_path, monkeypatch):
    from fakes import FakeEngine

    from spad.inference.hosts import Engine

    fake = FakeEngine(tmp_path)
    monkeypatch.setattr(Engine, "spad", classmethod(lambda cls: fake))
    return fake


@pytest.fixture
def panel_worker(monkeypatch):
    """The process that learns."""
    from fakes import FakeWorker

    return FakeWorker(monkeypatch)


@pytest.fixture
def panel(app, panel_engine, panel_worker):
    """The module's panel, open, with a quick model chosen."""
    import standin

    import SPAD

    widget = standin.open_module(SPAD)
    widget.desk.parameters.checkpoint = "fake"
    return widget


@pytest.fixture
def panel_volume(panel):
    """The volume that is chosen in the panel."""
    import numpy as np
    from driving import SHAPE, settle
    from scene import add_volume

    image = np.zeros(SHAPE, np.uint8)
    image[:, 10:, 10:] = 200
    image[:, 0, 0] = range(len(image))  # else the training set knows them for one B-scan
    node = add_volume(image, spacing=(0.2, 0.004, 0.01), name="OCT")
    panel.desk.parameters.inputVolume = node
    settle(panel)
    return node


@pytest.fixture
def panel_result(panel, panel_volume):
    """What the button Segment made of it."""
    from driving import run

    return run(panel)
