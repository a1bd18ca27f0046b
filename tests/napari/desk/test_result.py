"""What a run leaves in the viewer, and what it never overwrites."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES, fake_labels
from docked import press_segment, segment, shown_errors, stack

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


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


def test_a_new_run_never_overwrites(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye")
    segment(dock, qtbot)
    first = viewer.layers["eye – SPAD"]
    first.data[:] = 3
    segment(dock, qtbot)
    assert (first.data == 3).all()
    assert "eye – SPAD 2" in viewer.layers


def test_a_duplicate_knows_only_what_was_by_hand_when_it_was_made(open_dock, qtbot):
    from napari.layers._layer_actions import _duplicate_layer

    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)), name="eye")
    segment(dock, qtbot)
    first = viewer.layers["eye – SPAD"]
    first.data_setitem((np.array([0, 0]), np.array([3, 4])), 3)
    viewer.layers.selection.active = first
    _duplicate_layer(viewer.layers)
    (twin,) = (la for la in viewer.layers if "copy" in la.name)
    first.data_setitem((np.array([9]), np.array([9])), 3)
    counts = [int(la.metadata["spad"]["by_hand"].sum()) for la in (first, twin)]
    assert counts == [3, 2]
    assert twin.metadata["spad"]["provenance"] == first.metadata["spad"]["provenance"]


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


def test_what_is_undone_to_a_models_labels_is_not_taken_for_a_persons(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    viewer.dims.set_current_step(0, 1)
    segment(dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.paint((1, 2, 2), 4)
    engine.shift = 3
    dock.correct.sample_anew()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data[1], fake_labels(layer.data[1]))
    assert dock.keep.autosave.flush() == ""
    (tracked,) = dock.keep.autosave.tracked.values()
    np.testing.assert_array_equal(tracked.saved.load().model[1,].written, layer.data[1])
    segment(dock, qtbot)
    assert "eye – SPAD 2" not in viewer.layers
    np.testing.assert_array_equal(layer.data[1], np.roll(fake_labels(layer.data[1]), 3, axis=0))


def test_strokes_on_a_bscan_that_is_still_to_come_stay(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.gate = threading.Event()
    viewer.add_image(stack(), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: "eye – SPAD" in viewer.layers, timeout=10_000)
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


@pytest.mark.parametrize("which", ["eye – SPAD", "eye – uncertainty", "eye"])
def test_a_layer_may_be_removed_while_it_is_made(open_dock, engine, qtbot, which):
    viewer, dock = open_dock()
    engine.gate = threading.Event()
    viewer.add_image(stack((12, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=10_000)
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


@pytest.mark.parametrize("spad", [None, 7, {"provenance": "x"}, {"by_hand": 3, "classes": [1]}])
def test_metadata_that_others_took_away_costs_no_stroke_and_come_back(
    open_dock, qtbot, monkeypatch, spad
):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    viewer.dims.set_current_step(0, 1)
    segment(dock, qtbot)
    (result,) = dock.results
    result.layer.metadata = {} if spad is None else {"spad": spad}
    result.layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 4)
    assert result.hand.mask.sum() == 1
    viewer.dims.set_current_step(0, 2)  # the visit to B-scan 2 ends
    segment(dock, qtbot)
    assert dock.results == [result]
    result.add_class("drusen")
    known = result.layer.metadata["spad"]
    assert known["by_hand"] is result.hand.mask
    assert known["image"] == "eye"
    assert known["classes"][-1]["name"] == "drusen"
    assert [2] in [run["bscan"] for run in known["provenance"]]
    assert dock.keep.autosave.flush() == ""
    assert not shown_errors()


def test_what_napari_draws_of_brush_and_polygon_comes_after_the_layer(qtbot):
    from napari.components import ViewerModel

    from napari_spad.desk.result import Result
    from napari_spad.layers.image_source import open_source

    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 24, 36), np.uint8), name="eye")
    result = Result(viewer, open_source(image, viewer, whole_stack=True), CLASSES, "model")
    assert result.layer in viewer.layers
    assert not any(result.layer._overlays[n].visible for n in ("polygon", "brush_stroke"))
    result.show_all()
    for layer in (result.layer, result.by_hand):
        assert layer in viewer.layers
        assert all(layer._overlays[n].visible for n in ("polygon", "brush_stroke"))
    assert result.layer.editable
    assert not result.by_hand.editable  # it shows the strokes; painted itself it would forget them
    result.stop()
