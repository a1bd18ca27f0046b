"""The module's panel, driven over the stand-in for Slicer's Qt world, on a real MRML scene."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import standin
from driving import settle
from fakes import FakeEngine, paint
from scene import add_volume, save_scene

from spad.inference.hosts import Engine

pytestmark = pytest.mark.gui
SHAPE = (4, 24, 32)


@pytest.fixture
def app(scene):
    application = standin.install(scene)
    yield application
    standin.remove()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    fake = FakeEngine(tmp_path)
    monkeypatch.setattr(Engine, "spad", classmethod(lambda cls: fake))
    return fake


@pytest.fixture
def panel(app, engine):
    import SPAD

    widget = standin.open_module(SPAD)
    widget.desk.parameters.checkpoint = "fake"
    return widget


@pytest.fixture
def volume(panel):
    image = np.zeros(SHAPE, np.uint8)
    image[:, 10:, 10:] = 200
    image[:, 0, 0] = range(len(image))  # else the training set knows them for one B-scan
    node = add_volume(image, spacing=(0.2, 0.004, 0.01), name="OCT")
    panel.desk.parameters.inputVolume = node
    settle(panel)
    return node


def run(panel):
    panel.ui.segmentButton.click()
    settle(panel)
    return panel.desk.result


@pytest.fixture
def result(panel, volume):
    return run(panel)


def segmentations():
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    return [slicer.mrmlScene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(count)]


def said(panel):
    return panel.ui.statusLabel.text()


# ---------------------------------------------------------------------- before a run


def test_a_volume_is_shown_as_the_model_sees_it_with_what_there_is_to_say(panel, volume):
    assert panel.ui.layoutLabel.text().startswith("B-scans: 4 along k")
    assert not panel.ui.thumbnail.pixmap().isNull()
    assert "known after a first run" in panel.ui.deviceLine.text()
    assert "unlike the training images of fake" in panel.ui.preflightLabel.text()
    assert "research use only" in panel.ui.cardLabel.text()
    assert panel.ui.noticeLabel.text() == "For research use only. Not a medical device."


def test_how_the_bscans_lie_can_be_changed_and_stays_with_the_volume(panel, volume):
    panel.ui.turnButton.click()
    assert volume.GetAttribute("SPAD.layout") == "kTM"
    panel.ui.axisCombo.setCurrentIndex(2)
    assert volume.GetAttribute("SPAD.layout") == "i"
    assert panel.ui.layoutLabel.text().startswith("B-scans: 32 along i, as you chose")
    panel.ui.mirrorButton.click()
    assert panel.desk.layout(volume)[0].code == "iM"


def test_without_a_volume_or_a_model_the_button_says_what_to_do(panel):
    panel.ui.segmentButton.click()
    assert said(panel).startswith("No volume is chosen")
    assert "c00000" in panel.ui.statusLabel.styleSheet()


def test_a_file_that_is_no_checkpoint_is_told(panel, tmp_path, engine, monkeypatch):
    def refuse(path):
        raise ValueError(f"{path.name} is no checkpoint of SPAD")

    monkeypatch.setattr(engine, "read_card", refuse)
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"wrong")
    standin.dialogs.answer("open file", str(wrong))
    panel.ui.modelButton.click()
    assert said(panel) == "wrong.safetensors is no checkpoint of SPAD"
    assert panel.ui.modelCombo.currentText() == "fake"


def test_another_checkpoint_is_opened_and_chosen(panel, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other")
    standin.dialogs.answer("open file", str(other))
    panel.ui.modelButton.click()
    assert panel.desk.parameters.checkpoint == str(other)
    assert panel.segment.models.checkpoint == other


# ---------------------------------------------------------------------- the run


def test_a_run_gives_an_editable_segmentation_in_the_views(panel, volume, result):
    assert result.volume is volume
    assert (result.labels()[:, 10:, 10:] == 1).all()
    assert panel.ui.resultSelector.currentNode() is result.segmentation
    assert said(panel).startswith("Segmented 4 B-scans: SRF found.")
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    assert composite.GetForegroundVolumeID() == result.uncertainty_node.GetID()
    panel.ui.uncertaintyCheck.setChecked(False)
    assert composite.GetForegroundVolumeID() is None
    assert panel.ui.cancelButton.isHidden()
    settle(panel)
    assert panel.ui.deviceLine.text().startswith("CPU: about 1 s for these 4 B-scans")


def test_two_runs_in_a_row_make_two_segmentations(panel, volume):
    first, second = run(panel), run(panel)
    assert first.segmentation is not second.segmentation
    assert len(segmentations()) == 2


def test_one_bscan_or_a_range_may_be_asked_for(panel, volume):
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, volume, panel.desk.layout(volume)[0], 2)
    panel.desk.parameters.bscans = "the one on screen"
    assert run(panel).segmented == {2}
    panel.desk.parameters.bscans = "a range"
    panel.ui.firstSpin.setValue(2)
    panel.ui.lastSpin.setValue(3)
    assert run(panel).segmented == {1, 2}
    panel.ui.firstSpin.setValue(4)
    panel.ui.segmentButton.click()
    assert "ends at 3, before it begins at 4" in said(panel)


def test_a_run_into_a_segmentation_keeps_edits_and_other_structures(panel, volume, result, engine):
    paint(result, 1, slice(12, 14), slice(12, 14), 2)
    panel.ui.intoCombo.setCurrentIndex(1)
    names = [a.text() for a in panel.segment.structures.actions()]
    assert names == ["SRF", "IRF", "PED"]
    engine.threshold = 255  # the model now sees nothing
    panel.segment.structures.actions()[0].setChecked(False)
    assert panel.ui.structuresButton.text() == "IRF, PED"
    run(panel)
    assert said(panel).startswith("0 pixels changed")
    panel.ui.intoCombo.setCurrentIndex(1)
    run(panel)
    assert len(segmentations()) == 1
    assert (result.labels() == 2).sum() == 4
    assert not (result.labels() == 1).any()
    panel.ui.takeBackButton.click()
    assert (result.labels() == 1).sum() == 4 * 14 * 22 - 4


def start(panel):
    panel.ui.segmentButton.click()
    for _ in range(200):
        standin.process_events()
        if panel.ui.progressBar.value() >= 2:
            return slicer.mrmlScene.GetNumberOfNodes()
    raise AssertionError("no progress was shown")


def test_cancel_midway_changes_nothing(panel, volume):
    before = start(panel)
    assert panel.runs.busy
    assert not panel.ui.segmentButton.isEnabled()
    panel.ui.cancelButton.click()
    assert not panel.runs.busy
    assert said(panel) == "Cancelled. Nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert panel.ui.segmentButton.isEnabled()
    assert run(panel) is not None


def test_a_volume_that_is_removed_while_running_stops_the_run(panel, volume):
    start(panel)
    slicer.mrmlScene.RemoveNode(volume)
    assert said(panel) == "Stopped: “OCT” was removed from the scene. Nothing was changed."
    settle(panel)
    assert not segmentations()


def test_a_scene_that_is_closed_while_running_stops_the_run(panel, volume):
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


def test_a_model_that_breaks_is_told_and_the_scene_stays(panel, volume, engine):
    engine.fails_at = 3
    panel.ui.segmentButton.click()
    settle(panel)
    assert "The model failed: the network broke" in said(panel)
    assert "as they were" in said(panel)
    assert not segmentations()


# ---------------------------------------------------------------------- edit and compare


def reference_of(labels):
    kind = "vtkMRMLLabelMapVolumeNode"
    return add_volume(labels, spacing=(0.2, 0.004, 0.01), name="truth", kind=kind)


def cell(panel, row, column):
    return panel.ui.scoreTable.item(row, column).text()


def test_the_segment_editor_gets_image_and_segmentation(panel, volume, result):
    panel.ui.editorButton.click()
    assert standin.selected[-1] == "SegmentEditor"
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    assert editor.segmentationNode() is result.segmentation
    assert editor.sourceVolumeNode() is volume


def test_surfaces_are_made_on_demand(panel, result):
    inner = result.segmentation.GetSegmentation()
    assert not inner.ContainsRepresentation("Closed surface")
    panel.ui.surfaceCheck.setChecked(True)
    assert inner.ContainsRepresentation("Closed surface")
    assert result.segmentation.GetDisplayNode().GetVisibility3D()


def test_scores_appear_follow_edits_and_act_on_a_click(panel, volume, result):
    truth = result.labels().copy()
    truth[1, :12] = 0
    panel.desk.parameters.reference = reference_of(truth)
    settle(panel)
    assert cell(panel, 0, 0) == "SRF"
    before = float(cell(panel, 0, 2))
    assert 0.9 < before < 1
    assert float(cell(panel, 0, 4)) >= 0
    assert cell(panel, 1, 2) == "absent in both"
    paint(result, 1, slice(0, 12), slice(None), 0)
    settle(panel)
    assert cell(panel, 0, 2) == "1.000"
    paint(result, 2, slice(0, 3), slice(0, 3), 2)
    settle(panel)
    assert cell(panel, 1, 2) == "invented"
    panel.ui.scoreTable.cellClicked.emit(1, 0)
    display = result.segmentation.GetDisplayNode()
    assert [display.GetSegmentVisibility(f"SPAD_{v}") for v in (1, 2, 3)] == [False, True, False]
    assert panel.desk.bscan() == 2
    assert "worst B-scan is 3" in said(panel)
    panel.ui.showAllButton.click()
    assert display.GetSegmentVisibility("SPAD_1")


def test_the_match_can_be_changed(panel, volume, result):
    labels = np.where(result.labels() == 1, 7, 0).astype(np.uint8)
    panel.desk.parameters.reference = reference_of(labels)
    settle(panel)
    assert cell(panel, 0, 2) != "1.000"
    combo = panel.ui.scoreTable.cellWidget(0, 1)
    combo.setCurrentIndex(1)
    settle(panel)
    standin.process_events(0.05)
    assert cell(panel, 0, 2) == "1.000"


def test_scores_go_to_a_table_and_a_file(panel, volume, result, tmp_path):
    panel.desk.parameters.reference = reference_of(result.labels())
    settle(panel)
    panel.ui.tableButton.click()
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert table.GetTable().GetValueByName(0, "Dice").ToString() == "1.000"
    standin.dialogs.answer("save file", str(tmp_path / "scores.csv"))
    panel.ui.csvButton.click()
    settle(panel)
    assert "SRF" in (tmp_path / "scores.csv").read_text()


def test_a_reference_that_cannot_be_one_is_told(panel, result):
    panel.desk.parameters.reference = result.segmentation
    settle(panel)
    assert "is the segmentation itself" in panel.ui.compareLabel.text()
    slicer.mrmlScene.RemoveNode(result.segmentation)
    settle(panel)
    assert panel.ui.scoreTable.rowCount() == 0


# ---------------------------------------------------------------------- review and correct


def test_the_next_doubtful_bscan_is_shown_and_accepted(panel, volume, result):
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
    assert json.loads(result.segmentation.GetAttribute("SPAD.review"))[str(first)][0] == "accepted"


def test_sampling_around_edits_needs_one_and_keeps_it(panel, volume, result, engine):
    panel.ui.resampleButton.click()
    assert "paint a stroke first" in said(panel)
    here = panel.desk.bscan()
    paint(result, here, slice(12, 14), slice(12, 14), 3)
    engine.threshold = 255
    panel.ui.resampleButton.click()
    settle(panel)
    assert (result.labels()[here] == 3).sum() == 4
    assert not (result.labels()[here] == 1).any()
    assert "pixels changed" in said(panel)
    panel.ui.takeBackButton.click()
    assert (result.labels()[here] == 1).sum() == 14 * 22 - 4


def test_another_models_structures_are_refused_before_the_run(panel, volume, result, engine):
    from dataclasses import replace

    from spad.checkpoint.labels import label_classes

    paint(result, panel.desk.bscan(), slice(0, 2), slice(0, 2), 3)
    engine.card = replace(engine.card, classes=label_classes(["background", "heart"]))
    count = len(engine.asked)
    panel.ui.intoCombo.setCurrentIndex(1)
    for button in (panel.ui.resampleButton, panel.ui.carryButton, panel.ui.segmentButton):
        button.click()
        assert "this model has heart: choose the model that made it" in said(panel)
    settle(panel)
    assert len(engine.asked) == count


def test_a_stroke_leaves_an_open_choice_of_the_match_open(panel, volume, result):
    panel.desk.parameters.reference = reference_of(result.labels())
    settle(panel)
    combo = panel.ui.scoreTable.cellWidget(0, 1)
    paint(result, 1, slice(0, 2), slice(0, 2), 3)
    settle(panel)
    assert panel.ui.scoreTable.cellWidget(0, 1) is combo


def test_a_bscan_is_carried_to_its_neighbours(panel, volume, result, engine):
    panel.ui.nextButton.click()
    panel.ui.carrySpin.setValue(9)
    settle(panel)
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, volume, result.layout, 1)
    panel.ui.carryButton.click()
    settle(panel)
    assert said(panel).startswith("2 B-scans restarted from B-scan 2")
    assert [a["first_slice"] for a in engine.asked[-2:]] == [2, 3]
    show_bscan(panel.desk.view, volume, result.layout, 3)
    panel.ui.carryButton.click()
    assert "is the last one" in said(panel)


def test_what_was_carried_before_a_cancel_stays_and_is_said(panel, volume, result, engine):
    from SPADLib.desk.views import show_bscan

    show_bscan(panel.desk.view, volume, result.layout, 0)
    engine.threshold = 255
    panel.ui.carrySpin.setValue(3)
    panel.ui.carryButton.click()
    for _ in range(300):
        standin.process_events()
        if not (result.labels()[1] == 1).any():
            break
    panel.ui.cancelButton.click()
    assert said(panel).startswith("Cancelled. 1 B-scan restarted from B-scan 1")
    assert not (result.labels()[1] == 1).any()
    assert (result.labels()[3] == 1).any()


def test_a_target_that_was_removed_is_told(panel, volume, result):
    panel.ui.intoCombo.setCurrentIndex(1)
    node = result.segmentation
    panel.segment._filling = True  # as between the removal and the next look
    slicer.mrmlScene.RemoveNode(node)
    panel.segment._filling = False
    panel.segment._targets = [None, node]
    panel.ui.intoCombo.clear()
    panel.ui.intoCombo.addItems(["a new segmentation", "gone"])
    panel.ui.intoCombo.setCurrentIndex(1)
    panel.ui.segmentButton.click()
    assert "was removed from the scene: choose again" in said(panel)


def test_samples_are_stepped_through_and_one_is_taken(panel, volume):
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


# ---------------------------------------------------------------------- save


def test_a_result_is_saved_with_its_sidecar(panel, volume, result, tmp_path):
    standin.dialogs.answer("save file", str(tmp_path / "oct.seg.nrrd"))
    panel.ui.saveButton.click()
    assert said(panel).startswith("Saved:")
    assert (tmp_path / "oct.seg.nrrd").is_file()
    assert json.loads((tmp_path / "oct.spad.json").read_text())["shape"] == list(SHAPE)
    standin.dialogs.answer("save file", str(tmp_path / "oct.png"))
    panel.ui.saveButton.click()
    assert "has no extension that is known here" in said(panel)


def test_dicom_seg_without_its_extension_says_which(panel, result):
    panel.ui.dicomButton.click()
    assert "QuantitativeReporting" in said(panel)


def test_bscans_are_added_to_a_training_set(panel, volume, result, tmp_path):
    panel.ui.addThisButton.click()
    assert "choose a folder for it first" in said(panel)
    folder = tmp_path / "set"
    panel.ui.trainingFolder.setCurrentPath(str(folder))
    assert panel.ui.addCorrectedButton.text() == "Corrected (0)"
    paint(result, 1, slice(0, 2), slice(0, 2), 3)
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


def test_choices_and_results_are_there_again_after_the_scene_is_loaded(
    panel, volume, result, tmp_path
):
    panel.desk.parameters.seed = 7
    file = save_scene(slicer.mrmlScene, tmp_path)
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Connect()
    settle(panel)
    panel.exit()
    panel.enter()
    assert panel.desk.parameters.seed == 7
    found = panel.desk.result
    assert found is not None
    assert found.segmentation is not result.segmentation
    assert np.array_equal(found.labels(), np.where(np.ones(SHAPE, bool), found.proposal(), 0))
    panel.ui.largerButton.click()
    assert "with the same seed" in said(panel)


# ---------------------------------------------------------------------- install, old Slicers


def test_an_old_slicer_is_refused_in_words(app):
    import SPAD

    app.minorVersion = 8
    widget = standin.open_module(SPAD)
    assert widget.desk is None
    labels = [w for w in widget.parent.children() if hasattr(w, "text")]
    (label,) = [w for w in labels if "5.10" in w.text()]
    assert "this is Slicer 5.8" in label.text()


def test_a_missing_engine_is_asked_for_and_nothing_is_installed_unasked(app, monkeypatch):
    import SPAD
    from SPADLib.install import SlicerHost

    ran = []
    monkeypatch.setattr(SlicerHost, "version", lambda self, name: None)
    monkeypatch.setattr(
        SlicerHost, "pip", lambda self, arguments: iter(ran.append(arguments) or [])
    )
    widget = standin.open_module(SPAD)
    assert widget.desk is None
    assert "torch, safetensors, napari-spad must be installed" in widget.install.label.text()
    standin.process_events(0.1)
    assert ran == []
    standin.dialogs.answer("ok/cancel", False)
    widget.install.button.click()
    assert ran == []
    monkeypatch.setattr(app, "testing", True)
    widget.install.button.click()
    standin.process_events(0.2)
    assert "Nothing is installed in a self-test" in widget.install.status.text()
    assert ran == []
