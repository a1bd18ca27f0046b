"""Learn: what teaches, what is drafted anew, what stays, and the way back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import fake_labels
from qtpy.QtCore import Qt

from napari_spad.desk import model_file, model_tag
from spad.checkpoint import IGNORE

from corrected import press, run, said  # isort: skip

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]

STROKE = np.zeros((24, 36), bool)
STROKE[:4, :6] = True


def paint(result, z: int, value: int = 4) -> None:
    rows, columns = np.nonzero(STROKE)
    result.layer.data_setitem((np.full(len(rows), z), rows, columns), value)


def accept(dock, result, *places: int) -> None:
    for z in places:
        dock.review.reviews.accept(result, (z,))


def learn(dock, qtbot) -> str:
    run(dock, qtbot, dock.lessons.learn.click)
    return said(dock)


def labels(z: int, shift: int = 0) -> np.ndarray:
    return np.roll(fake_labels(np.zeros((24, 36))), shift, axis=0)


def test_learn_teaches_what_is_accepted_or_painted_and_drafts_only_the_rest(desk, qtbot, engine):
    viewer, dock, result, worker = desk
    paint(result, 1)
    paint(result, 3)
    accept(dock, result, 3, 5)
    before = result.layer.data.copy()
    origin, calls = result.model, len(engine.calls)
    press(viewer, Qt.Key.Key_K)
    qtbot.waitUntil(lambda: bool(worker.plans) and not dock.running, timeout=10_000)
    (plan,) = worker.plans
    assert plan.checkpoint == engine.checkpoint
    assert plan.accepted == 2
    assert plan.classes is None
    assert plan.earlier is None
    for image, z in zip(plan.images, (3, 5, 1), strict=True):
        np.testing.assert_array_equal(image, viewer.layers["eye"].data[z])
    for taught, z in zip(plan.label_maps[:2], (3, 5), strict=True):
        np.testing.assert_array_equal(taught, before[z])
    np.testing.assert_array_equal(plan.label_maps[2], np.where(STROKE, 4, IGNORE))
    for z in (1, 3, 5):
        np.testing.assert_array_equal(result.layer.data[z], before[z])
    for z in (0, 2, 4):
        np.testing.assert_array_equal(result.layer.data[z], labels(z, 3))
    assert len(engine.calls) == calls + 3
    told = "learnt from 2 B-scans and 24 painted pixels in 9 s; 3 B-scans are drafted anew; 3 stay"
    assert told in said(dock)
    assert told[1:] in dock.lessons.told.text()
    # Runs on it go on with the new model, and into the same result.
    assert dock.form.checkpoint.path == plan.out == model_file(result.model)
    assert (result.origin, result.model) == (origin, model_tag(plan.out))
    dock.form.one.setChecked(True)
    run(dock, qtbot, dock.segment)
    assert len(dock.results) == 1


def test_each_draft_is_one_undo_step(desk, qtbot):
    _, dock, result, _ = desk
    accept(dock, result, 5)
    before = result.layer.data.copy()
    learn(dock, qtbot)
    for z in (0, 4, 1, 3, 2):  # the one on screen was first, then its neighbours outwards
        assert not np.array_equal(result.layer.data[z], before[z])
        result.layer.undo()
        np.testing.assert_array_equal(result.layer.data[z], before[z])
    result.layer.redo()
    np.testing.assert_array_equal(result.layer.data[2], labels(2, 3))
    assert not result.hand.mask.any()


def test_what_was_undone_or_is_locked_in_a_draft_is_drafted_anew_all_the_same(desk, qtbot, engine):
    _, dock, result, _ = desk
    accept(dock, result, 5)
    result.locked.add(2)
    locked = result.layer.data == 2
    assert "5 B-scans are drafted anew; 1 stays" in learn(dock, qtbot)
    result.layer.undo()
    engine.shift = 1
    assert "5 B-scans are drafted anew; 1 stays" in learn(dock, qtbot)
    np.testing.assert_array_equal(result.layer.data == 2, locked)
    np.testing.assert_array_equal(result.layer.data[0] == 5, (labels(0, 1) == 5) & ~locked[0])


def test_without_anything_to_learn_from_it_says_what_to_do(desk, qtbot):
    _, dock, result, worker = desk
    before = result.layer.data.copy()
    assert "accept a B-scan that is right (A), or paint" in learn(dock, qtbot)
    assert not worker.plans
    np.testing.assert_array_equal(result.layer.data, before)


def test_what_is_accepted_or_painted_meanwhile_stays(desk, qtbot):
    _, dock, result, worker = desk
    accept(dock, result, 5)
    worker.gate = threading.Event()
    dock.lessons.learn.click()
    qtbot.waitUntil(lambda: "learning" in said(dock))
    paint(result, 0)
    accept(dock, result, 4)
    before = result.layer.data.copy()
    worker.gate.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    for z in (0, 4, 5):
        np.testing.assert_array_equal(result.layer.data[z], before[z])
    assert "3 B-scans are drafted anew; 3 stay" in said(dock)
    assert len(worker.plans[0].images) == 1


def test_cancel_closes_the_worker_and_changes_nothing(desk, qtbot):
    _, dock, result, worker = desk
    accept(dock, result, 5)
    worker.gate = threading.Event()
    before, model = result.layer.data.copy(), result.model
    dock.lessons.learn.click()
    qtbot.waitUntil(lambda: "learning" in said(dock))
    dock.footer.cancel_button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=5000)
    qtbot.waitUntil(lambda: worker.closings == 1)
    assert "cancelled; the model is as it was" in said(dock)
    np.testing.assert_array_equal(result.layer.data, before)
    assert (result.model, result.origin) == (model, "")
    assert dock.lessons.back.isHidden()


def test_a_failure_comes_in_the_workers_words_and_costs_nothing(desk, qtbot):
    _, dock, result, worker = desk
    accept(dock, result, 5)
    worker.fails_with = "the process that learns has ended; try again"
    before = result.layer.data.copy()
    assert learn(dock, qtbot) == worker.fails_with
    np.testing.assert_array_equal(result.layer.data, before)
    assert dock.lessons.learn.isEnabled()
    worker.fails_with = ""
    assert "learnt from 1 B-scan in 9 s" in learn(dock, qtbot)


def test_the_second_lesson_starts_from_the_first_model_again(desk, qtbot, engine):
    _, dock, result, worker = desk
    (engine.checkpoint.with_suffix(".lessons.npz")).write_bytes(b"a personal model")
    worker.guard = (0.712, 0.699)
    accept(dock, result, 5)
    assert "Dice .71 before, .70 now" in learn(dock, qtbot)
    accept(dock, result, 4)
    learn(dock, qtbot)
    one, two = worker.plans
    assert one.checkpoint == two.checkpoint == engine.checkpoint
    assert two.earlier == engine.checkpoint.with_suffix(".lessons.npz")
    assert one.out != two.out
    assert two.accepted == 2
    listed = [dock.form.checkpoint.itemText(i) for i in range(dock.form.checkpoint.count())]
    assert two.out.stem in listed
    assert one.out.stem not in listed


def test_drafts_are_judged_by_what_is_accepted_and_learning_that_hurts_offers_the_way_back(
    desk, qtbot, engine
):
    _, dock, result, _ = desk
    accept(dock, result, 5)
    assert dock.lessons.back.isHidden()
    learn(dock, qtbot)
    paint(result, 5)
    old, new = labels(4), labels(4, 3)
    made = np.where(STROKE, 4, new)
    paint(result, 4)
    np.testing.assert_array_equal(result.layer.data[4], made)
    accept(dock, result, 4)
    needed = (old != made).sum(), (new != made).sum()
    told = dock.lessons.told.text()
    assert f"of 1 B-scan needed {needed[0]:,} px of correction, now {needed[1]:,} px" in told
    assert not dock.lessons.back.isHidden()
    # The next one was right as the old model had it.
    rows, columns = np.nonzero(old >= 0)
    result.layer.data_setitem((np.full(len(rows), 3), rows, columns), old[rows, columns])
    accept(dock, result, 3)
    assert not dock.lessons.learning.lessons(result).drafts.hurts  # as much the one as the other
    result.layer.data_setitem((np.full(len(rows), 0), rows, columns), old[rows, columns])
    accept(dock, result, 0)
    assert "may go back" in dock.lessons.told.text()
    assert dock.lessons.back.text() == "Go back to the model before"
    engine.shift = 0
    kept = {z: result.layer.data[z].copy() for z in (0, 3, 4, 5)}
    run(dock, qtbot, dock.lessons.back.click)
    assert dock.form.checkpoint.path == engine.checkpoint
    assert (model_file(result.model), result.origin) == (engine.checkpoint, "")
    for z in (1, 2):
        np.testing.assert_array_equal(result.layer.data[z], labels(z))
    for z, as_it_was in kept.items():
        np.testing.assert_array_equal(result.layer.data[z], as_it_was)
    assert "2 B-scans are drafted anew; 4 stay" in said(dock)
    assert dock.lessons.back.isHidden()


def test_the_way_back_is_open_where_the_pixels_were_replaced_since(desk, qtbot, engine):
    viewer, dock, result, _ = desk
    paint(result, 5)
    learn(dock, qtbot)
    before, calls = result.layer.data.copy(), len(engine.calls)
    viewer.layers["eye"].data = viewer.layers["eye"].data + 1
    run(dock, qtbot, dock.lessons.back.click)
    assert dock.form.checkpoint.path == engine.checkpoint
    assert (model_file(result.model), result.origin) == (engine.checkpoint, "")
    told = "back to “fake”; no B-scan is drafted anew: the pixels of “eye” were replaced"
    assert told in said(dock)
    np.testing.assert_array_equal(result.layer.data, before)
    assert len(engine.calls) == calls
    assert dock.lessons.back.isHidden()


def test_learn_as_i_accept_learns_in_the_background_and_once_after_a_run(desk, qtbot, settings):
    viewer, dock, result, worker = desk
    dock.lessons.as_i_accept.click()
    worker.gate = threading.Event()
    press(viewer, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: "learning" in said(dock))
    accept(dock, result, 4)
    accept(dock, result, 5)
    worker.gate.set()
    qtbot.waitUntil(lambda: len(worker.plans) == 2 and not dock.running, timeout=10_000)
    assert [len(plan.images) for plan in worker.plans] == [1, 3]
    qtbot.wait(50)
    assert not dock.running
    assert settings.value("learn_as_i_accept") in (True, "true")


def test_a_bscan_that_shows_no_structure_starts_no_lesson_by_itself(desk, qtbot):
    _, dock, result, worker = desk
    dock.lessons.as_i_accept.click()
    shown = np.nonzero(result.layer.data[4])
    result.layer.data_setitem((np.full(len(shown[0]), 4), *shown), 0)
    accept(dock, result, 4)
    qtbot.wait(50)
    assert not worker.plans
    accept(dock, result, 5)
    qtbot.waitUntil(lambda: len(worker.plans) == 1 and not dock.running, timeout=10_000)
    assert [len(plan.images) for plan in worker.plans] == [2]


def test_the_worker_is_warmed_by_the_first_correction_and_ends_with_the_dock(desk, qtbot, engine):
    _, dock, result, worker = desk
    assert not worker.running
    paint(result, 1)
    qtbot.waitUntil(lambda: worker.warmed == [engine.checkpoint])
    paint(result, 2)
    assert len(worker.warmed) == 1
    dock.close()
    assert not worker.running
