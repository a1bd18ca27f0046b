"""The rows of the training set in the panel Save."""

from __future__ import annotations

import pytest
import standin
from driving import said, settle
from fakes import paint

pytestmark = pytest.mark.gui


def test_bscans_are_added_to_a_training_set(panel, panel_volume, panel_result, tmp_path):
    panel.ui.addThisButton.click()
    assert "choose a folder for it first" in said(panel)
    folder = tmp_path / "set"
    panel.ui.trainingFolder.setCurrentPath(str(folder))
    assert panel.ui.addCorrectedButton.text() == "Corrected (0)"
    paint(panel_result, 1, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    assert panel.ui.addCorrectedButton.text() == "Corrected (1)"
    panel.ui.addCorrectedButton.click()
    settle(panel)
    assert said(panel).startswith("Added 1")
    assert len(list((folder / "masks").glob("*.png"))) == 1
    standin.dialogs.answer("yes/no", False)
    panel.ui.addAllButton.click()
    assert len(list((folder / "masks").glob("*.png"))) == 1
    panel.ui.addAllButton.click()
    settle(panel)
    assert len(list((folder / "masks").glob("*.png"))) == 4
