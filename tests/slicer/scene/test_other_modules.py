"""What Slicer's other modules do to a result: copies, clones, surfaces, other grids, removals."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from driving import SHAPE, said, settle
from fakes import paint, run_of
from scene import add_volume

from spad.cases import Layout
from SPADLib.scene import Result

BINARY, SURFACE = "Binary labelmap", "Closed surface"


@pytest.fixture
def result(scene, labels):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="OCT")
    return Result.create(volume, Layout(), run_of(labels))


def clone(result):
    """As *Clone* in the module Data: references, attributes and segments are copied."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "clone")
    node.Copy(result.segmentation)
    node.SetName("clone")
    return Result.of(node)


def test_a_segment_that_was_copied_from_another_result_is_the_persons_own(result, labels):
    other = Result.create(result.volume, Layout(), run_of(np.roll(labels, 3, 1)))
    inner = other.segmentation.GetSegmentation()
    mine = other.labels().copy()
    assert inner.CopySegmentFromSegmentation(result.segmentation.GetSegmentation(), "SPAD_1")
    assert other.values == {"SPAD_1": 1, "SPAD_2": 2, "SPAD_3": 3}
    assert len(other.own_segments) == 1
    assert np.array_equal(other.own(), labels == 1)
    assert np.array_equal(other.labels(), mine)
    other.take(run_of(np.zeros(SHAPE, np.uint8)), 0)
    assert np.array_equal(other.own(), labels == 1)


def test_a_copy_stands_for_its_structure_where_the_first_is_gone(result, labels):
    other = Result.create(result.volume, Layout(), run_of(np.roll(labels, 3, 1)))
    inner = other.segmentation.GetSegmentation()
    inner.RemoveSegment("SPAD_1")
    assert inner.CopySegmentFromSegmentation(result.segmentation.GetSegmentation(), "SPAD_1")
    assert np.array_equal(other.labels() == 1, labels == 1)


def test_a_model_writes_into_a_clone_and_not_into_what_the_other_is_held_against(result, labels):
    copy = clone(result)
    copy.take(run_of(np.full(SHAPE, 3, np.uint8), uncertainty=0.5), 0)
    assert (copy.labels() == 3).all()
    assert not copy.by_hand().any()
    assert np.array_equal(result.labels(), labels)
    assert not result.by_hand().any()
    assert not result.uncertainty().any()
    assert (copy.uncertainty() == 50).all()
    node = copy.segmentation.GetNodeReference("SPAD.proposal")
    copy.put(0, labels[1])
    assert copy.segmentation.GetNodeReference("SPAD.proposal") is node  # its own by now


def test_the_first_one_may_be_written_to_as_well(result, labels):
    copy = clone(result)
    result.put(0, labels[1])
    assert result.by_hand().sum() == (labels[1] > 0).sum()
    assert not copy.by_hand().any()


def test_what_a_model_says_of_a_structure_that_was_removed_is_left_out(result, labels):
    result.segmentation.GetSegmentation().RemoveSegment("SPAD_1")
    erased = labels == 1
    assert np.array_equal(result.by_hand(), erased)
    said_now = np.zeros(SHAPE, np.uint8)
    said_now[:, 20:], said_now[3, :3] = 1, 3
    result.take(run_of(said_now), 0)
    assert set(np.unique(result.labels())) == {0, 3}
    assert np.array_equal(result.by_hand(), erased)


def as_surfaces(result):
    inner = result.segmentation.GetSegmentation()
    assert inner.CreateRepresentation(SURFACE)
    inner.SetSourceRepresentationName(SURFACE)


def finer(result):
    """As *Specify geometry* of the Segment Editor, with an oversampling of 2."""
    inner, fine = result.segmentation.GetSegmentation(), slicer.vtkOrientedImageData()
    text = inner.GetConversionParameter("Reference image geometry")
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, fine, False)
    slicer.vtkCalculateOversamplingFactor.ApplyOversamplingOnImageGeometry(fine, 2)
    image = inner.GetSegment("SPAD_1").GetRepresentation(BINARY)
    resample = slicer.vtkOrientedImageDataResample
    resample.ResampleOrientedImageToReferenceOrientedImage(image, fine, image, False, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (as_surfaces, "make “Binary labelmap” its source representation"),
        (finer, "as source geometry under Specify geometry"),
    ],
)
def test_what_cannot_be_written_to_is_refused_and_nothing_changes(result, labels, change, words):
    change(result)
    before, proposal, doubt = result.labels(), result.proposal().copy(), result.uncertainty().copy()
    run = run_of(np.full(SHAPE, 3, np.uint8), uncertainty=0.5)
    for write in (lambda: result.take(run, 0), lambda: result.put(0, labels[1])):
        with pytest.raises(ValueError, match=words):
            write()
        assert np.array_equal(result.labels(), before)
        assert np.array_equal(result.proposal(), proposal)
        assert np.array_equal(result.uncertainty(), doubt)
    with pytest.raises(ValueError, match=words):
        result.refuse_others(result.classes)


@pytest.mark.gui
@pytest.mark.parametrize("name", ["resample", "carry", "learn", "segment"])
def test_nobody_waits_for_a_run_that_cannot_be_written(
    panel, panel_volume, panel_result, panel_engine, panel_worker, name
):
    paint(panel_result, 0, slice(0, 3), slice(0, 3), 2)
    finer(panel_result)
    settle(panel)
    panel.ui.intoCombo.setCurrentIndex(1)
    asked = len(panel_engine.asked)
    getattr(panel.ui, f"{name}Button").click()
    settle(panel)
    assert "“OCT fake” has other pixels than “OCT”" in said(panel)
    assert len(panel_engine.asked) == asked
    assert panel_worker.plans == []


@pytest.mark.gui
def test_work_goes_on_where_the_uncertainty_was_removed(panel, panel_volume, panel_result):
    paint(panel_result, 0, slice(0, 3), slice(0, 3), 2)
    settle(panel)
    panel.ui.resampleButton.click()
    slicer.mrmlScene.RemoveNode(panel_result.uncertainty_node)  # amid the run
    settle(panel)
    assert said(panel).startswith("Sampled around your edits")
    assert panel.ui.nextButton.isEnabled()
    assert panel.desk.result.by_hand().sum() == 9
    assert panel.desk.result.uncertainty()[0].max() == 25
    slicer.mrmlScene.RemoveNode(panel.desk.result.uncertainty_node)
    settle(panel)
    assert "is taken for 0 %" in said(panel)
    panel.ui.nextButton.click()
    assert "expected error" in said(panel)


@pytest.mark.gui
def test_a_volume_that_was_removed_is_missed_at_once(panel, panel_volume, panel_result):
    slicer.mrmlScene.RemoveNode(panel_volume)
    settle(panel)
    assert "The volume of “OCT fake” is not in the scene" in said(panel)
    assert not panel.ui.nextButton.isEnabled()
