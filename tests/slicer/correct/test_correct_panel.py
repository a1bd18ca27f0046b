"""The panel Review and correct: the next doubtful B-scan, and the model's help there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import standin
from driving import run, said, settle
from fakes import paint

pytestmark = pytest.mark.gui


def test_the_next_doubtful_bscan_is_shown_and_accepted(panel, panel_volume, panel_result):
    settle(panel)
    panel.ui.nextButton.click()
    first = panel.desk.bscan()
    assert f"B-scan {first + 1} of 4: expected error" in said(panel)
    panel.ui.acceptButton.click()
    assert panel.desk.bscan() != first
    assert panel.ui.reviewLabel.text().startswith("1 of 4 B-scans accepted")
    assert panel.ui.addCorrectedButton.text() == "Corrected (1)"
    last = panel.ui.reviewTable.rowCount() - 1
    assert panel.ui.reviewTable.item(last, 2).text() == "✓ accepted"
    assert (
        json.loads(panel_result.segmentation.GetAttribute("SPAD.review"))[str(first)][0]
        == "accepted"
    )


def test_sampling_around_edits_needs_one_and_keeps_it(
    panel, panel_volume, panel_result, panel_engine
):
    panel.ui.resampleButton.click()
    assert "paint a stroke first" in said(panel)
    here = panel.desk.bscan()
    paint(panel_result, here, slice(12, 14), slice(12, 14), 3)
    panel_engine.threshold = 255
    panel.ui.resampleButton.click()
    settle(panel)
    assert (panel_result.labels()[here] == 3).sum() == 4
    assert not (panel_result.labels()[here] == 1).any()
    assert "pixels changed" in said(panel)
    panel.ui.takeBackButton.click()
    assert (panel_result.labels()[here] == 1).sum() == 14 * 22 - 4


def test_another_models_structures_are_refused_before_the_run(
    panel, panel_volume, panel_result, panel_engine
):
    from dataclasses import replace

    from spad.checkpoint.labels import label_classes

    paint(panel_result, panel.desk.bscan(), slice(0, 2), slice(0, 2), 3)
    panel_engine.card = replace(panel_engine.card, classes=label_classes(["background", "heart"]))
    count = len(panel_engine.asked)
    panel.ui.intoCombo.setCurrentIndex(1)
    for button in (panel.ui.resampleButton, panel.ui.carryButton, panel.ui.segmentButton):
        button.click()
        assert "this model has heart: choose the model that made it" in said(panel)
    settle(panel)
    assert len(panel_engine.asked) == count


def test_a_bscan_is_carried_to_its_neighbours(panel, panel_volume, panel_result, panel_engine):
    panel.ui.nextButton.click()
    panel.ui.carrySpin.setValue(9)
    settle(panel)
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, panel_volume, panel_result.layout, 1)
    panel.ui.carryButton.click()
    settle(panel)
    assert said(panel).startswith("2 B-scans restarted from B-scan 2")
    assert [a["first_slice"] for a in panel_engine.asked[-2:]] == [2, 3]
    show_bscan(panel.desk.view, panel_volume, panel_result.layout, 3)
    panel.ui.carryButton.click()
    assert "is the last one" in said(panel)


def test_what_was_carried_before_a_cancel_stays_and_is_said(
    panel, panel_volume, panel_result, panel_engine
):
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, panel_volume, panel_result.layout, 0)
    panel_engine.threshold = 255
    panel.ui.carrySpin.setValue(3)
    panel.ui.carryButton.click()
    for _ in range(300):
        standin.process_events()
        if not (panel_result.labels()[1] == 1).any():
            break
    panel.ui.cancelButton.click()
    assert said(panel).startswith("Cancelled. 1 B-scan restarted from B-scan 1")
    assert not (panel_result.labels()[1] == 1).any()
    assert (panel_result.labels()[3] == 1).any()


def test_samples_are_stepped_through_and_one_is_taken(panel, panel_volume):
    panel.desk.parameters.samples = 3
    result = run(panel)
    here = panel.desk.bscan()
    before = result.labels()[here].copy()
    panel.ui.largerButton.click()
    assert "SRF, alternative 1 of" in panel.ui.alternativeLabel.text()
    assert not panel.ui.alternativeImage.pixmap().isNull()
    panel.ui.largerButton.click()
    panel.ui.takeButton.click()
    assert "alternative taken" in said(panel)
    assert not np.array_equal(result.labels()[here], before)
    assert result.by_hand()[here].any()
    panel.ui.takeBackButton.click()
    assert np.array_equal(result.labels()[here], before)
    panel.ui.structureCombo.setCurrentIndex(2)
    panel.ui.largerButton.click()
    assert "there is no alternative" in said(panel)
