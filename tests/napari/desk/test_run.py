"""A run from the button to its end: cancel, errors, and what the engine says."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import press_segment, segment, shown_errors, stack
from qtpy.QtCore import Qt

from napari_spad.desk import explain

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_cancel_keeps_what_is_done(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.05
    viewer.add_image(stack((60, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: "eye – SPAD" in viewer.layers, timeout=10_000)
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


def test_this_bscan_needs_one_on_screen(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((4, 24, 36)), name="eye")
    viewer.dims.order = (2, 0, 1)
    dock.form.one.setChecked(True)
    segment(dock, qtbot)
    assert "turn the view back" in dock.footer.status.text()
    assert len(viewer.layers) == 1
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert viewer.layers["eye – SPAD"].data.any(axis=(1, 2)).all()


def test_a_run_that_fails_at_once_makes_no_layers_to_remove(open_dock, engine, qtbot):
    """napari ends (SIGSEGV) where layers go while the notification of the error comes."""
    viewer, dock = open_dock()
    viewer.add_image(stack())
    seen = []
    viewer.layers.events.inserted.connect(seen.append)
    viewer.layers.events.removed.connect(seen.append)
    dock.form.whole.setChecked(True)
    engine.fails_with = ValueError("pixels are NaN")
    segment(dock, qtbot)
    assert "none of the 4 B-scans" in dock.footer.status.text()
    assert "NaN" in dock.footer.status.text()
    assert seen == []


class Chunks:
    """A lazy stack, some of whose B-scans cannot be read."""

    def __init__(self, whole, bad, error):
        self.whole, self.bad, self.error = whole, bad, error
        self.shape, self.dtype, self.ndim = whole.shape, whole.dtype, whole.ndim

    def __getitem__(self, key):
        if key[0] in self.bad:
            raise self.error
        return self.whole[key]


@pytest.mark.parametrize(
    "error",
    [OSError("cut"), RuntimeError("blosc"), KeyError("c/2"), ValueError("x"), SystemExit("out")],
    ids=repr,
)
def test_a_bscan_that_cannot_be_read_costs_the_others_nothing(open_dock, engine, qtbot, error):
    viewer, dock = open_dock()
    pixels = stack((6, 24, 36))
    viewer.add_image(pixels, name="eye")
    dock.form.whole.setChecked(True)
    request = dock.form.request()
    request.source.data = Chunks(pixels, {2, 4}, error)
    dock.form.request = lambda: request
    segment(dock, qtbot)
    filled = viewer.layers["eye – SPAD"].data.any(axis=(1, 2))
    assert filled.tolist() == [True, True, False, True, False, True]
    said = dock.footer.status.text()
    assert "4 of 6 B-scans are done; left out: " in said
    assert "cannot be read" in said
    runs = dock.results[0].layer.metadata["spad"]["provenance"]
    assert [run["bscan"] for run in runs] == [[0], [1], [3], [5]]


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


def test_what_is_missing_is_asked_for_once():
    known = 'eyepy\'s files need eyepy: pip install "napari-spad[oct]"'
    assert explain(ImportError(known)) == known
    assert explain(ModuleNotFoundError("No module named 'torch'", name="torch")).endswith(
        "pip install napari-spad"
    )


def test_windows_error_1114_is_explained():
    error = OSError("[WinError 1114] A dynamic link library initialization routine failed")
    error.winerror = 1114
    assert "import torch" in explain(error)
