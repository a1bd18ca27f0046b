"""A B-scan that a person accepted is left alone by every run, and that is said."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from driving import run, said, settle
from fakes import paint, run_of

from SPADLib.desk import go_to

pytestmark = pytest.mark.gui


@pytest.fixture
def accepted(panel, panel_result):
    """B-scan 2 is accepted; every B-scan is what a model of before said."""
    labels = np.zeros((4, 24, 32), np.uint8)
    labels[:, 2:5, 2:9] = 2
    panel_result.take(run_of(labels), 0)
    settle(panel)
    panel.review.review.mark(1, "accepted")
    return np.array(panel_result.labels())


def test_a_run_into_a_result_leaves_it_and_says_so(panel, panel_result, accepted):
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    settle(panel)
    now = panel_result.labels()
    assert np.array_equal(now[1], accepted[1])
    assert not np.array_equal(now[2], accepted[2])
    assert "B-scan 2 is accepted and was left alone: Skip there opens it again" in said(panel)
    assert panel.review.review.accepted() == {1}


def test_a_run_of_accepted_ones_alone_is_refused_before_it_begins(panel, panel_result, accepted):
    import SPAD

    panel.desk.parameters.bscans = SPAD.RANGE
    panel.ui.firstSpin.setValue(2)
    panel.ui.lastSpin.setValue(2)
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    assert not panel.runs.busy
    assert "B-scan 2 is accepted" in said(panel)


def test_carrying_on_goes_over_it_and_restarts_from_it(
    panel, panel_engine, panel_result, accepted, panel_volume
):
    panel_engine.asked.clear()
    panel.ui.carrySpin.setValue(3)
    panel.correct.carry(1)
    settle(panel)
    assert panel.desk.bscan() == 0
    assert [a["first_slice"] for a in panel_engine.asked] == [2, 3]
    assert np.array_equal(panel_engine.asked[0]["start"], accepted[1])
    assert np.array_equal(panel_result.labels()[1], accepted[1])
    assert "2 B-scans restarted" in said(panel)
    assert "B-scan 2 is accepted and was left alone" in said(panel)
    assert panel.review.review.accepted() == {1}


def test_one_press_is_taken_back_by_one_press(panel, panel_result, accepted):
    panel.ui.carrySpin.setValue(3)
    panel.ui.carryButton.click()
    settle(panel)
    assert not np.array_equal(panel_result.labels(), accepted)
    panel.ui.takeBackButton.click()
    settle(panel)
    assert np.array_equal(panel_result.labels(), accepted)
    assert not panel.ui.takeBackButton.isEnabled()


def test_what_was_accepted_since_is_not_taken_back(panel, panel_result, accepted):
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    settle(panel)
    now = np.array(panel_result.labels())
    panel.review.review.mark(3, "accepted")
    panel.ui.takeBackButton.click()
    settle(panel)
    labels = panel_result.labels()
    assert np.array_equal(labels[[0, 2]], accepted[[0, 2]])
    assert np.array_equal(labels[3], now[3])
    assert panel_result.accepted() == {1, 3}
    assert "B-scan 4 is accepted and was left alone: Skip there opens it again" in said(panel)


def test_where_all_was_accepted_since_it_can_be_opened_and_then_taken_back(panel, panel_result):
    before = np.array(panel_result.labels())
    go_to(panel.desk.view, panel_result.volume, panel_result.layout, 2)
    paint(panel_result, 2, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    panel.desk.engine.threshold = 255
    panel.ui.resampleButton.click()
    settle(panel)
    now = np.array(panel_result.labels())
    panel.review.review.mark(2, "accepted")
    panel.ui.takeBackButton.click()
    assert np.array_equal(panel_result.labels(), now)
    assert "B-scan 3 is accepted and was left alone" in said(panel)
    panel.review.review.mark(2, "skipped")
    panel.ui.takeBackButton.click()
    before[2, :2, :2] = 3
    assert np.array_equal(panel_result.labels(), before)


def test_what_was_changed_in_another_segmentation_is_not_taken_back_unseen(
    panel, panel_result, accepted
):
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    settle(panel)
    now = np.array(panel_result.labels())
    other = run(panel)
    assert other is not panel_result
    assert not panel.ui.takeBackButton.isEnabled()
    panel.desk.parameters.result = panel_result.segmentation
    settle(panel)
    assert np.array_equal(panel_result.labels(), now)
    panel.ui.takeBackButton.click()
    assert np.array_equal(panel_result.labels(), accepted)


def test_what_is_asked_of_just_this_one_is_done_and_it_is_to_be_looked_at_again(
    panel, panel_result, accepted
):
    paint(panel_result, 0, slice(0, 2), slice(0, 5), 3)
    settle(panel)
    panel.review.review.mark(0, "accepted")
    panel.ui.resampleButton.click()
    settle(panel)
    assert "It was accepted: look at it again" in said(panel)
    assert panel.review.review.queue.state[(0,)] == "edited"


def test_an_accepted_one_that_was_edited_is_open_again(panel, panel_result, accepted):
    paint(panel_result, 1, slice(0, 2), slice(0, 5), 3)
    settle(panel)
    assert panel_result.accepted() == set()


def test_what_belongs_to_a_result_goes_with_it(panel, panel_result, accepted):
    scene, node = slicer.mrmlScene, panel_result.segmentation
    kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode")
    assert scene.GetNumberOfNodesByClass(kinds[1]) == 1
    panel.ui.carryButton.click()
    settle(panel)
    scene.RemoveNode(node)
    settle(panel)
    assert scene.GetNumberOfNodesByClass(kinds[1]) == 0
    assert [scene.GetNthNodeByClass(n, kinds[0]).GetName()
            for n in range(scene.GetNumberOfNodesByClass(kinds[0]))] == ["OCT"]  # fmt: skip
    assert not panel.desk._results
    assert not panel.desk.history.of(panel_result)
    assert not panel.ui.takeBackButton.isEnabled()


def test_a_clones_companions_stay_with_the_other(panel, panel_result):
    scene, node = slicer.mrmlScene, panel_result.segmentation
    clone = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "clone")
    for role in ("SPAD.volume", "SPAD.uncertainty", "SPAD.proposal"):
        clone.SetNodeReferenceID(role, node.GetNodeReferenceID(role))
    for name in ("SPAD.classes", "SPAD.layout"):
        clone.SetAttribute(name, node.GetAttribute(name))
    scene.RemoveNode(clone)
    assert panel_result.uncertainty_node is not None
    assert panel.desk.result is panel_result


def test_what_is_not_segmented_is_neither_accepted_nor_carried_on(panel, panel_volume):
    """Else nothing in it would teach the model that there is nothing, and spread."""
    panel.desk.parameters.bscans = "a range"
    panel.ui.firstSpin.setValue(1)
    panel.ui.lastSpin.setValue(2)
    panel.ui.segmentButton.click()
    settle(panel)
    result = panel.desk.result
    before = np.array(result.labels())
    go_to(panel.desk.view, panel_volume, result.layout, 3)
    for button in (panel.ui.acceptButton, panel.ui.skipButton, panel.ui.carryBackButton):
        button.click()
        settle(panel)
        assert "B-scan 4 is not segmented yet" in said(panel)
        assert "paint in it first" in said(panel)
    assert result.accepted() == set()
    assert np.array_equal(result.labels(), before)
    paint(result, 3, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    panel.ui.acceptButton.click()
    assert result.accepted() == {3}
