"""The Segment Editor inside the panel, its undo, and surfaces."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from driving import run, settle
from fakes import paint
from scene import add_volume

pytestmark = pytest.mark.gui


@pytest.fixture
def editor(panel, panel_result):
    return panel.edit.editor.widget


def test_the_segment_editor_gets_image_and_segmentation(panel, panel_volume, panel_result, editor):
    assert editor.segmentationNode() is panel_result.segmentation
    assert editor.sourceVolumeNode() is panel_volume
    assert panel.ui.editorFrame.isAncestorOf(editor)
    assert not editor.segmentationNodeSelectorVisible


def test_one_undo_takes_back_the_model_and_the_next_the_stroke(panel, panel_result, editor):
    before = np.array(panel_result.labels())
    editor.saveStateForUndo()  # as the brush does
    paint(panel_result, 0, slice(0, 2), slice(0, 5), 3)
    painted = np.array(panel_result.labels())
    settle(panel)
    panel.desk.engine.threshold = 255  # now the model finds nothing
    panel.ui.resampleButton.click()
    settle(panel)
    assert not np.array_equal(panel_result.labels(), painted)
    by_hand = np.array(panel_result.by_hand())
    editor.undo()
    settle(panel)
    assert np.array_equal(panel_result.labels(), painted)
    assert np.array_equal(panel_result.by_hand(), by_hand)
    editor.undo()
    settle(panel)
    assert np.array_equal(panel_result.labels(), before)
    assert not panel_result.by_hand().any()
    assert panel.ui.addCorrectedButton.text() == "Corrected (0)"
    editor.redo()
    editor.redo()
    assert np.array_equal(panel_result.by_hand(), by_hand)


def test_it_lets_go_of_keys_and_nodes(panel, panel_result, editor):
    slicer.util.selectModule("SegmentEditor")
    assert [name for name, _ in editor.calls][-3:] == [
        "setActiveEffect",
        "uninstallKeyboardShortcuts",
        "removeViewObservations",
    ]
    slicer.util.selectModule("SPAD")
    assert ("installKeyboardShortcuts", None) in editor.calls
    slicer.mrmlScene.Clear(0)
    assert editor.segmentationNode() is None


def test_surfaces_are_made_on_demand(panel, panel_result):
    inner = panel_result.segmentation.GetSegmentation()
    assert not inner.ContainsRepresentation("Closed surface")
    panel.ui.surfaceCheck.setChecked(True)
    assert inner.ContainsRepresentation("Closed surface")
    assert panel_result.segmentation.GetDisplayNode().GetVisibility3D()


def test_a_result_of_another_volume_than_the_chosen_one_is_said(panel, panel_result):
    assert panel.ui.belongsLabel.isHidden()
    panel.desk.parameters.inputVolume = add_volume(np.ones((4, 24, 32), np.uint8), name="fellow")
    assert not panel.ui.belongsLabel.isHidden()
    assert "It is of “OCT”, not of “fellow”" in panel.ui.belongsLabel.text()
    run(panel)
    assert panel.ui.belongsLabel.isHidden()


def test_nothing_is_cut_in_a_panel_of_480_pixels(panel, panel_result):
    ui = panel.ui
    for hidden in (ui.goBackButton, ui.keepModelButton, ui.roiSelector):
        hidden.setVisible(True)
    for area, content in (
        (ui.segmentArea, ui.segmentContent),
        (ui.correctArea, ui.correctContent),
        (ui.saveArea, ui.saveContent),
    ):
        frame = 480 - area.verticalScrollBar().sizeHint().width() - 40  # of tab and module
        assert content.minimumSizeHint().width() <= frame, content.objectName()
