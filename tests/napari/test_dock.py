"""The dock from end to end in a real viewer, with a quick engine in place of the real one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES, fake_labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_spad.desk.result import Result
from napari_spad.desk.run import explain
from napari_spad.layers.inputs import open_source

pytestmark = pytest.mark.gui

SHAPE = (4, 24, 36)


@pytest.fixture(autouse=True)
def quiet():
    """Errors are shown, not raised, while these tests look at them."""
    notification_manager.records.clear()
    yield
    notification_manager.records.clear()


def stack(shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def press_segment(dock, qtbot) -> None:
    qtbot.mouseClick(dock.form.button, Qt.MouseButton.LeftButton)


def segment(dock, qtbot) -> None:
    """Press the button and wait for the end."""
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    assert dock.form.button.isEnabled()
    assert dock.footer.cancel_button.isHidden()


def shown_errors() -> list[str]:
    return [str(n.message) for n in notification_manager.records if str(n.severity) == "error"]


def cell(dock, name: str, column: int) -> str:
    table = dock.scores.table
    row = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == name)
    return table.item(row, column).text()


# ---------------------------------------------------------------------- a run


def test_an_empty_viewer_says_what_to_do_first(open_dock, qtbot):
    viewer, dock = open_dock()
    assert "phantom" in dock.footer.status.text()
    assert not dock.form.button.isEnabled()
    dock.footer.status.linkActivated.emit("sample")
    assert [layer.name for layer in viewer.layers] == ["phantom OCT", "reference"]
    assert viewer.layers["reference"].contour == 1
    assert dock.form.button.isEnabled()


def test_whole_stack_gives_named_coloured_labels_on_the_images_grid(open_dock, qtbot):
    viewer, dock = open_dock()
    placed = {"scale": (0.1, 0.02, 0.03), "translate": (1, 2, 3), "units": ("mm",) * 3}
    image = viewer.add_image(stack(), name="eye", **placed)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    layer, uncertainty = viewer.layers["eye – SPAD"], viewer.layers["eye – uncertainty"]
    np.testing.assert_array_equal(layer.data, [fake_labels(b) for b in image.data])
    assert layer.data.dtype == np.uint8
    for made in (layer, uncertainty):
        np.testing.assert_allclose(made.scale, image.scale)
        np.testing.assert_allclose(made.translate, image.translate)
        assert made.units == image.units
    assert list(layer.features["name"]) == [c.name for c in CLASSES]
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array(CLASSES[1].color) / 255, atol=1e-6)
    assert "name: SRF" in layer.get_status((1, 2 + 7 * 0.02, 3), world=True)["coordinates"]
    assert viewer.layers.selection.active is layer
    assert not uncertainty.visible
    spad = layer.metadata["spad"]
    assert [run["bscan"] for run in spad["provenance"]] == [[0], [1], [2], [3]]
    assert "research use" in spad["notice"]
    assert "done on cpu" in dock.footer.status.text()


def test_settings_reach_the_engine(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    assert dock.form.samples.value() == 4  # the card's
    dock.form.samples.setValue(2)
    dock.form.seed.setValue(5)
    segment(dock, qtbot)
    assert engine.calls[-1] == {
        "shape": (24, 36), "samples": 2, "steps": None, "seed": 5, "rgb": False
    }  # fmt: skip
    dock.form.steps.setValue(7)
    segment(dock, qtbot)
    assert engine.calls[-1]["steps"] == 7
    assert engine.loads == 1  # the model stays open


def test_a_new_run_never_overwrites(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye")
    segment(dock, qtbot)
    first = viewer.layers["eye – SPAD"]
    first.data[:] = 3
    segment(dock, qtbot)
    assert (first.data == 3).all()
    assert "eye – SPAD 2" in viewer.layers


def test_one_bscan_after_another_fills_one_layer_one_undo_step_each(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    for z in (2, 0):
        viewer.dims.set_current_step(0, z)
        segment(dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    assert [bool(b.any()) for b in layer.data] == [True, False, True, False]
    assert len(viewer.layers) == 4  # with uncertainty and by hand
    layer.undo()
    assert [bool(b.any()) for b in layer.data] == [False, False, True, False]


def test_an_edited_bscan_is_left_alone(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    viewer.dims.set_current_step(0, 1)
    segment(dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.paint((1, 2, 2), 4)
    before = layer.data.copy()
    segment(dock, qtbot)
    np.testing.assert_array_equal(layer.data, before)
    assert viewer.layers["eye – SPAD 2"].data[1].any()
    viewer.dims.set_current_step(0, 3)
    segment(dock, qtbot)  # goes on in the newest
    assert viewer.layers["eye – SPAD 2"].data[3].any()


def test_strokes_on_a_bscan_that_is_still_to_come_stay(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.gate = threading.Event()
    viewer.add_image(stack(), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: viewer.layers["eye – SPAD"].data.any(), timeout=10_000)
    viewer.layers["eye – SPAD"].data_setitem((np.array([3]), np.array([0]), np.array([0])), 5)
    engine.gate.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=5000)
    last = viewer.layers["eye – SPAD"].data[3]
    assert last[0, 0] == 5
    assert last.sum() == 5
    assert "kept as painted" in dock.footer.status.text()


def test_another_checkpoint_starts_another_layer(open_dock, engine, tmp_path: Path, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    segment(dock, qtbot)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"fake")
    dock.form.checkpoint.choose(other)
    viewer.dims.set_current_step(0, 0)
    segment(dock, qtbot)
    assert "eye – SPAD 2" in viewer.layers
    assert engine.loads == 2


# ---------------------------------------------------------------------- cancel, errors, removal


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


def test_the_bscan_on_screen_comes_first(open_dock, qtbot):
    viewer, _ = open_dock()
    layer = viewer.add_image(stack((5, 24, 36)))
    viewer.dims.set_current_step(0, 3)
    source = open_source(layer, viewer, whole_stack=True)
    assert [part.index for part in source.parts] == [(3,), (4,), (2,), (1,), (0,)]


def test_a_model_that_does_not_load_is_told(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    engine.checkpoint.unlink()
    segment(dock, qtbot)
    assert "fake.safetensors" in dock.footer.status.text()


def test_torch_that_does_not_load_is_told(make_napari_viewer, engine, settings, qtbot):
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()

    def fail() -> list[str]:
        raise ImportError("No module named 'torch'")

    object.__setattr__(engine, "devices", fail)
    dock = SpadDock(viewer, engine=engine, settings=settings)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: "pip install" in dock.footer.status.text())
    assert any("torch" in message for message in shown_errors())


def test_windows_error_1114_is_explained():
    error = OSError("[WinError 1114] A dynamic link library initialization routine failed")
    error.winerror = 1114
    assert "import torch" in explain(error)


@pytest.mark.parametrize("which", ["eye – SPAD", "eye – uncertainty", "eye"])
def test_a_layer_may_be_removed_while_it_is_made(open_dock, engine, qtbot, which):
    viewer, dock = open_dock()
    engine.gate = threading.Event()
    viewer.add_image(stack((12, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: viewer.layers["eye – SPAD"].data.any(), timeout=10_000)
    viewer.layers.remove(which)
    engine.gate.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=5000)
    assert not shown_errors()
    assert dock.form.button.isEnabled() == ("eye" in viewer.layers)
    if which == "eye – SPAD":
        assert "removed" in dock.footer.status.text()
        assert which not in viewer.layers
    else:
        assert viewer.layers["eye – SPAD"].data.any(axis=(1, 2)).all()


def test_the_dock_may_be_closed_while_running(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.02
    viewer.add_image(stack((40, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: viewer.layers["eye – SPAD"].data.any(), timeout=10_000)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not dock.running, timeout=2000)
    viewer.add_image(stack(), name="another")
    viewer.layers.remove("eye – SPAD")
    assert dock.form.image.layer is None


def test_the_viewer_may_be_closed_while_running(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.02
    viewer.add_image(stack((40, 24, 36)))
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.wait(100)
    viewer.close()
    qtbot.wait(200)


# ---------------------------------------------------------------------- images of all kinds


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int32", "float32", "float64"])
def test_real_pixels_of_any_type(open_dock, qtbot, dtype):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36), dtype), name="eye")
    segment(dock, qtbot)
    assert viewer.layers["eye – SPAD"].data.any()


def test_rgb_is_converted_and_said(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((3, 24, 36, 4)), name="eye", rgb=True)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert engine.calls[-1]["rgb"]
    assert engine.calls[-1]["shape"] == (24, 36, 3)
    assert viewer.layers["eye – SPAD"].data.shape == (3, 24, 36)
    assert "grey" in dock.footer.status.text()


def test_dask_stays_lazy(open_dock, qtbot):
    dask = pytest.importorskip("dask.array")
    viewer, dock = open_dock()
    read: list[tuple[int, ...]] = []

    def record(block):
        read.append(block.shape)
        return block

    lazy = dask.from_array(stack((50, 24, 36)), chunks=(1, 24, 36)).map_blocks(
        record, dtype="uint8", meta=np.zeros((0, 0, 0), "uint8")
    )
    viewer.add_image(lazy, name="eye", contrast_limits=(0, 255))
    read.clear()
    segment(dock, qtbot)
    assert viewer.layers["eye – SPAD"].data.any()
    assert len(read) < 10


def test_leading_axes_use_the_current_point(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((2, 3, 24, 36)), name="eye")
    viewer.dims.set_current_step(0, 1)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    filled = viewer.layers["eye – SPAD"].data.any(axis=(2, 3))
    assert filled.tolist() == [[False] * 3, [True] * 3]
    assert "leading" in dock.footer.status.text()


def test_multiscale_uses_full_resolution(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    full = stack((24, 36))
    viewer.add_image([full, full[::2, ::2]], name="eye", multiscale=True)
    segment(dock, qtbot)
    assert engine.calls[-1]["shape"] == (24, 36)
    assert "full-resolution" in dock.footer.status.text()


def test_padded_stacks_are_segmented_within_each_bscans_extent(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye", metadata={"bscan_sizes": [(24, 36), (10, 30)] * 2})
    viewer.dims.set_current_step(0, 0)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert [c["shape"] for c in engine.calls] == [(24, 36), (10, 30)] * 2
    layer = viewer.layers["eye – SPAD"]
    assert layer.data[1, :10, :30].any()
    assert not layer.data[1, 10:].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_in_words(open_dock, qtbot, bad):
    viewer, dock = open_dock()
    image = stack(dtype="float32")
    image[2, 3, 4] = bad
    viewer.add_image(image, name="eye", contrast_limits=(0, 200))
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert "B-scan 3 of “eye”" in dock.footer.status.text()
    assert "nan_to_num" in dock.footer.status.text()
    assert viewer.layers["eye – SPAD"].data[:2].any()


def test_complex_and_empty_are_refused_in_words(open_dock, qtbot):
    viewer, dock = open_dock()
    image = viewer.add_image(stack(), name="eye")
    image._data = np.ones(SHAPE, complex)
    segment(dock, qtbot)
    assert "complex" in dock.footer.status.text()
    image._data = np.ones((0, 24, 36))
    with pytest.raises(ValueError, match="is empty"):
        open_source(image, viewer, whole_stack=True)
    image._data = stack()


# ---------------------------------------------------------------------- choices


def test_choices_are_remembered(open_dock, make_napari_viewer, engine, settings, tmp_path, qtbot):
    from napari_spad.dock import SpadDock

    _, dock = open_dock()
    other = tmp_path / "mine.safetensors"
    other.write_bytes(b"fake")
    dock.form.checkpoint.choose(other)
    dock.form.samples.setValue(3)
    again = SpadDock(make_napari_viewer(), engine=engine, settings=settings)
    qtbot.addWidget(again)
    qtbot.waitUntil(lambda: again.form.device.count() == 2)
    assert again.form.checkpoint.path == other
    assert again.form.samples.value() == 3
    assert {"fake", "mine", "Browse…"} <= {
        again.form.checkpoint.itemText(i) for i in range(again.form.checkpoint.count())
    }


def test_a_file_that_is_no_checkpoint_is_refused(open_dock, tmp_path, qtbot):
    _, dock = open_dock()
    wrong = tmp_path / "photo.png"
    wrong.write_bytes(b"")
    dock.form.checkpoint.choose(wrong)
    assert "no checkpoint" in dock.footer.status.text()
    assert shown_errors()


def test_image_choices_follow_the_viewer(open_dock, qtbot):
    viewer, dock = open_dock()
    one = viewer.add_image(stack((24, 36)), name="one")
    viewer.add_image(stack(), name="two")
    viewer.add_points(np.zeros((1, 2)))
    assert [dock.form.image.itemText(i) for i in range(dock.form.image.count())] == ["two", "one"]
    assert dock.form.image.layer is one
    one.name = "first"
    assert dock.form.image.currentText() == "first"
    viewer.layers.remove(one)
    assert dock.form.image.currentText() == "two"
    assert dock.form.whole.isEnabled()


def test_the_dock_fits_320_pixels(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="a very long name of an image, as file names tend to be, 0001")
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    dock.form.model.card_button.click()
    assert dock.minimumSizeHint().width() <= 320
    content = dock.findChild(type(dock.scores)).parentWidget()
    assert content.minimumSizeHint().width() <= 320


# ---------------------------------------------------------------------- scores


def with_reference(open_dock, qtbot, **options):
    viewer, dock = open_dock(**options)
    image = viewer.add_image(stack(), name="eye", scale=(0.1, 0.02, 0.02), units=("mm",) * 3)
    reference = np.stack([fake_labels(b) for b in image.data])
    reference[:, :, :12] = 0
    reference[reference == 5] = 0
    viewer.add_labels(reference, name="reference", scale=image.scale, units=image.units)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    return viewer, dock


def test_the_table_compares_with_the_reference(open_dock, qtbot):
    _, dock = with_reference(open_dock, qtbot)
    table = dock.scores.table
    assert dock.scores.reference.currentText() == "reference"
    assert cell(dock, "SRF", 1) == "0.800"  # 24 of 36 columns: 2*24/(36+24)
    assert cell(dock, "SRF", 2) == "0.667"
    assert cell(dock, "SRF", 4) == "0.029"  # two rows of 36 pixels of 0.02 mm squared
    assert cell(dock, "IS/OS", 1) == "invented"
    assert cell(dock, "Mean", 1) == "0.640"
    assert table.horizontalHeaderItem(3).text() == "HD95\nmm"
    assert table.horizontalHeaderItem(4).text() == "Area\nmm²"
    qtbot.waitUntil(lambda: cell(dock, "SRF", 3) not in ("", "…"), timeout=5000)
    assert float(cell(dock, "SRF", 3)) == pytest.approx(11 * 0.02, abs=0.021)
    dock.scores.stack.setChecked(True)
    assert table.horizontalHeaderItem(4).text() == "Volume\nmm³"
    assert cell(dock, "SRF", 3) == "…"
    qtbot.waitUntil(lambda: cell(dock, "SRF", 3) != "…", timeout=5000)


def test_absent_and_missed_are_told_in_words(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    layer.data_setitem(np.nonzero(layer.data == 5), 0)
    assert cell(dock, "SRF", 1) == "missed"
    assert cell(dock, "IS/OS", 1) == "absent in both"


def test_undefined_values_get_a_row(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    viewer.layers["eye – SPAD"].paint((viewer.dims.current_step[0], 1, 30), 9)
    assert cell(dock, "undefined", 1) == "value without a name"


def test_the_slider_changes_the_scores(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data[:1] == 1), 0)
    viewer.dims.set_current_step(0, 0)
    assert cell(dock, "SRF", 1) == "missed"
    viewer.dims.set_current_step(0, 1)
    assert cell(dock, "SRF", 1) == "0.800"


def test_a_click_on_a_row_selects_the_label(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    table = dock.scores.table
    viewer.layers.selection.active = viewer.layers["eye"]
    spot = table.visualItemRect(table.item(2, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert viewer.layers["eye – SPAD"].selected_label == 3
    assert viewer.layers.selection.active is viewer.layers["eye – SPAD"]


def test_a_reference_that_does_not_fit_is_refused_in_words(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    small = viewer.add_labels(np.zeros((4, 10, 10), int), name="small")
    dock.scores.reference.choose(small)
    assert "its shape is 4 × 10 × 10" in dock.scores.note.text()
    assert cell(dock, "SRF", 1) == "–"
    dock.scores.reference.choose(viewer.layers["reference"])
    assert cell(dock, "SRF", 1) == "0.800"
    viewer.layers.remove("reference")
    assert "add a reference" in dock.scores.note.text()


def test_undo_and_redo_are_followed_within_a_moment(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    layer.undo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == "0.800", timeout=2000)
    layer.redo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == "missed", timeout=2000)


def canvas_pixels(viewer) -> np.ndarray:
    return viewer.screenshot(canvas_only=True, flash=False)


def test_painting_with_the_mouse_changes_dice_and_pixels(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot, show=True)
    layer = viewer.layers["eye – SPAD"]
    viewer.layers["reference"].visible = False
    viewer.layers["eye"].visible = False
    layer.opacity = 1
    layer.selected_label, layer.brush_size, layer.mode = 1, 6, "paint"
    canvas = viewer.window._qt_viewer.canvas
    native = canvas.native
    qtbot.waitUntil(lambda: native.width() > 100)
    viewer.reset_view()
    qtbot.wait(200)
    before, pixels = cell(dock, "SRF", 1), canvas_pixels(viewer)
    centre = native.rect().center()
    QTest.mouseMove(native, centre)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=centre)
    for dx in range(4, 60, 4):
        QTest.mouseMove(native, centre + QPoint(dx, 0))
        qtbot.wait(5)
    middle = layer.data.copy()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=centre + QPoint(60, 0))
    after = layer.data[viewer.dims.current_step[0]]
    assert (middle == 1).sum() > 4 * 2 * 36  # painted as the mouse went
    assert cell(dock, "SRF", 1) != before
    reference = viewer.layers["reference"].data[viewer.dims.current_step[0]]
    both = ((after == 1) & (reference == 1)).sum()
    dice = 2 * both / ((after == 1).sum() + (reference == 1).sum())
    assert cell(dock, "SRF", 1) == f"{dice:.3f}"
    qtbot.wait(100)
    color = np.array(CLASSES[1].color)
    near = [(np.abs(p[..., :3].astype(int) - color).max(-1) < 8).sum() for p in
            (pixels, canvas_pixels(viewer))]  # fmt: skip
    assert near[0] > 0
    assert near[1] > near[0]
    layer.undo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == before, timeout=2000)


def test_the_canvas_shows_every_structures_colour(open_dock, qtbot):
    viewer, _ = with_reference(open_dock, qtbot, show=True)
    for name in ("reference", "eye"):
        viewer.layers[name].visible = False
    viewer.layers["eye – SPAD"].opacity = 1
    viewer.reset_view()
    qtbot.wait(200)
    seen = {tuple(c) for c in canvas_pixels(viewer)[..., :3].reshape(-1, 3)}
    assert {c.color for c in CLASSES[1:]} <= seen


def test_the_viewer_saves_through_our_writer(make_napari_viewer, engine, npe2pm, tmp_path: Path):
    import tifffile
    from npe2 import PluginManifest

    import napari_spad

    manifest = PluginManifest.from_file(Path(napari_spad.__file__).with_name("napari.yaml"))
    viewer = make_napari_viewer()
    image = viewer.add_image(stack(), name="eye", scale=(0.1, 0.02, 0.02), units=("mm",) * 3)
    result = Result(viewer, open_source(image, viewer, whole_stack=True), CLASSES, "fake")
    result.layer.data[1] = 2
    with npe2pm.tmp_plugin(manifest=manifest):
        written = result.layer.save(str(tmp_path / "out.tif"), plugin="napari-spad")
    assert len(written) == 2
    assert tifffile.imread(written[0]).dtype == np.uint8
