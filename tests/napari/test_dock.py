"""The dock as a whole, in a real viewer, with a quick engine in place of the real one."""

from __future__ import annotations

import gc
import sys
import weakref
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import press_segment, segment, shown_errors, stack

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_an_empty_viewer_says_what_to_do_first(open_dock, qtbot):
    viewer, dock = open_dock()
    assert "phantom" in dock.footer.status.text()
    assert not dock.form.button.isEnabled()
    dock.footer.status.linkActivated.emit("sample")
    assert [layer.name for layer in viewer.layers] == ["phantom OCT", "reference"]
    assert viewer.layers["reference"].contour == 1
    assert dock.form.button.isEnabled()


def test_what_is_not_seen_at_first_is_made_between_frames(
    make_napari_viewer, engine, settings, tmp_path, qtbot
):
    from napari_spad.dock import TO_COME, SpadDock

    viewer = make_napari_viewer()
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=tmp_path)
    viewer.window.add_dock_widget(dock)
    assert not [name for name in TO_COME if name in vars(dock)]
    dock.panels.setCurrentIndex(4)  # a tab that is opened before its turn
    assert dock.panels.currentWidget() is dock.keep
    assert not dock.keep.isHidden()
    assert dock.scores.isHidden()
    qtbot.waitUntil(lambda: all(name in vars(dock) for name in TO_COME), timeout=10_000)
    assert dock.keep.kept.offer.parent() is dock.measure.scale.parent() is dock.scores.parent()


def test_a_run_begins_with_all_panels_there(make_napari_viewer, engine, settings, tmp_path, qtbot):
    from napari_spad.dock import TO_COME, SpadDock

    viewer = make_napari_viewer()
    viewer.add_image(stack(), name="eye")
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=tmp_path)
    viewer.window.add_dock_widget(dock)
    dock.segment()
    assert all(name in vars(dock) for name in TO_COME)
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    qtbot.waitUntil(lambda: dock.keep.autosave.when is not None, timeout=10_000)


def test_a_panel_that_cannot_be_made_costs_no_other_and_is_told(
    make_napari_viewer, engine, settings, tmp_path, qtbot, monkeypatch
):
    from napari_spad.dock import TO_COME, SpadDock
    from napari_spad.review import review_panel

    def fail(_desk):
        raise ValueError("the record of reviews is odd")

    monkeypatch.setattr(review_panel, "Reviews", fail)
    viewer = make_napari_viewer()
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=tmp_path)
    viewer.window.add_dock_widget(dock)
    dock.complete()
    assert "the record of reviews is odd" in shown_errors()
    need_it = {"review", "measure", "training"}
    assert {name for name in TO_COME if name in vars(dock)} == set(TO_COME) - need_it


def test_torch_that_does_not_load_is_told(make_napari_viewer, engine, settings, qtbot):
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()

    def fail() -> list[str]:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    object.__setattr__(engine, "devices", fail)
    dock = SpadDock(viewer, engine=engine, settings=settings)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: "pip install" in dock.footer.status.text())
    assert any("torch" in message for message in shown_errors())


def test_the_dock_may_be_closed_while_running(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.02
    viewer.add_image(stack((40, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: "eye – SPAD" in viewer.layers, timeout=10_000)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not dock.running, timeout=2000)
    viewer.add_image(stack(), name="another")
    viewer.layers.remove("eye – SPAD")
    assert dock.form.image.layer is None


def test_a_bscan_that_comes_as_the_dock_goes_is_told_to_nobody(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.02
    viewer.add_image(stack((40, 24, 36)), name="eye")
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    run, parts, told = dock.desk._run, [], []
    run.part_finished.connect(parts.append)
    for signal in (dock.desk.written, dock.desk.said, dock.desk.busy_changed):
        signal.connect(lambda *told_of: told.append(told_of))
    qtbot.waitUntil(lambda: bool(parts), timeout=10_000)
    viewer.window.remove_dock_widget(dock)
    told.clear()
    run.part_finished.emit(parts[0])  # it was on its way
    qtbot.waitUntil(lambda: not dock.running, timeout=2000)
    assert told == []


def test_the_viewer_may_be_closed_while_running(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    engine.seconds_a_step = 0.02
    viewer.add_image(stack((40, 24, 36)))
    dock.form.whole.setChecked(True)
    press_segment(dock, qtbot)
    qtbot.wait(100)
    viewer.close()
    qtbot.wait(200)


def test_the_dock_fits_320_pixels(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="a very long name of an image, as file names tend to be, 0001")
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    dock.form.model.card_button.click()
    assert dock.minimumSizeHint().width() <= 320
    content = dock.findChild(type(dock.scores)).parentWidget()
    assert content.minimumSizeHint().width() <= 320


def test_what_was_there_when_torch_came_is_spared_by_the_collector_until_a_layer_goes(
    open_dock, monkeypatch
):
    viewer, dock = open_dock()
    layer = viewer.add_image(np.zeros((8, 9)))
    held = ModuleType("held")
    held.ring = held  # nothing but the collector frees it
    gone = weakref.ref(held)
    gc.unfreeze()
    before = gc.get_freeze_count()  # Python 3.12 counts what never dies as frozen
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch", ModuleType("torch")))
    dock._torch_to_come = True
    try:
        dock._on_devices(None)
        assert gc.get_freeze_count() > before
        del held
        gc.collect()
        assert gone() is not None
        viewer.layers.remove(layer)
        assert gc.get_freeze_count() == before
        gc.collect()
        assert gone() is None
    finally:
        gc.freeze()  # as the suite has it
