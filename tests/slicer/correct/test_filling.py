"""Fill between: what lies between accepted B-scans is proposed, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from driving import said, settle

from SPADLib.desk.views import show_bscan

pytestmark = pytest.mark.gui


def accept(panel, *bscans) -> None:
    for bscan in bscans:
        show_bscan(panel.desk.view, panel.desk.result.volume, panel.desk.result.layout, bscan)
        panel.ui.acceptButton.click()


def test_what_lies_between_accepted_bscans_is_filled_and_taken_back(
    panel, panel_volume, panel_result, panel_engine
):
    settle(panel)
    panel.ui.fillButton.click()
    assert "accept one on either side first (none is so far)" in said(panel)
    before = panel_result.labels().copy()
    accept(panel, 0, 3)
    panel_engine.threshold = 255  # the model sees nothing there, the neighbours do
    show_bscan(panel.desk.view, panel_volume, panel_result.layout, 2)
    count = len(panel_engine.asked)
    panel.ui.fillButton.click()
    settle(panel)
    assert [asked["first_slice"] for asked in panel_engine.asked[count:]] == [1, 2]
    assert all(asked["probability"] for asked in panel_engine.asked[count:])
    assert said(panel).startswith("2 B-scans filled between accepted ones")
    after = panel_result.labels()
    np.testing.assert_array_equal(after[[0, 3]], before[[0, 3]])
    assert (after[1:3] == 1).any()  # of the neighbours' shape
    assert [0, 3] in [run.get("between") for run in panel_result.provenance]
    panel.ui.takeBackButton.click()
    np.testing.assert_array_equal(panel_result.labels(), before)
    accept(panel, 1, 2)
    panel.ui.fillAllButton.click()
    assert "next to each other: nothing lies between them" in said(panel)
