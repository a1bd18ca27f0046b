"""The panel Compare: scores appear, follow edits, act on a click, and go out."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import said, settle
from fakes import paint
from scene import add_volume

pytestmark = pytest.mark.gui


def reference_of(labels):
    kind = "vtkMRMLLabelMapVolumeNode"
    return add_volume(labels, spacing=(0.2, 0.004, 0.01), name="truth", kind=kind)


def cell(panel, row, column):
    return panel.ui.scoreTable.item(row, column).text()


def test_scores_appear_follow_edits_and_act_on_a_click(panel, panel_volume, panel_result):
    truth = panel_result.labels().copy()
    truth[1, :12] = 0
    panel.desk.parameters.reference = reference_of(truth)
    settle(panel)
    assert cell(panel, 0, 0) == "SRF"
    before = float(cell(panel, 0, 2))
    assert 0.9 < before < 1
    assert float(cell(panel, 0, 4)) >= 0
    assert cell(panel, 1, 2) == "absent in both"
    paint(panel_result, 1, slice(0, 12), slice(None), 0)
    settle(panel)
    assert cell(panel, 0, 2) == "1.000"
    paint(panel_result, 2, slice(0, 3), slice(0, 3), 2)
    settle(panel)
    assert cell(panel, 1, 2) == "invented"
    panel.ui.scoreTable.cellClicked.emit(1, 0)
    display = panel_result.segmentation.GetDisplayNode()
    assert [display.GetSegmentVisibility(f"SPAD_{v}") for v in (1, 2, 3)] == [False, True, False]
    assert panel.desk.bscan() == 2
    assert "worst B-scan is 3" in said(panel)
    panel.ui.showAllButton.click()
    assert display.GetSegmentVisibility("SPAD_1")


def test_the_match_can_be_changed(panel, panel_volume, panel_result):
    labels = np.where(panel_result.labels() == 1, 7, 0).astype(np.uint8)
    panel.desk.parameters.reference = reference_of(labels)
    settle(panel)
    assert cell(panel, 0, 2) != "1.000"
    combo = panel.ui.scoreTable.cellWidget(0, 1)
    combo.setCurrentIndex(1)
    settle(panel)
    standin.process_events(0.05)
    assert cell(panel, 0, 2) == "1.000"


def test_scores_go_to_a_table_and_a_file(panel, panel_volume, panel_result, tmp_path):
    panel.desk.parameters.reference = reference_of(panel_result.labels())
    settle(panel)
    panel.ui.tableButton.click()
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert table.GetTable().GetValueByName(0, "Dice").ToString() == "1.000"
    standin.dialogs.answer("save file", str(tmp_path / "scores.csv"))
    panel.ui.csvButton.click()
    settle(panel)
    assert "SRF" in (tmp_path / "scores.csv").read_text()


def test_a_reference_that_cannot_be_one_is_told(panel, panel_result):
    panel.desk.parameters.reference = panel_result.segmentation
    settle(panel)
    assert "is the segmentation itself" in panel.ui.compareLabel.text()
    slicer.mrmlScene.RemoveNode(panel_result.segmentation)
    settle(panel)
    assert panel.ui.scoreTable.rowCount() == 0


def test_a_stroke_leaves_an_open_choice_of_the_match_open(panel, panel_volume, panel_result):
    panel.desk.parameters.reference = reference_of(panel_result.labels())
    settle(panel)
    combo = panel.ui.scoreTable.cellWidget(0, 1)
    paint(panel_result, 1, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    assert panel.ui.scoreTable.cellWidget(0, 1) is combo
