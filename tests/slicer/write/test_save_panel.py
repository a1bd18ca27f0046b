"""The panel Save: a file with its sidecar, and DICOM SEG."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle

pytestmark = pytest.mark.gui


def test_a_result_is_saved_with_its_sidecar(panel, panel_volume, panel_result, tmp_path):
    standin.dialogs.answer("save file", str(tmp_path / "oct.seg.nrrd"))
    panel.ui.saveButton.click()
    assert said(panel).startswith("Saved:")
    assert (tmp_path / "oct.seg.nrrd").is_file()
    assert json.loads((tmp_path / "oct.spad.json").read_text())["shape"] == list(SHAPE)
    standin.dialogs.answer("save file", str(tmp_path / "oct.png"))
    panel.ui.saveButton.click()
    assert "has no extension that is known here" in said(panel)


def test_pixels_of_several_segments_are_said_where_one_of_them_counts(
    panel, panel_volume, panel_result, tmp_path
):
    """Painted with *Allow overlap*; and a segment of one's own that covers structures."""
    inner = panel_result.segmentation.GetSegmentation()
    own = np.zeros(SHAPE, np.uint8)
    own[:, 8:14, 20:] = 1
    mine = inner.AddEmptySegment("mine", "retina")
    update = slicer.util.updateSegmentBinaryLabelmapFromArray
    update(own, panel_result.segmentation, mine, panel_volume)
    settle(panel)
    assert "several segments" not in said(panel)
    for suffix, warned in ((".nrrd", True), (".nii.gz", True), (".seg.nrrd", False)):
        standin.dialogs.answer("save file", str(tmp_path / f"own{suffix}"))
        panel.ui.saveButton.click()
        assert ("⚠ 192 pixels belong to several segments" in said(panel)) is warned
    inner.RemoveSegment(mine)
    over = (panel_result.labels() == 1).astype(np.uint8)
    over[:, :12] = 0
    update(over, panel_result.segmentation, "SPAD_2", panel_volume)
    settle(panel)
    assert f"⚠ {over.sum():,} pixels belong to several segments: the last" in said(panel)


def test_dicom_seg_without_its_extension_says_which(panel, panel_result):
    panel.ui.dicomButton.click()
    assert "QuantitativeReporting" in said(panel)
