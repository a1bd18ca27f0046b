"""Area tools in the viewer: one undo step each, recorded as by hand, and no more than asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from corrected import accept, paint, press, run, said
from qtpy.QtCore import Qt

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]

SHAPE = (3, 60, 80)
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def desk(open_dock, qtbot):
    """A dock with a segmented stack of tissue with a dark cyst, in which nothing is labelled."""
    viewer, dock = open_dock()
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    cyst = np.hypot(rows - 30, columns - 40) <= 12
    image = np.where(cyst, 60, 140) + np.random.default_rng(0).normal(0, 8, SHAPE)
    viewer.add_image(image.astype(np.uint8), name="eye")
    dock.form.whole.setChecked(True)
    viewer.dims.set_current_step(0, 1)
    run(dock, qtbot, dock.segment)
    result = dock.results[0]
    result.show_all()
    result.layer.data[:] = 0
    result.written[:] = 0
    result.layer.selected_label = 2
    return viewer, dock, result, cyst


def point(viewer, result, row, column) -> None:
    viewer.cursor.position = tuple(result.layer.data_to_world((1, row, column)))


def dice(a, b) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_w_fills_to_the_edge_as_a_stroke_of_the_person(desk):
    viewer, dock, result, cyst = desk
    edits = []
    dock.desk.edited.connect(lambda _result, edit: edits.append(edit))
    point(viewer, result, 33, 44)
    press(viewer, Qt.Key.Key_W)
    assert dice(result.layer.data[1] == 2, cyst) > 0.93
    assert not result.layer.data[[0, 2]].any()
    np.testing.assert_array_equal(result.hand.mask, result.layer.data == 2)
    assert [edit.kind for edit in edits] == ["stroke"]
    assert "IRF filled to the edge" in said(dock)
    result.layer.undo()
    assert not result.layer.data.any()
    assert not result.hand.mask.any()


def test_filling_keeps_to_what_is_protected_and_asks_the_samples_where_chosen(desk):
    viewer, dock, result, _ = desk
    result.layer.data[1, :30] = 1
    result.layer.preserve_labels = True
    point(viewer, result, 33, 44)
    press(viewer, Qt.Key.Key_W)
    assert (result.layer.data[1, :30] == 1).all()
    result.layer.undo()
    result.layer.preserve_labels = False
    dock.areas.by.setCurrentIndex(1)
    press(viewer, Qt.Key.Key_W)
    assert "No sample of the model reads IRF there" in said(dock)
    point(viewer, result, 21, 44)  # where the samples have it
    press(viewer, Qt.Key.Key_W)
    share = (result.packed[(1,)].samples() == 2).mean(0)
    np.testing.assert_array_equal(result.layer.data[1] == 2, share >= share[21, 44] / 2)
    viewer.cursor.position = (1, -50, -50)
    press(viewer, Qt.Key.Key_W)
    assert "Move the mouse over what is to be filled" in said(dock)


def test_growing_by_key_moves_one_bscan_and_with_shift_all_but_accepted_ones(desk):
    viewer, dock, result, _ = desk
    result.layer.data[:, 20:26, 20:26] = 2
    paint(result.layer, (slice(19, 20), slice(20, 26)), 3, z=2)  # by hand, out of sight
    press(viewer, Qt.Key.Key_U)
    assert [(result.layer.data[z] == 2).sum() for z in range(3)] == [36, 60, 36]
    press(viewer, Qt.Key.Key_J)
    assert (result.layer.data[1] == 2).sum() == 36
    accept(dock, 0)
    before = result.layer.data.copy()
    press(viewer, Qt.Key.Key_U, SHIFT)
    np.testing.assert_array_equal(result.layer.data[0], before[0])
    assert (result.layer.data[2] == 2).sum() == 36 + 18
    assert "on 2 of 3 B-scans" in said(dock)
    assert "1 accepted B-scan stayed" in said(dock)
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)


def test_specks_and_holes_go_by_key_and_button(desk, qtbot):
    viewer, dock, result, _ = desk
    result.layer.data[1, 20:40, 20:40] = 2
    result.layer.data[1, 30, 30] = 0
    result.layer.data[1, 5, 5] = 2
    press(viewer, Qt.Key.Key_D)
    assert result.layer.data[1, 5, 5] == 0
    assert "rid of specks here: 1 pixel." in said(dock)
    qtbot.mouseClick(dock.areas.buttons["holes"], Qt.MouseButton.LeftButton)
    assert (result.layer.data[1] == 2).sum() == 400
    press(viewer, Qt.Key.Key_H)
    assert "IRF here: nothing changed." in said(dock)
    result.locked.add(2)
    press(viewer, Qt.Key.Key_U)
    assert (result.layer.data[1] == 2).sum() == 400
    result.layer.selected_label = 0
    press(viewer, Qt.Key.Key_U)
    assert "choose a structure first" in said(dock)


def drag(dock, layer, path) -> None:
    """What napari does from press to release: the callbacks of a press, then its own `draw`."""
    if dock.areas.brush.on:
        next(dock.areas.brush._on_press(layer, None))
    with layer.block_history():
        for last, now in pairwise(path):
            layer._draw(layer.selected_label, last, now)


def test_the_careful_brush_stays_on_its_side_and_is_a_stroke_like_any_other(desk):
    viewer, dock, result, cyst = desk
    layer = result.layer
    layer.mode, layer.brush_size = "paint", 8
    press(viewer, Qt.Key.Key_Q)
    assert dock.areas.careful.isChecked()
    turns = np.linspace(0, 2 * np.pi, 40)
    ring = [(1, 30 + 11 * np.sin(t), 40 + 11 * np.cos(t)) for t in turns]
    drag(dock, layer, [(1, 30, 40), *ring])
    painted = layer.data[1] == 2
    assert (painted & ~cyst).sum() < 0.05 * painted.sum()
    assert dice(painted, cyst) > 0.8
    np.testing.assert_array_equal(result.hand.mask[1].astype(bool), painted)
    drag(dock, layer, [(1, 5, 5), (1, 5, 12)])  # another stroke, on the other side
    assert layer.data[1, 5, 8] == 2
    layer.undo()
    layer.undo()
    assert not layer.data.any()
    press(viewer, Qt.Key.Key_Q)
    drag(dock, layer, [(1, 30, 40), *ring])
    assert ((layer.data[1] == 2) & ~cyst).sum() > 100


@pytest.mark.parametrize(("ndisplay", "order"), [(2, (1, 2, 0)), (2, (2, 0, 1)), (3, (0, 1, 2))])
def test_from_another_side_or_in_3d_no_key_changes_a_bscan_that_is_not_seen(desk, ndisplay, order):
    viewer, dock, result, _ = desk
    result.layer.data[1, 28:33, 38:43] = 2
    before = result.layer.data.copy()
    accepted = []
    dock.desk.bscan_accepted.connect(lambda *at: accepted.append(at))
    viewer.dims.ndisplay, viewer.dims.order = ndisplay, order
    viewer.cursor.position = tuple(result.layer.data_to_world((2, 30, 40)))  # not the slider's 1
    for key in "WUJDHROGA.":
        dock.desk.say("")
        press(viewer, key)
        assert said(dock).startswith("No B-scan is on screen"), key
        assert not dock.running
    np.testing.assert_array_equal(result.layer.data, before)
    assert not accepted
    viewer.dims.ndisplay, viewer.dims.order = 2, (0, 2, 1)  # transposed, a B-scan is seen
    press(viewer, "U")
    assert (result.layer.data[1] == 2).sum() > (before[1] == 2).sum()


def test_from_another_side_the_careful_brush_paints_where_the_mouse_is(desk):
    viewer, dock, result, _ = desk
    dock.areas.careful.setChecked(True)
    viewer.dims.order = (1, 2, 0)
    result.layer.brush_size = 1
    for z in (0, 2):
        result.layer.paint((z, 29, 40), 2)
    assert [int((plane == 2).sum()) for plane in result.layer.data] == [1, 0, 1]
