"""The panel Edit: the Segment Editor, and surfaces."""

from __future__ import annotations

import pytest
import slicer
import standin

pytestmark = pytest.mark.gui


def test_the_segment_editor_gets_image_and_segmentation(panel, panel_volume, panel_result):
    panel.ui.editorButton.click()
    assert standin.selected[-1] == "SegmentEditor"
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    assert editor.segmentationNode() is panel_result.segmentation
    assert editor.sourceVolumeNode() is panel_volume


def test_surfaces_are_made_on_demand(panel, panel_result):
    inner = panel_result.segmentation.GetSegmentation()
    assert not inner.ContainsRepresentation("Closed surface")
    panel.ui.surfaceCheck.setChecked(True)
    assert inner.ContainsRepresentation("Closed surface")
    assert panel_result.segmentation.GetDisplayNode().GetVisibility3D()
