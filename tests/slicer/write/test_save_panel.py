"""The panel Save: a file with its sidecar, and DICOM SEG."""

from __future__ import annotations

import json

import pytest
import standin
from driving import SHAPE, said

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


def test_dicom_seg_without_its_extension_says_which(panel, panel_result):
    panel.ui.dicomButton.click()
    assert "QuantitativeReporting" in said(panel)
