"""Accepted work is left alone and said; undo shows what it undoes, and can keep to one B-scan."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from corrected import SHAPE, accept, paint, press, run, said
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_spad.layers import Hand

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_a_run_leaves_an_accepted_bscan_alone_and_makes_a_new_layer(desk, engine, qtbot):
    viewer, dock, result = desk
    accept(dock, 1)
    before = result.layer.data.copy()
    engine.shift = 2
    dock.form.one.setChecked(True)
    run(dock, qtbot, dock.segment)
    np.testing.assert_array_equal(result.layer.data, before)
    assert len(dock.results) == 2
    assert any("is accepted here" in str(n.message) for n in notification_manager.records)
    viewer.dims.set_current_step(0, 2)  # not accepted: goes into the newest, as ever
    run(dock, qtbot, dock.segment)
    assert len(dock.results) == 2


def test_carrying_on_passes_over_accepted_bscans_and_says_so(desk, engine, qtbot):
    viewer, dock, result = desk
    viewer.dims.set_current_step(0, 0)
    result.layer.data[1, 20] = 5  # what was accepted
    accept(dock, 1)
    before, count = result.layer.data.copy(), len(engine.calls)
    engine.shift = 2
    run(dock, qtbot, lambda: dock.correct.resampling.onward(3))
    np.testing.assert_array_equal(result.layer.data[1], before[1])
    assert (result.layer.data[2] != before[2]).any()
    assert "B-scan 1 is accepted and was left alone" in said(dock)
    first = engine.calls[count]
    assert (first["start"][20] == 5).all()  # the third starts from the accepted one
    accept(dock, 1, 2, 3)
    dock.correct.resampling.onward(3)
    assert not dock.running
    assert "3 B-scans (1, 2, 3) are accepted and were left alone" in said(dock)


def test_sampling_around_edits_says_that_the_bscan_is_not_accepted_any_more(desk, engine, qtbot):
    _, dock, result = desk
    paint(result.layer)
    accept(dock, 1)
    engine.shift = 2
    run(dock, qtbot, dock.correct.sample_anew)
    assert "It is not accepted any more." in said(dock)


@pytest.mark.parametrize("key", ["sample anew", "segment"])
def test_what_is_accepted_while_it_is_sampled_stays(desk, engine, qtbot, key):
    _, dock, result = desk
    if key == "sample anew":
        paint(result.layer)
    before, engine.shift, engine.seconds_a_step = result.layer.data.copy(), 2, 0.1
    dock.form.one.setChecked(True)
    (dock.correct.sample_anew if key == "sample anew" else dock.segment)()
    accept(dock, 1)
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
    assert dock.results == [result]
    np.testing.assert_array_equal(result.layer.data, before)
    assert "accepted meanwhile and stays as it is" in said(dock)


def test_what_was_carried_by_one_press_is_undone_by_one(desk, engine, qtbot):
    viewer, dock, result = desk
    viewer.dims.set_current_step(0, 0)
    paint(result.layer, z=0)
    before = result.layer.data.copy()
    engine.shift = 2
    run(dock, qtbot, lambda: dock.correct.resampling.onward(3))
    after = result.layer.data.copy()
    assert all((after[z] != before[z]).any() for z in (1, 2, 3))
    result.layer.undo()
    np.testing.assert_array_equal(result.layer.data, before)
    assert result.hand.mask.sum() == result.hand.mask[0].sum() == 24
    result.layer.redo()
    np.testing.assert_array_equal(result.layer.data, after)
    result.layer.undo()
    result.layer.undo()  # the stroke, alone
    assert not result.hand.mask.any()


def test_undo_goes_to_the_bscan_of_what_it_undoes(desk):
    viewer, dock, result = desk
    paint(result.layer, z=3)
    viewer.dims.set_current_step(0, 0)
    result.layer.undo()
    assert viewer.dims.current_step[0] == 3
    assert "B-scan 3: taken back" in said(dock)
    viewer.dims.set_current_step(0, 1)
    result.layer.redo()
    assert viewer.dims.current_step[0] == 3
    assert "B-scan 3: made again" in said(dock)
    result.layer.undo()  # the one on screen
    assert said(dock) == "The last step is taken back."


def test_undo_here_takes_back_what_is_on_screen_only(desk):
    viewer, dock, result = desk
    before = result.layer.data.copy()
    paint(result.layer, z=1)
    one = result.layer.data.copy()
    paint(result.layer, z=3)
    viewer.dims.set_current_step(0, 1)
    press(
        viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    )
    np.testing.assert_array_equal(result.layer.data[:3], before[:3])
    assert (result.layer.data[3] != before[3]).any()
    assert result.hand.mask.sum() == result.hand.mask[3].sum() == 24
    assert "B-scan 1 is taken back" in said(dock)
    dock.desk.undo_here()
    assert "nothing on B-scan 1 alone" in said(dock)
    result.layer.undo()  # the taking back
    np.testing.assert_array_equal(result.layer.data[1], one[1])
    assert result.hand.mask[1].sum() == 24
    dock.desk.undo_here()
    np.testing.assert_array_equal(result.layer.data[1], before[1])


def test_undo_here_takes_back_nothing_where_no_bscan_is_on_screen(desk):
    viewer, dock, result = desk
    paint(result.layer, z=0)
    painted = result.layer.data.copy()
    viewer.dims.order = (1, 2, 0)
    dock.desk.undo_here()
    np.testing.assert_array_equal(result.layer.data, painted)
    assert said(dock).startswith("No B-scan is on screen")
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 0)
    dock.desk.undo_here()
    assert (result.layer.data != painted).any()


def test_drafts_of_a_long_stack_leave_what_a_person_did_before_to_be_undone():
    layer = Labels(np.zeros((120, 4, 6), np.uint8))
    hand = Hand(layer, np.zeros(layer.data.shape, np.uint8), lambda _: None)
    layer.data_setitem(tuple(np.array([[3], [1], [2]])), 4)
    for value in (1, 2):  # two lessons, each of which drafts all others anew
        for z in sorted(set(range(120)) - {3}):
            with hand.model_writes():
                layer.data_setitem(tuple(np.array([[z], [0], [0]])), value)
    assert hand.undo_at((3,))
    assert not layer.data[3].any()
    assert not hand.mask.any()
    for _ in range(2 * 119 + 2):
        layer.undo()
    assert not layer.data.any()


def test_with_a_models_labels_come_back_its_samples_its_doubt_and_its_run(desk, engine, qtbot):
    """Else an export names the model whose draft was undone, and ranges are of its samples."""
    viewer, dock, result = desk
    viewer.dims.set_current_step(0, 1)

    def proposal():
        (run,) = (run for run in result.runs if run["bscan"] == [1])
        unsure = result.uncertainty.data[1].astype(float)
        return run["seed"], result.packed[1,].samples().tolist(), unsure.tolist()

    paint(result.layer)
    dock.form.seed.setValue(5)
    first = proposal()
    engine.shift = 2
    run(dock, qtbot, dock.correct.sample_anew)
    second = proposal()
    assert (first[0], second[0]) == (0, 5)
    assert first[1] != second[1]
    assert first[2] != second[2]
    for keys, now in (("undo", first), ("redo", second), ("undo", first), ("redo", second)):
        getattr(result.layer, keys)()
        assert proposal() == now
    viewer.dims.set_current_step(0, 1)
    dock.desk.undo_here()
    assert proposal() == first
    result.layer.undo()  # what took it back
    assert proposal() == second


def test_undo_here_does_not_say_taken_back_of_what_is_locked(desk):
    viewer, dock, result = desk
    viewer.dims.set_current_step(0, 1)
    paint(result.layer, value=3, z=1)
    painted = result.layer.data.copy()
    result.locked.add(3)
    dock.desk.undo_here()
    np.testing.assert_array_equal(result.layer.data, painted)
    assert "is taken back" not in said(dock)


def test_any_order_of_strokes_and_undos_keeps_pixels_and_marks_exact(desk):
    """Against a model that knows of B-scans only: a pile of states for each."""
    viewer, _, result = desk
    draw = np.random.default_rng(1)
    piles = {z: [(result.layer.data[z].copy(), result.hand.mask[z].copy())] for z in range(4)}
    for _ in range(95):
        z = int(draw.integers(4))
        viewer.dims.set_current_step(0, z)
        if draw.random() < 0.6 or len(piles[z]) == 1:
            row = int(draw.integers(20))
            paint(result.layer, (slice(row, row + 3), slice(0, 6)), int(draw.integers(1, 5)), z)
            if (result.layer.data[z] != piles[z][-1][0]).any():  # else it is no step
                piles[z].append((result.layer.data[z].copy(), result.hand.mask[z].copy()))
        else:
            assert result.hand.undo_at((z,))
            piles[z].pop()
        for place, pile in piles.items():
            np.testing.assert_array_equal(result.layer.data[place], pile[-1][0])
            np.testing.assert_array_equal(result.hand.mask[place], pile[-1][1])


def test_with_a_results_labels_go_its_other_layers(desk, qtbot):
    viewer, _, result = desk
    result.show_all()
    assert len(viewer.layers) == 4
    viewer.layers.remove(result.layer)
    qtbot.waitUntil(lambda: [la.name for la in viewer.layers] == ["eye"], timeout=5000)


def test_nothing_that_is_done_to_a_results_layers_stops_the_dock(desk, engine, qtbot, tmp_path):
    """One bad layer may cost that result, never a panel."""
    viewer, dock, result = desk
    result.show_all()
    harm = [
        lambda: result.layer.metadata.clear(),
        lambda: setattr(result.uncertainty, "data", np.zeros((2, 3, 4), np.float32)),
        lambda: setattr(result.layer, "data", np.zeros((4, 30, 36), np.uint8)),
        lambda: viewer.layers.remove(result.image),
        lambda: viewer.layers.remove(result.by_hand),
        lambda: setattr(result.layer, "features", {"index": [1]}),
    ]
    for change in harm:
        change()
        for act in (
            dock.correct.sample_anew,
            lambda: dock.correct.alternatives.flip(1, under_pointer=False),
            lambda: dock.correct.resampling.onward(1),
            dock.desk.undo_here,
            dock.review.next,
            dock.review.accept,
            dock.review.skip,
            lambda: dock.training.cases.add([(0,)]),
            lambda: dock.keep.autosave.flush(),
            lambda: dock.panels.setCurrentIndex(2),
            lambda: viewer.dims.set_current_step(0, 2),
            dock.segment,
        ):
            dock.training.cases.folder.path = tmp_path / "set"
            act()
            qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
        qtbot.wait(50)
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="another")
    run(dock, qtbot, dock.segment)
    assert "done" in said(dock)
