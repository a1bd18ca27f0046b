"""A structure that the model does not know: added, painted, learnt, found in the others, kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle
from fakes import CLASSES, paint

from spad.checkpoint import IGNORE, label_classes

pytestmark = pytest.mark.gui

NAMES = ("background", "SRF", "IRF", "PED", "ERM")


def add(panel, name: str) -> str:
    standin.dialogs.answer("text", name)
    panel.ui.structureButton.click()
    settle(panel)
    return said(panel)


def ticks(menu) -> list[str]:
    return [action.text() for action in menu.actions()]


def test_it_is_offered_wherever_structures_are_and_can_be_painted(panel, panel_result):
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.learn.annotated.actions()[0].setChecked(False)
    text = add(panel, " ERM ")
    assert text == (
        "“ERM” is there to be painted. The model learns it by Learn, from one to three B-scans."
    )
    assert panel_result.classes == label_classes(NAMES)
    assert panel.edit.editor.widget.currentSegmentID() == "SPAD_4"
    segment = panel_result.segmentation.GetSegmentation().GetSegment("SPAD_4")
    assert tuple(round(255 * c) for c in segment.GetColor()) == label_classes(NAMES)[4].color
    combo = panel.ui.structureCombo
    assert [combo.itemText(n) for n in range(combo.count())] == list(NAMES[1:])
    assert ticks(panel.learn.annotated) == ticks(panel.segment.structures) == list(NAMES[1:])
    assert [c.name for c in panel.learn.annotated.ticked()] == ["IRF", "PED", "ERM"]
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 4)
    assert (panel_result.labels()[1, :2, :3] == 4).all()
    assert panel_result.by_hand().sum() == 6
    assert add(panel, "") == text  # closed: nothing happens
    assert len(panel_result.classes) == 5


def test_the_scores_have_a_row_of_it(panel, panel_result, panel_volume):
    truth = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "truth")
    truth.GetSegmentation().AddEmptySegment("a", "ERM")
    where = np.zeros(SHAPE, np.uint8)
    where[1, :2, :3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(where, truth, "a", panel_volume)
    panel.desk.parameters.reference = truth
    add(panel, "ERM")
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 4)
    settle(panel)
    (row,) = (r for r in panel.compare.comparison.rows() if r.name == "ERM")
    assert row.dice == 1
    panel.compare.act(3)
    display = panel_result.segmentation.GetDisplayNode()
    ids = panel_result.segmentation.GetSegmentation().GetSegmentIDs()
    assert [s for s in ids if display.GetSegmentVisibility(s)] == ["SPAD_4"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("SRF", "given twice"), ("srf", "'SRF' and 'srf' differ in capitals"), (" ", "printable")],
)
def test_a_name_that_cannot_be_is_refused_in_words_and_changes_nothing(
    panel, panel_result, name, words
):
    assert words in add(panel, name)
    assert panel_result.classes == CLASSES
    assert panel_result.segmentation.GetSegmentation().GetNumberOfSegments() == 3


def test_learn_teaches_it_and_until_then_the_old_model_is_refused(
    panel, panel_result, panel_worker, panel_engine
):
    add(panel, "ERM")
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 4)
    settle(panel)
    panel.review._go(1)
    panel.ui.resampleButton.click()
    settle(panel)
    assert "press Learn first" in said(panel)
    panel.ui.learnButton.click()
    settle(panel)
    (plan,) = panel_worker.plans
    assert plan.classes == label_classes(NAMES)
    assert set(np.unique(plan.label_maps[0])) == {4, IGNORE}
    assert "3 B-scans are drafted anew" in said(panel)
    panel.ui.resampleButton.click()
    settle(panel)
    assert "press Learn" not in said(panel)
    assert (panel_result.labels()[1, :2, :3] == 4).all()
    panel.ui.learnButton.click()  # it starts from the model that does not know it
    settle(panel)
    assert panel_worker.plans[1].classes == label_classes(NAMES)


def test_a_segment_of_ones_own_that_differs_by_case_or_composition_becomes_it(panel, panel_result):
    inner = panel_result.segmentation.GetSegmentation()
    inner.AddEmptySegment("mine", "e\u0301pithe\u0301lium", [1.0, 0.0, 0.0])
    add(panel, "\u00c9pith\u00e9lium")
    assert panel_result.values["mine"] == 4
    assert panel_result.classes[4].name == "e\u0301pithe\u0301lium"
    assert not panel_result.own_segments


def test_a_segment_of_ones_own_becomes_one_with_what_is_painted_in_it(
    panel, panel_result, panel_worker
):
    inner = panel_result.segmentation.GetSegmentation()
    own = inner.AddEmptySegment("mine", "ERM", [1.0, 0.0, 0.0])
    where = np.zeros(SHAPE, np.uint8)
    where[0, 3:5, 3:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        panel_result.layout.volume(where), panel_result.segmentation, own, panel_result.volume
    )
    panel.review.review.mark(0, "accepted")
    panel.ui.learnButton.click()
    settle(panel)
    assert "Not learnt, as no structures: “ERM”. Add a structure… takes them in." in said(panel)
    add(panel, "ERM")
    assert panel_result.own_segments == []
    assert panel_result.classes[4].color == (255, 0, 0)
    assert (panel_result.labels()[0, 3:5, 3:5] == 4).all()
    assert panel_result.by_hand().sum() == 4
    assert panel.edit.editor.widget.currentSegmentID() == "mine"
    panel.review.review.mark(0, "accepted")
    panel.ui.learnButton.click()
    settle(panel)
    assert (panel_worker.plans[-1].label_maps[0][3:5, 3:5] == 4).all()
    assert "Not learnt" not in said(panel)


def test_undo_takes_its_segment_away_and_it_can_be_added_again(panel, panel_result):
    before = panel_result.labels().copy()
    add(panel, "ERM")
    panel.edit.editor.widget.undo()
    settle(panel)
    assert np.array_equal(panel_result.labels(), before)
    assert panel_result.segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert "is there to be painted" in add(panel, "ERM")
    assert panel_result.classes == label_classes(NAMES)
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 4)
    assert (panel_result.labels()[1, :2, :3] == 4).all()


def test_what_is_saved_knows_it(panel, panel_result, tmp_path):
    from scene import save_scene

    from SPADLib.scene import results
    from SPADLib.write import save

    add(panel, "ERM")
    paint(panel_result, 1, slice(0, 2), slice(0, 3), 4)
    kept = panel_result.labels().copy()
    _, sidecar = save(panel_result, tmp_path / "a.nii.gz")
    assert [c["name"] for c in json.loads(sidecar.read_text("utf-8"))["classes"]] == list(NAMES)
    (tmp_path / "scene").mkdir()
    file = save_scene(slicer.mrmlScene, tmp_path / "scene")
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Connect()
    (again,) = results(slicer.mrmlScene)
    assert again.classes == label_classes(NAMES)
    assert np.array_equal(again.labels(), kept)
    assert again.by_hand().sum() == 6
