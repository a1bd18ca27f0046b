"""Correcting in a real viewer: sampling around edits, alternatives, neighbours; a quick engine."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import fake_labels
from corrected import AT, SHAPE, paint, press, run, said
from qtpy.QtCore import Qt

from spad.checkpoint.labels import IGNORE, label_classes

pytestmark = pytest.mark.gui


def test_only_what_a_person_painted_is_by_hand_and_undo_takes_it_back(desk):
    _, _, result = desk
    assert not result.hand.mask.any()
    paint(result.layer)
    assert result.by_hand.data is result.hand.mask
    np.testing.assert_array_equal(np.argwhere(result.hand.mask)[:, 0], 1)
    assert result.hand.mask.sum() == 24
    result.layer.undo()
    assert not result.hand.mask.any()
    result.layer.redo()
    assert result.hand.mask.sum() == 24


def test_r_samples_anew_with_the_edits_held_as_one_undo_step(desk, engine, qtbot):
    viewer, dock, result = desk
    paint(result.layer)
    engine.shift = 2
    before = result.layer.data.copy()
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_R))
    clamp = engine.calls[-1]["clamp"]
    assert (clamp[AT] == 4).all()
    assert (clamp == IGNORE).sum() == clamp.size - 24
    expected = np.roll(fake_labels(np.zeros(SHAPE[1:])), 2, axis=0)
    expected[AT] = 4  # this engine disregards the clamp: the result itself holds what is by hand
    np.testing.assert_array_equal(result.layer.data[1], expected)
    np.testing.assert_array_equal(result.layer.data[[0, 2, 3]], before[[0, 2, 3]])
    assert "pixels changed" in said(dock)
    assert result.hand.mask.sum() == 24
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)
    assert result.hand.mask.sum() == 24, "the model's step is undone, the person's is not"
    result.layer.undo()
    assert not result.hand.mask.any()


def test_a_locked_structure_neither_grows_nor_shrinks(desk, engine, qtbot):
    _, dock, result = desk
    paint(result.layer)
    engine.shift = 2
    result.locked.add(2)
    before = result.layer.data[1] == 2
    run(dock, qtbot, dock.correct.sample_anew)
    np.testing.assert_array_equal(result.layer.data[1] == 2, before)
    assert not engine.calls[-1]["region"][before].any()


def test_only_inside_the_rectangle(desk, engine, qtbot):
    viewer, dock, result = desk
    paint(result.layer)
    engine.shift = 2
    before = result.layer.data.copy()
    dock.correct.draw.click()
    shapes = viewer.layers["SPAD region"]
    assert viewer.layers.selection.active is shapes
    assert str(shapes.mode) == "add_rectangle"
    rectangle = [[1, 0, 10], [1, 0, 19], [1, 23, 19], [1, 23, 10]]
    shapes.add_rectangles([np.array(rectangle)])
    assert viewer.layers.selection.active is result.layer, "back to the brush at once"
    run(dock, qtbot, dock.correct.sample_anew)
    changed = np.argwhere(result.layer.data != before)
    assert len(changed)
    assert changed[:, 2].min() == 10
    assert changed[:, 2].max() == 19


def test_a_rectangle_of_another_bscan_does_not_count(desk, engine, qtbot):
    viewer, dock, result = desk
    paint(result.layer)
    dock.correct.draw.click()
    viewer.layers["SPAD region"].add_rectangles(
        [np.array([[2, 0, 1], [2, 0, 9], [2, 9, 9], [2, 9, 1]])]
    )
    calls = len(engine.calls)
    dock.correct.sample_anew()
    assert not dock.running
    assert "Draw a rectangle" in said(dock)
    assert len(engine.calls) == calls


def test_only_where_the_model_was_unsure(desk, engine, qtbot):
    _, dock, result = desk
    paint(result.layer)
    engine.shift = 6
    result.uncertainty.data[:] = 0
    result.uncertainty.data[1, 10:14, 20:30] = 0.5
    before = result.layer.data.copy()
    dock.correct.scopes["doubtful"].click()
    run(dock, qtbot, dock.correct.sample_anew)
    changed = np.argwhere(result.layer.data != before)
    assert len(changed)
    assert changed[:, 2].min() >= 17
    assert changed[:, 2].max() <= 32


def test_a_bscan_that_is_not_segmented_is_not_carried_on(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="eye")
    viewer.dims.set_current_step(0, 1)
    run(dock, qtbot, dock.segment)
    viewer.dims.set_current_step(0, 0)
    calls = len(engine.calls)
    dock.correct.resampling.onward(1)
    assert "not segmented yet" in said(dock)
    assert len(engine.calls) == calls


def test_without_edits_it_says_why_nothing_is_done(desk, engine):
    _, dock, _ = desk
    calls = len(engine.calls)
    dock.correct.sample_anew()
    assert "Paint a stroke first" in said(dock)
    assert len(engine.calls) == calls


def test_a_model_of_other_structures_is_refused(desk, engine, monkeypatch):
    _, dock, result = desk
    paint(result.layer)
    card = engine.read_card(engine.checkpoint)
    card.classes = label_classes(("background", "lung"))
    monkeypatch.setattr(type(engine), "read_card", lambda *_: card)
    dock.correct.sample_anew()
    assert not dock.running
    assert "lung" in said(dock)
    assert "choose the model that made it" in said(dock)


def test_strokes_made_while_it_samples_are_kept(desk, engine, qtbot):
    _, dock, result = desk
    paint(result.layer)
    engine.shift, engine.seconds_a_step = 2, 0.2
    dock.correct.sample_anew()
    meanwhile = (slice(20, 24), slice(30, 36))
    paint(result.layer, meanwhile, 3)
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
    assert (result.layer.data[1][meanwhile] == 3).all()


# -------------------------------------------------------------------- alternatives


def outlined(viewer) -> np.ndarray:
    return viewer.layers["alternative"].data


def test_alternatives_go_by_size_and_one_is_taken_as_the_persons(desk, qtbot):
    viewer, dock, result = desk
    result.layer.selected_label = 5
    before = result.layer.data.copy()
    dock.correct.larger.click()
    assert "alternative" in said(dock)
    assert (outlined(viewer)[1] == 5).any()
    assert not outlined(viewer)[[0, 2, 3]].any()
    assert viewer.layers.selection.active is result.layer
    np.testing.assert_array_equal(result.layer.data, before)
    shown = outlined(viewer)[1] == 5
    press(viewer, Qt.Key.Key_T)
    assert "alternative" not in viewer.layers
    np.testing.assert_array_equal(result.layer.data[1] == 5, shown)
    np.testing.assert_array_equal(result.hand.mask.astype(bool), result.layer.data != before)
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)
    assert not result.hand.mask.any()


def test_escape_leaves_an_alternative_and_so_does_another_bscan(desk):
    viewer, dock, result = desk
    before = result.layer.data.copy()
    result.layer.selected_label = 5
    dock.correct.larger.click()
    press(viewer, Qt.Key.Key_Escape)
    assert "alternative" not in viewer.layers
    dock.correct.larger.click()
    viewer.dims.set_current_step(0, 2)
    assert "alternative" not in viewer.layers
    press(viewer, Qt.Key.Key_T)
    assert "No alternative is shown" in said(dock)
    np.testing.assert_array_equal(result.layer.data, before)


def test_escape_ends_what_began_last_first(desk, qtbot):
    viewer, dock, result = desk
    result.layer.selected_label = 5
    own = dict(result.layer.keymap)
    table = dock.scores.table

    def show_alone(row):
        place = table.visualRect(table.model().index(row, 0)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        assert dock.scores.row_actions.alone.code == row + 1

    dock.correct.larger.click()
    show_alone(4)
    press(viewer, Qt.Key.Key_Escape)
    assert dock.scores.row_actions.alone.code is None
    assert "alternative" in viewer.layers
    press(viewer, Qt.Key.Key_Escape)
    assert "alternative" not in viewer.layers
    show_alone(4)
    dock.correct.larger.click()
    press(viewer, Qt.Key.Key_Escape)
    assert "alternative" not in viewer.layers
    assert dock.scores.row_actions.alone.code == 5
    dock.correct.larger.click()
    show_alone(3)
    viewer.dims.set_current_step(0, 2)
    assert "alternative" not in viewer.layers
    press(viewer, Qt.Key.Key_Escape)
    assert dock.scores.row_actions.alone.code is None
    assert result.layer.keymap.keys() == own.keys()


@pytest.mark.parametrize("which", ["alternative", "eye – SPAD"])
def test_an_alternative_whose_layers_are_removed_is_left(desk, which):
    viewer, dock, result = desk
    before = result.layer.data.copy()
    result.layer.selected_label = 5
    dock.correct.larger.click()
    viewer.layers.remove(which)
    press(viewer, Qt.Key.Key_T)
    assert "No alternative is shown" in said(dock)
    assert "alternative" not in viewer.layers
    np.testing.assert_array_equal(result.layer.data, before)
    if which == "alternative":
        dock.correct.larger.click()
        assert outlined(viewer).any()


def test_the_keys_ask_for_the_part_under_the_pointer(desk):
    viewer, dock, result = desk
    viewer.cursor.position = (1, 7, 4)  # in the band of class 1, which is not selected
    assert result.layer.data[1, 7, 4] == 1
    result.layer.selected_label = 5
    press(viewer, Qt.Key.Key_Period)
    assert said(dock).startswith("SRF, alternative")
    assert set(np.unique(outlined(viewer))) == {0, 1}


def test_the_keys_go_on_where_the_pointer_is_on_no_part(desk):
    """It is the whole structure then, and the next key shows the next alternative of it."""
    viewer, dock, result = desk
    viewer.cursor.position = (1, 0, 0)
    samples = result.packed[1,].samples()
    assert not result.layer.data[1, 0, 0]
    assert not samples[:, 0, 0].any()
    result.layer.selected_label = 5
    texts = set()
    for _ in range(4):
        press(viewer, Qt.Key.Key_Period)
        texts.add(said(dock).partition(":")[0])
    assert len(texts) > 1, texts


def test_another_structure_that_is_selected_has_its_own_alternatives(desk):
    viewer, dock, result = desk
    for value in (5, 1, 5):
        result.layer.selected_label = value
        dock.correct.larger.click()
        assert said(dock).startswith(f"{result.name_of(value)}, alternative")
        assert set(np.unique(outlined(viewer))) == {0, value}


def test_a_structure_that_is_locked_meanwhile_is_not_taken(desk):
    viewer, dock, result = desk
    result.layer.selected_label = 5
    dock.correct.larger.click()
    before = result.layer.data.copy()
    result.locked.add(5)
    press(viewer, Qt.Key.Key_T)
    np.testing.assert_array_equal(result.layer.data, before)
    assert "alternative taken" not in said(dock)


def test_where_the_samples_agree_it_says_so(desk, engine, qtbot):
    _, dock, result = desk
    from spad.autosave.packed_samples import Packed

    result.packed[(1,)] = Packed.of(np.stack([result.layer.data[1]] * 3))
    dock.correct.larger.click()
    assert "The 3 samples agree" in said(dock)
    result.packed[(1,)] = Packed.of(result.layer.data[1][None])
    dock.correct.larger.click()
    assert "more samples" in said(dock)
    del result.packed[(1,)]
    dock.correct.larger.click()
    assert "not sampled yet" in said(dock)


# -------------------------------------------------------------------- neighbours


def test_o_restarts_the_next_bscan_from_this_one_and_goes_there(desk, engine, qtbot):
    viewer, dock, result = desk
    paint(result.layer)
    here = result.layer.data[1].copy()
    paint(result.layer, (slice(8, 9), slice(0, 36)), 0, z=2)
    kept = result.layer.data[2].copy()
    engine.shift = 1
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_O))
    call = engine.calls[-1]
    np.testing.assert_array_equal(call["start"], here)
    assert 1 <= call["t0"] < 100
    assert viewer.dims.current_step[0] == 2
    assert (result.layer.data[2, 8] == kept[8]).all(), "its own edits stay"
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data[2], kept)


def test_carried_on_each_starts_from_the_one_before(desk, engine, qtbot):
    viewer, dock, result = desk
    before = result.layer.data.copy()
    engine.shift = 3
    dock.correct.many.setValue(9)
    run(dock, qtbot, dock.correct.forth.click)
    starts = [call["start"] for call in engine.calls[-2:]]
    np.testing.assert_array_equal(starts[0], before[1])
    np.testing.assert_array_equal(starts[1], result.layer.data[2])
    assert (result.layer.data[:2] == before[:2]).all()
    assert viewer.dims.current_step[0] == 1
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)


def test_it_is_carried_on_to_bscans_of_another_size(desk, engine, qtbot):
    _, dock, result = desk
    result.image.metadata["bscan_sizes"] = [(24, 36), (24, 36), (20, 30), (22, 36)]
    labels = result.layer.data[1].copy()
    dock.correct.many.setValue(2)
    run(dock, qtbot, dock.correct.forth.click)
    first, second = engine.calls[-2:]
    np.testing.assert_array_equal(first["start"], labels[:20, :30])
    smaller = np.pad(fake_labels(labels[:20, :30]), ((0, 2), (0, 6)))
    np.testing.assert_array_equal(second["start"], smaller)
    assert "B-scan 3 restarted from its neighbour" in said(dock)


def test_at_the_end_of_the_stack_it_says_so(desk):
    viewer, dock, _ = desk
    viewer.dims.set_current_step(0, 3)
    dock.correct.next.click()
    assert "last B-scan" in said(dock)


def test_with_nothing_segmented_every_key_says_what_to_do(open_dock):
    viewer, dock = open_dock()
    for key in (Qt.Key.Key_R, Qt.Key.Key_Period, Qt.Key.Key_O):
        dock.desk.say("")
        press(viewer, key)
        assert "Segment first" in said(dock)


def test_carrying_goes_over_what_is_accepted_and_restarts_from_it(desk, engine, qtbot):
    _, dock, result = desk
    qtbot.waitUntil(lambda: len(dock.review.reviews.bench(result).queue.error) == 4, timeout=5000)
    dock.review.reviews.accept(result, (2,))
    before = result.layer.data[2].copy()
    engine.calls.clear()
    dock.correct.many.setValue(2)
    run(dock, qtbot, dock.correct.forth.click)
    np.testing.assert_array_equal(result.layer.data[2], before)
    assert len(engine.calls) == 1
    np.testing.assert_array_equal(engine.calls[0]["start"], before)
    assert "B-scan 2 is accepted and was left alone" in said(dock)
    assert dock.review.reviews.accepted(result) == {(2,)}
    dock.correct.many.setValue(1)
    dock.correct.forth.click()
    assert not dock.running
    assert "B-scan 2 is accepted" in said(dock)


def test_one_bscan_that_is_accepted_is_not_segmented_over(desk, qtbot):
    _, dock, result = desk
    qtbot.waitUntil(lambda: len(dock.review.reviews.bench(result).queue.error) == 4, timeout=5000)
    dock.review.reviews.accept(result, (1,))
    before = result.layer.data.copy()
    dock.form.whole.setChecked(False)
    run(dock, qtbot, dock.segment)
    np.testing.assert_array_equal(result.layer.data, before)
    assert dock.review.reviews.accepted(result) == {(1,)}
    assert len(dock.results) == 2
