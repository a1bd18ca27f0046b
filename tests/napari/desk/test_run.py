"""A run from the button to its end: cancel, errors, and what the engine says."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import press_segment, segment, shown_errors, stack
from qtpy.QtCore import Qt

from napari_spad.desk.run import explain

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_cancel_keeps_what_is_done(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.05
    viewer.add_image(stack((60, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: viewer.layers["eye – SPAD"].data.any(), timeout=10_000)
    qtbot.waitUntil(lambda: "of 60" in dock.footer.status.text(), timeout=5000)
    assert "left" in dock.footer.status.text()
    assert not dock.form.button.isEnabled()
    qtbot.mouseClick(dock.footer.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=2000)
    assert dock.form.button.isEnabled()
    done = viewer.layers["eye – SPAD"].data.any(axis=(1, 2)).sum()
    assert 0 < done < 60
    assert f"cancelled; {done} of 60 B-scans" in dock.footer.status.text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), "fewer samples"),
        (RuntimeError("mat1 and mat2"), "mat1 and mat2"),
        (ValueError("the image is wrong"), "the image is wrong"),
        (MemoryError(), "fewer samples"),
    ],
    ids=repr,
)
def test_every_error_is_shown_and_the_button_comes_back(open_dock, engine, qtbot, error, words):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    engine.fails_with = error
    segment(dock, qtbot)
    assert words in dock.footer.status.text()
    assert any(words in message for message in shown_errors())
    assert len(viewer.layers) == 1
    engine.fails_with = None
    segment(dock, qtbot)
    assert "done" in dock.footer.status.text()


def test_what_the_engine_says_of_a_run_is_shown_once(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.says = "not enough memory on cuda:0: going on with the CPU"
    viewer.add_image(stack((3, 24, 36)))
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert "done on cpu" in dock.footer.status.text()
    assert dock.footer.status.text().count(engine.says) == 1


def test_a_model_that_does_not_load_is_told(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    engine.checkpoint.unlink()
    segment(dock, qtbot)
    assert "fake.safetensors" in dock.footer.status.text()


def test_windows_error_1114_is_explained():
    error = OSError("[WinError 1114] A dynamic link library initialization routine failed")
    error.winerror = 1114
    assert "import torch" in explain(error)
