"""Segments that a person calls otherwise: tables, files and what is recovered call them so, too."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
from driving import run, said, settle
from scene import add_volume

from SPADLib.scene import as_called

NAME, COLOR = "épaisse", (10, 20, 30)


def rename(result, segment: str = "SPAD_1", name: str = NAME) -> None:
    one = result.segmentation.GetSegmentation().GetSegment(segment)
    one.SetName(name)
    one.SetColor(*(level / 255 for level in COLOR))


@pytest.mark.gui
def test_tables_follow_the_name_and_the_model_still_knows_the_structure(
    panel, panel_volume, panel_result, tmp_path
):
    from SPADLib.scores import to_csv
    from SPADLib.write import save

    kind = "vtkMRMLLabelMapVolumeNode"
    truth = panel_result.labels().copy()
    node = add_volume(truth, spacing=(0.2, 0.004, 0.01), name="truth", kind=kind)
    panel.desk.parameters.reference = node
    panel.measure.section.setProperty("collapsed", False)
    settle(panel)
    rename(panel_result)
    settle(panel)
    assert panel.ui.scoreTable.item(0, 0).text() == NAME
    assert panel.ui.scoreTable.item(0, 1).text() == "1.000"
    assert panel.measure.table.item(0, 0).text() == NAME
    to_csv(panel.compare.comparison, tmp_path / "scores.csv")
    assert NAME in (tmp_path / "scores.csv").read_text(encoding="utf-8-sig")
    _, sidecar = save(panel_result, tmp_path / "labels.nii.gz")
    (one,) = [c for c in json.loads(sidecar.read_text())["classes"] if c["value"] == 1]
    assert (one["name"], one["color"]) == (NAME, list(COLOR))
    panel.ui.intoCombo.setCurrentIndex(1)
    run(panel)
    assert said(panel).startswith("0 pixels changed in 0 of 4")  # the model is not refused


@pytest.mark.gui
def test_a_training_set_has_the_models_names_and_that_is_said(
    panel, panel_volume, panel_result, tmp_path
):
    rename(panel_result)
    panel.ui.acceptButton.click()
    panel.ui.trainingFolder.setCurrentPath(str(tmp_path / "set"))
    panel.ui.addCorrectedButton.click()
    settle(panel)
    assert said(panel).endswith(f"The set has “{NAME}” as “SRF”: that is what the model calls it.")
    told = "".join(file.read_text() for file in (tmp_path / "set").rglob("*.json"))
    assert "SRF" in told
    assert NAME not in told


@pytest.mark.gui
def test_a_reference_is_matched_by_the_name_that_the_person_gave(panel, panel_result, panel_volume):
    truth = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "truth")
    truth.GetSegmentation().AddEmptySegment("a", NAME)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (panel_result.labels() == 1).astype(np.uint8), truth, "a", panel_volume
    )
    panel.desk.parameters.reference = truth
    settle(panel)
    assert panel.ui.scoreTable.item(0, 1).text() == "only here"
    rename(panel_result)
    settle(panel)
    assert panel.ui.scoreTable.item(0, 1).text() == "1.000"


@pytest.mark.gui
@pytest.mark.parametrize("name", ["", "x" * 81, "irf"])
def test_a_name_that_cannot_be_one_leaves_the_models(panel_result, name):
    rename(panel_result, name=name)
    called = as_called(panel_result.segmentation)
    assert [c.name for c in called] == [c.name for c in panel_result.classes]
    assert called[1].color == COLOR


@pytest.mark.gui
@pytest.mark.parametrize("with_image", [True, False])
def test_what_is_recovered_has_the_names_and_colours_again(
    panel, panel_volume, panel_result, with_image
):
    from SPADLib.keep.recovery import as_segments, on_volume

    rename(panel_result)
    settle(panel)
    panel.keep.autosave.flush()
    saved = panel.keep.autosave._tracked[panel_result.segmentation.GetID()].saved
    loaded = saved.load()
    if with_image:
        back = on_volume(loaded, saved.folder, panel_volume)
        assert back.classes == panel_result.classes
        node = back.segmentation
        assert as_called(node) == as_called(panel_result.segmentation)
    else:
        node = as_segments(loaded, saved.folder, slicer.mrmlScene)
    segment = node.GetSegmentation().GetSegment("SPAD_1")
    assert segment.GetName() == NAME
    assert tuple(round(255 * level) for level in segment.GetColor()) == COLOR
