"""What clicks and keys do with the table's rows, in a real viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_spad.scores.table import DICE, EYE, LOCK, NAME
from spad.metrics.differences import MISSING, TOO_MUCH

pytestmark = pytest.mark.gui

SHAPE = (3, 40, 60)
SRF, IRF, PED = 1, 2, 3


def click(table, row: int, column: int = NAME, *, twice: bool = False) -> None:
    grid = table.table
    spot = grid.visualItemRect(grid.item(row, column)).center()
    QTest.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    if twice:
        QTest.mouseDClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def opacity(layer, value: int) -> float:
    return float(layer.get_color(value)[3])


def test_a_lock_is_autosaved(open_dock, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye")
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    autosave = dock.keep.autosave
    (tracked,) = autosave.tracked.values()
    for locked in ([SRF], []):
        qtbot.waitUntil(lambda: not autosave.waiting, timeout=15_000)
        click(dock.scores, SRF - 1, LOCK)
        qtbot.waitUntil(lambda: not autosave.waiting, timeout=15_000)
        assert tracked.saved.read_header()["locked"] == locked


def test_the_dock_acts_on_the_viewer_that_napari_hands_to_plugins(
    make_napari_viewer, engine, settings, qtbot, tmp_path: Path
):
    from napari.utils._proxies import PublicOnlyProxy

    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()
    dock = SpadDock(PublicOnlyProxy(viewer), engine=engine, settings=settings, folder=tmp_path)
    qtbot.addWidget(dock)
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye")
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    layer = viewer.layers["eye – SPAD"]
    click(dock.scores, SRF - 1, LOCK)
    before = layer.data.copy()
    layer.fill((1, 12, 12), PED)
    np.testing.assert_array_equal(layer.data == SRF, before == SRF)
    viewer.layers.remove(layer)
    assert dock.results == []
    dock.shut_down()


def test_a_click_shows_a_structure_alone_in_both_layers_and_a_second_one_all(bench):
    viewer, _, table, result = bench()
    reference = viewer.layers["reference"]
    viewer.layers.selection.active = viewer.layers["eye"]
    before = {v: opacity(reference, v) for v in (SRF, IRF)}
    click(table, IRF - 1)
    assert result.layer.selected_label == IRF
    assert viewer.layers.selection.active is result.layer
    for layer in (result.layer, reference):
        assert opacity(layer, IRF) == pytest.approx(1)
        assert 0 < opacity(layer, SRF) < 0.3
    click(table, IRF - 1)
    assert opacity(result.layer, SRF) == 1
    assert {v: opacity(reference, v) for v in (SRF, IRF)} == before


def test_escape_in_the_image_shows_all_and_is_napari_s_again_afterwards(bench, qtbot):
    viewer, _, table, result = bench()
    own = dict(result.layer.keymap)
    click(table, 0)
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Escape)
    assert opacity(result.layer, IRF) == 1
    assert result.layer.keymap.keys() == own.keys()


def test_the_next_structure_is_alone_when_it_is_chosen_by_key(bench):
    _, _, table, result = bench()
    click(table, 0)
    result.layer.selected_label = IRF
    assert opacity(result.layer, IRF) == 1
    assert opacity(result.layer, SRF) < 0.3


def test_number_keys_choose_structures_and_letters_stay_napari_s_tools(bench):
    viewer, desk, table, result = bench(show=True)
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.layers.selection.active = result.layer
    QTest.keyClick(canvas, Qt.Key.Key_3)
    assert (result.layer.selected_label, str(result.layer.mode)) == (PED, "paint")
    assert table.table.currentRow() == PED - 1
    QTest.keyClick(canvas, Qt.Key.Key_0)
    assert result.layer.selected_label == 0
    QTest.keyClick(canvas, Qt.Key.Key_9)
    assert "5 structures: no key 9" in desk.heard[-1]
    QTest.keyClick(canvas, Qt.Key.Key_P)
    assert str(result.layer.mode) == "paint"
    click(table, 0)  # and the keys still go to the image
    QTest.keyClick(canvas, Qt.Key.Key_2)
    assert result.layer.selected_label == IRF


def test_number_keys_follow_the_names_of_any_chosen_layer(bench):
    viewer, _, table, _ = bench()
    other = viewer.add_labels(
        np.zeros(SHAPE, np.uint16), features={"index": [0, 7, 300], "name": ["", "A", "B"]}
    )
    table.show_segmentation(other)
    viewer.layers.selection.active = other
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_2)
    assert other.selected_label == 300


def test_a_double_click_goes_to_the_worst_b_scan_and_centres_what_differs_most(bench):
    viewer, desk, table, _ = bench(show=True)
    click(table, SRF - 1, twice=True)
    assert viewer.dims.current_step[0] == 2
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (33.5 * 0.02, 53.5 * 0.01))
    assert "B-scan 2, " in desk.heard[-1]
    assert "0.862" in desk.heard[-1]  # 2*200/(264+200)


def test_what_differs_is_brought_near_enough_to_be_seen(bench):
    viewer, desk, table, _ = bench(show=True)
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom /= 50
    desk.framing.canvas = lambda: (500.0, 700.0)
    click(table, SRF - 1, twice=True)
    assert 8 * 0.02 * camera.zoom > 0.05 * 500


def test_a_double_click_without_a_reference_says_what_is_missing(bench):
    viewer, desk, table, _ = bench()
    viewer.layers.remove("reference")
    click(table, 0, twice=True)
    assert "Choose a reference" in desk.heard[-1]


def test_differences_are_shown_live_and_are_never_scored_or_chosen(bench, qtbot):
    viewer, _, table, result = bench()
    active = viewer.layers.selection.active
    table.differences.click()
    overlay = next(la for la in viewer.layers if la.name.startswith("differences"))
    assert viewer.layers.selection.active is active
    assert table.live.segmentation is result.layer
    names = {c.itemText(i) for c in (table.segmentation, table.reference) for i in range(c.count())}
    assert overlay.name not in names
    assert not overlay.editable
    assert (overlay.data[0] == TOO_MUCH).sum() == 8
    assert "too much" in str(overlay.get_status((0, 20 * 0.02, 30 * 0.01), world=True))
    result.layer.data_setitem(tuple(np.array([n]) for n in (0, 6, 6)), 0)
    qtbot.waitUntil(lambda: overlay.data[0, 6, 6] == MISSING, timeout=5000)
    result.layer.undo()
    qtbot.waitUntil(lambda: overlay.data[0, 6, 6] == 0, timeout=5000)
    viewer.dims.set_current_step(0, 2)
    assert (overlay.data[2] == MISSING).sum() == 64
    click(table, IRF - 1)
    qtbot.waitUntil(lambda: not (overlay.data[2]).any(), timeout=5000)
    table.differences.click()
    assert overlay not in viewer.layers


def test_taking_the_differences_layer_away_by_hand_switches_them_off(bench):
    viewer, _, table, _ = bench()
    table.differences.click()
    viewer.layers.remove("differences (not saved)")
    assert not table.differences.isChecked()
    table.differences.click()
    assert "differences (not saved)" in viewer.layers
    viewer.layers.remove("reference")
    assert "differences (not saved)" not in viewer.layers
    assert not table.differences.isEnabled()


def test_the_eye_hides_a_structure_in_both_layers_and_touches_no_pixel(bench):
    viewer, _, table, result = bench()
    before = result.layer.data.copy()
    click(table, SRF - 1, EYE)
    assert opacity(result.layer, SRF) < 0.01
    assert opacity(viewer.layers["reference"], SRF) < 0.01
    np.testing.assert_allclose(
        result.layer.get_color(SRF)[:3], np.array(CLASSES[SRF].color) / 255, atol=1e-6
    )  # so that a saved palette keeps it
    click(table, IRF - 1)
    click(table, IRF - 1)
    assert opacity(result.layer, SRF) < 0.01  # one alone and back: still hidden
    click(table, SRF - 1, EYE)
    assert opacity(result.layer, SRF) == 1
    np.testing.assert_array_equal(result.layer.data, before)


def tools(layer):
    """Every way in which a person changes pixels."""
    layer.brush_size = 30
    yield "brush", lambda: layer.paint((0, 15, 15), PED)
    yield "eraser", lambda: layer.paint((0, 15, 15), 0)
    yield "bucket", lambda: layer.fill((0, 10, 10), PED)
    yield (
        "polygon",
        lambda: layer.paint_polygon([(0, 0, 0), (0, 0, 40), (0, 39, 40), (0, 39, 0)], 4),
    )
    yield "data_setitem", lambda: layer.data_setitem(np.nonzero(layer.data < 3), 4)


def test_no_tool_changes_a_locked_structure_and_undo_takes_back_the_rest(bench):
    _, desk, table, result = bench()
    layer = result.layer
    click(table, SRF - 1, LOCK)
    assert result.locked == {SRF}
    start = layer.data.copy()
    for name, use in tools(layer):
        steps = len(layer._undo_history)
        use()
        np.testing.assert_array_equal(layer.data == SRF, start == SRF, err_msg=name)
        assert "SRF: locked" in desk.heard.pop(), name
        table.live.settle()
        counted = table.live.matrix(())[:, SRF].sum()
        assert counted == (start == SRF).sum(), name
        np.testing.assert_array_equal(result.hand.mask == 1, layer.data != start, err_msg=name)
        if len(layer._undo_history) > steps:
            layer.undo()
        np.testing.assert_array_equal(layer.data, start, err_msg=name)
    layer.paint((0, 35, 35), SRF)  # nothing is added to it either
    np.testing.assert_array_equal(layer.data, start)
    with result.hand.model_writes():
        layer.data_setitem(np.nonzero(start == SRF), IRF)
    np.testing.assert_array_equal(layer.data, start)
    click(table, SRF - 1, LOCK)
    layer.paint((0, 15, 15), PED)
    assert (layer.data != start).any()


def test_preserve_labels_is_at_hand_and_follows_napari_s_own_switch(bench):
    _, _, table, result = bench()
    table.menu.preserve.trigger()
    assert result.layer.preserve_labels
    result.layer.preserve_labels = False
    assert not table.menu.preserve.isChecked()


def test_layers_are_left_as_napari_made_them(bench):
    _, _, table, result = bench()
    click(table, 0)
    click(table, 1, LOCK)
    table.structures.forget(result.layer)
    assert not {"data_setitem", "_apply_mask_to_data"} & set(vars(result.layer))
    assert opacity(result.layer, IRF) == 1
    assert not any(str(key) in "0123456789" for key in result.layer.keymap)


def test_other_data_in_the_layer_leave_a_table_that_works(bench, qtbot):
    _, _, table, result = bench()
    click(table, 0)
    result.layer.data = np.full((2, 8, 8), IRF, np.uint8)
    qtbot.waitUntil(lambda: "its shape is" in table.note.text(), timeout=5000)
    click(table, IRF - 1)
    assert result.layer.selected_label == IRF


def test_the_cells_of_the_scores_need_no_more_than_the_dock_has(bench):
    _, _, table, _ = bench()
    assert table.minimumSizeHint().width() <= 306  # 320 less the dock's margins
    assert table.table.item(0, DICE).text() == "1.000"
