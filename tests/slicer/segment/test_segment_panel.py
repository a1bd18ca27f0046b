"""The panel Segment: what is told before a run, the run, and where it goes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, run, said, segmentations, settle
from fakes import paint
from scene import add_volume

pytestmark = pytest.mark.gui


def test_a_volume_is_shown_as_the_model_sees_it_with_what_there_is_to_say(panel, panel_volume):
    assert panel.ui.layoutLabel.text().startswith("B-scans: 4 along k")
    assert not panel.ui.thumbnail.pixmap().isNull()
    assert "known after a first run" in panel.ui.deviceLine.text()
    assert "unlike the training images of fake" in panel.ui.preflightLabel.text()
    assert "research use only" in panel.ui.cardLabel.text()
    assert panel.ui.noticeLabel.text() == "For research use only. Not a medical device."


def test_how_the_bscans_lie_can_be_changed_and_stays_with_the_volume(panel, panel_volume):
    panel.ui.turnButton.click()
    assert panel_volume.GetAttribute("SPAD.layout") == "kTM"
    panel.ui.axisCombo.setCurrentIndex(2)
    assert panel_volume.GetAttribute("SPAD.layout") == "i"
    assert panel.ui.layoutLabel.text().startswith("B-scans: 32 along i, as you chose")
    panel.ui.mirrorButton.click()
    assert panel.desk.layout(panel_volume)[0].code == "iM"


def test_without_a_volume_or_a_model_the_button_says_what_to_do(panel):
    panel.ui.segmentButton.click()
    assert said(panel).startswith("No volume is chosen")
    assert "color" in panel.ui.statusLabel.styleSheet()


def test_a_file_that_is_no_checkpoint_is_told(panel, tmp_path, panel_engine, monkeypatch):
    def refuse(path):
        raise ValueError(f"{path.name} is no checkpoint of SPAD")

    monkeypatch.setattr(panel_engine, "read_card", refuse)
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"wrong")
    standin.dialogs.answer("open file", str(wrong))
    panel.ui.modelButton.click()
    assert said(panel) == "wrong.safetensors is no checkpoint of SPAD"
    assert panel.ui.modelCombo.currentText() == "fake"


def test_a_checkpoint_by_an_odd_name_is_none(panel):
    panel.desk.parameters.checkpoint = "x" * 5000  # whatever a scene says
    panel.segment.models.refresh()
    assert panel.segment.models.checkpoint is None


def test_another_checkpoint_is_opened_and_chosen(panel, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other")
    standin.dialogs.answer("open file", str(other))
    panel.ui.modelButton.click()
    assert panel.desk.parameters.checkpoint == str(other)
    assert panel.segment.models.checkpoint == other


def test_a_phantom_is_for_the_phantoms_model_until_a_person_chooses(panel, tmp_path, monkeypatch):
    from SPADLib.read import make_phantom

    file = tmp_path / "oct-phantom.safetensors"
    file.write_bytes(b"fake")
    p, form = panel.desk.parameters, panel.segment
    monkeypatch.setitem(form.models._models, "oct-phantom", file)
    monkeypatch.setattr(form, "_default", "fake")
    monkeypatch.setattr(form, "_proposed", "fake")
    real, (phantom, _) = add_volume(np.zeros(SHAPE)), make_phantom(shape=(3, 32, 48))
    seen = []
    for volume in (real, phantom, real):
        p.inputVolume = volume
        form.refresh()
        seen.append(p.checkpoint)
    assert seen == ["fake", "oct-phantom", "fake"]
    p.checkpoint = str(tmp_path / "mine.safetensors")
    p.inputVolume = phantom
    form.refresh()
    assert p.checkpoint == str(tmp_path / "mine.safetensors")


def test_a_run_gives_an_editable_segmentation_in_the_views(panel, panel_volume, panel_result):
    assert panel_result.volume is panel_volume
    assert (panel_result.labels()[:, 10:, 10:] == 1).all()
    assert panel.ui.resultSelector.currentNode() is panel_result.segmentation
    assert said(panel).startswith("Segmented 4 B-scans: SRF found.")
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == panel_volume.GetID()
    assert composite.GetForegroundVolumeID() == panel_result.uncertainty_node.GetID()
    panel.ui.uncertaintyCheck.setChecked(False)
    assert composite.GetForegroundVolumeID() is None
    assert panel.ui.cancelButton.isHidden()
    settle(panel)
    assert panel.ui.deviceLine.text().startswith("CPU: about 1 s for these 4 B-scans")


def test_two_runs_in_a_row_make_two_segmentations(panel, panel_volume):
    first, second = run(panel), run(panel)
    assert first.segmentation is not second.segmentation
    assert len(segmentations()) == 2


def test_one_bscan_or_a_range_may_be_asked_for(panel, panel_volume):
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, panel_volume, panel.desk.layout(panel_volume)[0], 2)
    panel.desk.parameters.bscans = "the one on screen"
    assert run(panel).segmented == {2}
    panel.desk.parameters.bscans = "a range"
    panel.ui.firstSpin.setValue(2)
    panel.ui.lastSpin.setValue(3)
    assert run(panel).segmented == {1, 2}
    panel.ui.firstSpin.setValue(4)
    panel.ui.segmentButton.click()
    assert "ends at 3, before it begins at 4" in said(panel)


def test_a_run_into_a_segmentation_keeps_edits_and_other_structures(
    panel, panel_volume, panel_result, panel_engine
):
    paint(panel_result, 1, slice(12, 14), slice(12, 14), 2)
    panel.ui.intoCombo.setCurrentIndex(1)
    names = [a.text() for a in panel.segment.structures.actions()]
    assert names == ["SRF", "IRF", "PED"]
    panel_engine.threshold = 255  # the model now sees nothing
    panel.segment.structures.actions()[0].setChecked(False)
    assert panel.ui.structuresButton.text() == "IRF, PED"
    run(panel)
    assert said(panel).startswith("0 pixels changed")
    panel.ui.intoCombo.setCurrentIndex(1)
    run(panel)
    assert len(segmentations()) == 1
    assert (panel_result.labels() == 2).sum() == 4
    assert not (panel_result.labels() == 1).any()
    panel.ui.takeBackButton.click()
    assert (panel_result.labels() == 1).sum() == 4 * 14 * 22 - 4


def start(panel):
    panel.ui.segmentButton.click()
    for _ in range(200):
        standin.process_events()
        if panel.ui.progressBar.value() >= 2:
            return slicer.mrmlScene.GetNumberOfNodes()
    raise AssertionError("no progress was shown")


def test_cancel_midway_changes_nothing(panel, panel_volume):
    before = start(panel)
    assert panel.runs.busy
    assert not panel.ui.segmentButton.isEnabled()
    panel.ui.cancelButton.click()
    assert not panel.runs.busy
    assert said(panel) == "Cancelled. Nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert panel.ui.segmentButton.isEnabled()
    assert run(panel) is not None


def test_a_volume_that_is_removed_while_running_stops_the_run(panel, panel_volume):
    start(panel)
    slicer.mrmlScene.RemoveNode(panel_volume)
    assert said(panel) == "Stopped: “OCT” was removed from the scene. Nothing was changed."
    settle(panel)
    assert not segmentations()


def test_a_scene_that_is_closed_while_running_stops_the_run(panel, panel_volume):
    start(panel)
    slicer.mrmlScene.Clear(0)
    assert not panel.runs.busy
    assert said(panel) == "Stopped: the scene was closed. Nothing was changed."
    settle(panel)
    assert not segmentations()
    assert panel.desk.parameters is not None
    node = add_volume(np.full(SHAPE, 200, np.uint8), name="next")
    panel.desk.parameters.inputVolume = node
    panel.desk.parameters.checkpoint = "fake"
    assert run(panel).volume is node


def test_a_model_that_breaks_is_told_and_the_scene_stays(panel, panel_volume, panel_engine):
    panel_engine.fails_at = 3
    panel.ui.segmentButton.click()
    settle(panel)
    assert "The model failed: the network broke" in said(panel)
    assert "as they were" in said(panel)
    assert not segmentations()


def test_a_target_that_was_removed_is_told(panel, panel_volume, panel_result):
    panel.ui.intoCombo.setCurrentIndex(1)
    node = panel_result.segmentation
    panel.segment._filling = True  # as between the removal and the next look
    slicer.mrmlScene.RemoveNode(node)
    panel.segment._filling = False
    panel.segment._targets = [None, node]
    panel.ui.intoCombo.clear()
    panel.ui.intoCombo.addItems(["a new segmentation", "gone"])
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    assert "was removed from the scene: choose again" in said(panel)
