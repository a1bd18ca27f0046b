"""The panel Compare: scores appear, follow edits, act on a click, and go out."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import said, settle
from fakes import paint
from scene import add_volume

from SPADLib.scene.segments import write_segments
from SPADLib.scene.structures import class_segments

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
    before = float(cell(panel, 0, 1))
    assert 0.9 < before < 1
    assert float(cell(panel, 0, 2)) >= 0
    assert cell(panel, 1, 1) == "absent in both"
    paint(panel_result, 1, slice(0, 12), slice(None), 0)
    settle(panel)
    assert cell(panel, 0, 1) == "1.000"
    paint(panel_result, 2, slice(0, 3), slice(0, 3), 2)
    settle(panel)
    assert cell(panel, 1, 1) == "only here"
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
    assert cell(panel, 0, 1) != "1.000"
    combo = panel.ui.scoreTable.cellWidget(0, 7)
    combo.setCurrentIndex(1)
    settle(panel)
    standin.process_events(0.05)
    assert cell(panel, 0, 1) == "1.000"


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


def test_the_names_of_files_that_are_offered_are_good_on_every_file_system(
    panel, panel_volume, panel_result, monkeypatch
):
    import qt

    offered = []
    ask = staticmethod(lambda *asked: offered.append(asked[2]) or "")
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", ask)
    panel_result.segmentation.SetName("OCT / 右眼: 1*2")
    panel.desk.parameters.reference = reference_of(panel_result.labels())
    settle(panel)
    panel.measure.section.setProperty("collapsed", False)
    panel.measure.refresh()
    for button in (panel.ui.csvButton, panel.measure.to_csv, panel.measure.to_pdf):
        button.click()
    names = ("scores.csv", "measurements.csv", "measurements.pdf")
    assert offered == [f"OCT _ 右眼_ 1_2 {name}" for name in names]


def test_a_reference_that_cannot_be_one_is_told(panel, panel_result):
    panel.desk.parameters.reference = panel_result.segmentation
    settle(panel)
    assert "is the segmentation itself" in panel.ui.compareLabel.text()
    slicer.mrmlScene.RemoveNode(panel_result.segmentation)
    settle(panel)
    assert panel.ui.scoreTable.rowCount() == 0


def test_edits_are_followed_while_the_reference_lies_elsewhere_and_scores_come_back(
    panel, panel_volume, panel_result
):
    node = reference_of(panel_result.labels())
    panel.desk.parameters.reference = node
    settle(panel)
    node.SetOrigin(99, 99, 99)
    settle(panel)
    assert "lies outside the image" in panel.ui.compareLabel.text()
    heard = []
    panel.desk.on("edited", lambda: heard.append(panel.desk.labels.copy()))
    paint(panel_result, 2, slice(0, 3), slice(0, 3), 2)  # autosave and the list wait for it
    settle(panel)
    assert (heard[-1][2, :3, :3] == 2).all()
    node.SetOrigin(0, 0, 0)
    settle(panel)
    assert cell(panel, 0, 1) == "1.000"
    assert cell(panel, 1, 1) == "only here"


def test_a_stroke_leaves_an_open_choice_of_the_match_open(panel, panel_volume, panel_result):
    panel.desk.parameters.reference = reference_of(panel_result.labels())
    settle(panel)
    combo = panel.ui.scoreTable.cellWidget(0, 7)
    paint(panel_result, 1, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    assert panel.ui.scoreTable.cellWidget(0, 7) is combo


def test_a_reference_that_was_drawn_on_another_image_is_scored_with_a_warning(
    panel, panel_volume, panel_result
):
    other = add_volume(np.zeros((4, 24, 32), np.uint8), spacing=(0.2, 0.004, 0.01), name="fellow")
    reference = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    classes = class_segments(panel_result.classes, tagged=False)
    write_segments(reference, np.array(panel_result.labels()), classes, other)
    panel.desk.parameters.reference = reference
    settle(panel)
    assert "“theirs” was drawn on “fellow”, not on this image" in panel.ui.compareLabel.text()
    assert cell(panel, 0, 1) == "1.000"
    assert "color" in panel.ui.compareLabel.styleSheet()
    reference.SetReferenceImageGeometryParameterFromVolumeNode(panel_volume)
    reference.SetNodeReferenceID("referenceImageGeometryRef", panel_volume.GetID())
    paint(panel_result, 1, slice(0, 2), slice(0, 2), 3)
    panel.compare._compare()
    assert "drawn on" not in panel.ui.compareLabel.text()


def test_next_shows_all_structures_again(panel, panel_volume, panel_result):
    panel.desk.parameters.reference = reference_of(panel_result.labels())
    settle(panel)
    panel.ui.scoreTable.cellClicked.emit(0, 0)
    display = panel_result.segmentation.GetDisplayNode()
    assert not display.GetSegmentVisibility("SPAD_2")
    panel.ui.nextButton.click()
    assert display.GetSegmentVisibility("SPAD_2")


def test_a_new_run_hides_the_result_before_it(panel, panel_volume, panel_result):
    panel.ui.intoCombo.setCurrentIndex(0)
    panel.ui.segmentButton.click()
    settle(panel)
    assert panel.desk.result is not panel_result
    assert not panel_result.segmentation.GetDisplayNode().GetVisibility()
    assert panel.desk.result.segmentation.GetDisplayNode().GetVisibility()


def test_what_spad_made_is_no_input(panel, panel_volume, panel_result):
    panel.desk.parameters.inputVolume = panel_result.uncertainty_node
    settle(panel)
    assert "is an uncertainty that SPAD made, not an image" in panel.ui.preflightLabel.text()
    panel.measure.section.setProperty("collapsed", False)
    panel.measure.refresh()
    panel.measure.to_map.click()
    node = panel_result.segmentation.GetNodeReference("SPAD.map")
    panel.desk.parameters.inputVolume = node
    settle(panel)
    assert "is a map of heights that SPAD made, not an image" in panel.ui.preflightLabel.text()


def test_a_message_ends_with_what_it_was_about(panel, panel_volume, panel_result):
    panel.ui.resampleButton.click()
    assert "paint a stroke first" in said(panel)
    panel.ui.nextButton.click()
    panel.ui.resampleButton.click()
    panel.desk.parameters.inputVolume = None
    assert said(panel) == ""


@pytest.mark.parametrize("background", ["#ffffff", "#efefef", "#353535", "#202020"])
def test_texts_are_readable_in_both_styles(app, background):
    from PySide6.QtGui import QColor, QPalette
    from PySide6.QtWidgets import QLabel

    from SPADLib.host import ink

    label = QLabel("!")
    palette = QPalette()
    palette.setColor(QPalette.ColorRole.Window, QColor(background))
    label.setPalette(palette)
    for kind in ("error", "warning"):
        shown = QColor(ink(label, kind).split()[1].rstrip(";"))
        lighter, darker = sorted((luminance(QColor(background)), luminance(shown)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (kind, background)


def luminance(color):
    def linear(c):
        return c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4

    r, g, b = map(linear, (color.redF(), color.greenF(), color.blueF()))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
