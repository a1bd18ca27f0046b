"""Learn: the model follows what a person corrected, and nothing of a person's is changed."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle
from fakes import paint, run_of

from spad.checkpoint import IGNORE

pytestmark = pytest.mark.gui


@pytest.fixture
def corrected(panel, panel_result):
    """B-scan 1 is accepted, in 2 is a stroke; 3 and 4 are drafts."""
    settle(panel)
    panel.review.review.mark(0, "accepted")
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 3)
    settle(panel)
    return np.array(panel_result.labels())


def learn(panel):
    panel.ui.learnButton.click()
    settle(panel)
    return said(panel)


def test_what_was_corrected_teaches_and_the_others_are_drafted_anew(
    panel, panel_result, panel_engine, panel_worker, corrected
):
    text = learn(panel)
    assert text == (
        "Learnt from 1 B-scan and 6 painted pixels in 9 s; 2 B-scans are drafted anew; 2 stay: "
        "accepted or by hand."
    )
    assert panel.ui.learnLabel.text() == text
    (plan,) = panel_worker.plans
    assert plan.checkpoint == panel_engine.checkpoint
    assert plan.accepted == 1
    whole, stroke = plan.label_maps
    assert np.array_equal(whole, corrected[0])
    assert (stroke[:2, :3] == 3).all()
    assert (stroke == IGNORE).sum() == stroke.size - 6
    assert [i.shape for i in plan.images] == [SHAPE[1:]] * 2
    now = panel_result.labels()
    assert np.array_equal(now[:2], corrected[:2])
    assert not now[2:].any()  # as the learnt model says
    assert panel.desk.parameters.checkpoint == str(plan.out)


def test_drafts_on_both_sides_of_an_accepted_bscan_are_taken_at_once(
    panel, panel_result, panel_engine, panel_worker
):
    settle(panel)
    panel.review.review.mark(1, "accepted")
    before = np.array(panel_result.labels())
    panel_engine.asked.clear()
    text = learn(panel)
    assert "3 B-scans are drafted anew; 1 stays" in text
    assert [a["first_slice"] for a in panel_engine.asked] == [0, 2]
    now = panel_result.labels()
    assert np.array_equal(now[1], before[1])
    assert not now[[0, 2, 3]].any()
    panel.ui.takeBackButton.click()
    settle(panel)
    assert np.array_equal(panel_result.labels(), before)


def test_one_press_takes_all_of_it_back_and_undo_too(panel, panel_result, corrected):
    learn(panel)
    assert not np.array_equal(panel_result.labels(), corrected)
    panel.edit.editor.widget.undo()
    assert np.array_equal(panel_result.labels(), corrected)
    panel.edit.editor.widget.redo()
    panel.ui.takeBackButton.click()
    settle(panel)
    assert np.array_equal(panel_result.labels(), corrected)


def test_nothing_corrected_is_told_with_the_remedy(panel, panel_result, panel_worker):
    assert "press Accept first" in learn(panel)
    assert panel_worker.plans == []


def test_a_cancel_ends_the_process_and_changes_nothing(
    panel, panel_result, panel_worker, corrected
):
    panel_worker.waits = 10_000
    panel.ui.learnButton.click()
    for _ in range(20):
        standin.process_events(0.01)
    assert panel.runs.busy
    panel.ui.cancelButton.click()
    settle(panel)
    assert said(panel) == "Cancelled. Nothing was changed."
    assert "killed" in panel_worker.did
    assert panel.desk.parameters.checkpoint == "fake"
    assert np.array_equal(panel_result.labels(), corrected)
    assert not panel.ui.goBackButton.isVisibleTo(panel.ui.goBackButton.parent())


def test_a_cancel_amid_the_drafts_leaves_no_model(
    panel, panel_result, panel_engine, panel_worker, corrected
):
    panel.ui.learnButton.click()
    panel_engine.fails_at = 2
    settle(panel)
    assert "the network broke" in said(panel)
    assert np.array_equal(panel_result.labels(), corrected)
    (plan,) = panel_worker.plans
    assert not plan.out.exists()
    assert list(plan.out.parent.iterdir()) == []
    assert panel.desk.parameters.checkpoint == "fake"


def test_what_goes_wrong_in_the_process_is_told_in_words(
    panel, panel_result, panel_worker, corrected
):
    panel_worker.fails = "the process that learns has ended (code 1). Try again"
    assert learn(panel) == "The process that learns has ended (code 1). Try again"
    assert np.array_equal(panel_result.labels(), corrected)


def test_what_was_painted_or_accepted_during_the_lesson_stays(
    panel, panel_result, panel_worker, corrected
):
    panel_worker.waits = 10
    panel.ui.learnButton.click()
    paint(panel_result, 2, slice(0, 1), slice(0, 4), 2)
    panel.review.review.mark(3, "accepted")
    before = np.array(panel_result.labels())
    settle(panel)
    assert "0 B-scans are drafted anew; 4 stay" in said(panel)
    assert np.array_equal(panel_result.labels(), before)


def test_every_lesson_starts_from_the_model_that_made_the_result(
    panel, panel_engine, panel_worker, corrected
):
    learn(panel)
    learn(panel)
    assert [p.checkpoint for p in panel_worker.plans] == [panel_engine.checkpoint] * 2
    assert panel_worker.plans[0].out != panel_worker.plans[1].out
    assert panel_worker.plans[0].earlier is None


def test_a_result_of_a_model_that_is_not_at_hand_cannot_teach_and_that_is_said(
    panel, panel_volume, panel_engine, panel_worker
):
    from spad.cases import Layout
    from SPADLib.scene import Result

    labels = np.ones(SHAPE, np.uint8)
    other = run_of(labels, checkpoint={"name": "elsewhere", "sha256": "e" * 64})
    result = Result.create(panel_volume, Layout(), other)
    panel.desk.take_result(result)
    settle(panel)
    panel.review.review.mark(0, "accepted")
    text = learn(panel)
    assert "elsewhere, is not at hand: open its checkpoint file" in text
    assert panel_worker.plans == []


def test_learning_from_a_model_that_has_learnt_rehearses_what_it_was_taught(
    panel, panel_result, panel_worker, corrected, panel_volume
):
    learn(panel)
    panel.ui.intoCombo.setCurrentIndex(0)
    panel.ui.segmentButton.click()
    settle(panel)
    panel.review.review.mark(0, "accepted")
    learn(panel)
    first, second = panel_worker.plans
    assert second.checkpoint == first.out
    assert second.earlier == first.out.with_suffix(".lessons.npz")


def test_segments_of_ones_own_are_no_background(panel, panel_result, panel_worker, corrected):
    inner = panel_result.segmentation.GetSegmentation()
    own = inner.AddEmptySegment("mine", "Segment_1")
    where = np.zeros(SHAPE, np.uint8)
    where[0, 3:5, 3:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        panel_result.layout.volume(where), panel_result.segmentation, own, panel_result.volume
    )
    panel.review.review.mark(0, "accepted")
    learn(panel)
    whole = panel_worker.plans[0].label_maps[0]
    assert (whole[3:5, 3:5] == IGNORE).all()
    assert (whole == IGNORE).sum() == 4


# ---------------------------------------------------------------------- whether it helped


def test_the_drafts_of_both_models_are_scored_when_a_bscan_is_accepted(
    panel, panel_result, panel_worker, corrected
):
    learn(panel)
    panel.review._go(2)
    paint(panel_result, 2, slice(10, 12), slice(10, 15), 1)
    panel.ui.acceptButton.click()
    settle(panel)
    text = panel.ui.learnLabel.text()
    assert "drafts of 1 B-scan needed 298 px of correction, now 10 px." in text
    assert "go back" not in text


def test_where_learning_hurts_it_is_said_and_one_can_go_back(
    panel, panel_result, panel_engine, panel_worker, corrected
):
    learn(panel)
    first = panel.desk.parameters.checkpoint
    panel.review._go(2)
    panel_result.put(2, corrected[2])
    panel.ui.acceptButton.click()
    settle(panel)
    assert panel.ui.learnLabel.text().endswith("Learning has not helped here: you may go back.")
    assert panel.ui.goBackButton.text() == "Go back to the model before"
    panel.ui.goBackButton.click()
    settle(panel)
    assert panel.desk.parameters.checkpoint == "fake" != first
    assert said(panel) == "Back to fake: 308 pixels are as before."
    assert np.array_equal(panel_result.labels(), corrected)
    assert 2 in panel.review.review.accepted()
    assert panel.ui.learnLabel.text() == ""
    assert not panel.ui.goBackButton.isVisibleTo(panel.ui.goBackButton.parent())


def test_going_back_leads_to_the_model_before_all_lessons_and_its_drafts(
    panel, panel_result, panel_engine, panel_worker, corrected
):
    learn(panel)
    panel_engine.learnt_threshold = -1
    learn(panel)
    assert (panel_result.labels()[2:] == 1).all()
    panel.ui.goBackButton.click()
    settle(panel)
    assert np.array_equal(panel_result.labels(), corrected)
    assert panel.desk.parameters.checkpoint == "fake"
    panel.edit.editor.widget.undo()
    assert (panel_result.labels()[2:] == 1).all()


def test_going_back_leaves_what_was_accepted_since(panel, panel_result, corrected):
    learn(panel)
    panel.review._go(2)
    panel.ui.acceptButton.click()
    settle(panel)
    panel.ui.goBackButton.click()
    settle(panel)
    now = panel_result.labels()
    assert not now[2].any()
    assert np.array_equal(now[3], corrected[3])


def test_a_model_is_kept_with_its_lessons_and_chosen(
    panel, panel_result, panel_worker, corrected, tmp_path
):
    learn(panel)
    standin.dialogs.answer("save file", str(tmp_path / "mine"))
    panel.ui.keepModelButton.click()
    kept = tmp_path / "mine.safetensors"
    assert kept.read_bytes() == panel_worker.plans[0].out.read_bytes()
    assert kept.with_suffix(".lessons.npz").read_bytes() == b"lessons"
    assert panel.desk.parameters.checkpoint == str(kept)
    assert said(panel) == f"Kept: {kept}, and the images that it learnt from in mine.lessons.npz"


def test_a_model_that_has_not_seen_all_that_was_accepted_says_so_when_it_is_kept(
    panel, panel_result, corrected, tmp_path
):
    learn(panel)
    panel.review._go(2)
    panel.ui.acceptButton.click()
    settle(panel)
    standin.dialogs.answer("save file", str(tmp_path / "mine"))
    panel.ui.keepModelButton.click()
    assert said(panel).endswith(
        "1 B-scan that you accepted since its last lesson is not in this model. Press Learn, and "
        "keep it again"
    )


def test_the_newest_models_are_kept(panel, panel_worker, corrected):
    from spad.worker import KEPT

    for _ in range(KEPT + 3):
        learn(panel)
    found = {p.out for p in panel_worker.plans if p.out.exists()}
    assert found == {p.out for p in panel_worker.plans[-KEPT:]}
    assert panel.ui.modelCombo.count() == 1 + KEPT
    assert panel.ui.modelCombo.currentText() == str(panel_worker.plans[-1].out)


# ---------------------------------------------------------------------- as I accept; warm, and gone


def test_it_learns_as_one_accepts(panel, panel_result, panel_worker, corrected):
    panel.ui.learnCheck.setChecked(True)
    panel.review._go(2)
    panel.ui.acceptButton.click()
    for _ in range(30):
        standin.process_events(0.01)
    settle(panel)
    assert len(panel_worker.plans) == 1
    assert panel_worker.plans[0].accepted == 2
    assert "Learnt from 2 B-scans and 6 painted pixels" in panel.ui.learnLabel.text()
    panel.review._go(3)
    panel.ui.skipButton.click()
    for _ in range(30):
        standin.process_events(0.01)
    assert len(panel_worker.plans) == 1


def test_a_bscan_that_shows_no_structure_starts_no_lesson_by_itself(
    panel, panel_result, panel_worker
):
    settle(panel)
    panel.ui.learnCheck.setChecked(True)
    paint(panel_result, 2, slice(None), slice(None), 0)
    for bscan, plans in ((2, []), (3, [2])):
        panel.review._go(bscan)
        panel.ui.acceptButton.click()
        for _ in range(30):
            standin.process_events(0.01)
        settle(panel)
        assert [plan.accepted for plan in panel_worker.plans] == plans


def test_what_was_taught_and_then_changed_counts_as_not_learnt(
    panel, panel_result, corrected, tmp_path
):
    learn(panel)
    paint(panel_result, 0, slice(0, 4), slice(0, 5), 2)
    settle(panel)
    panel.review.review.mark(0, "accepted")
    settle(panel)
    standin.dialogs.answer("save file", str(tmp_path / "mine"))
    panel.ui.keepModelButton.click()
    assert "1 B-scan that you accepted since its last lesson" in said(panel)


def test_an_accepted_bscan_waits_for_the_lesson_that_goes_on(
    panel, panel_result, panel_worker, corrected
):
    panel.ui.learnCheck.setChecked(True)
    panel_worker.waits = 10
    panel.ui.learnButton.click()
    panel.review._go(2)
    panel.review.mark("accepted")
    for _ in range(120):
        standin.process_events(0.01)
    settle(panel)
    assert [p.accepted for p in panel_worker.plans] == [1, 2]


def test_the_process_is_started_at_the_first_correction_and_ended_with_the_scene(
    panel, panel_result, panel_worker
):
    settle(panel)
    assert panel_worker.did == []
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 3)
    settle(panel)
    assert panel_worker.did == ["warm"]
    paint(panel_result, 1, slice(2, 4), slice(0, 3), 3)
    settle(panel)
    assert panel_worker.did == ["warm"]
    slicer.mrmlScene.Clear(0)
    assert panel_worker.did == ["warm", "close"]
    assert not panel.ui.learnButton.isEnabled()


def test_the_process_ends_with_the_module(panel, panel_result, panel_worker, corrected):
    panel_worker.waits = 10_000
    panel.ui.learnButton.click()
    standin.process_events(0.05)
    standin.close_module("SPAD")
    assert panel_worker.did[-2:] == ["killed", "close"]
