"""Results on the disk as they are edited, and back into the scene: pixels, marks, samples, all."""

from __future__ import annotations

import errno
import time

import numpy as np
import pytest
import slicer
import standin
import vtk
from driving import SHAPE, said, settle
from fakes import CLASSES, paint, run_of
from scene import add_volume, save_scene

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def quick(app, monkeypatch):
    """The event loop turns faster."""
    from SPADLib.host import pump
    from SPADLib.keep import autosave

    monkeypatch.setattr(pump, "WAIT_MS", 0)
    monkeypatch.setattr(autosave, "WAIT_MS", 0)


def rest(panel) -> None:
    """Let the panel work until all is on the disk."""
    settle(panel)
    end = time.monotonic() + 20
    while panel.keep.autosave.waiting or panel.keep.autosave._pump.busy:
        standin.process_events(0.01)
        assert time.monotonic() < end


def crash(panel) -> None:
    """End the panel as a crash does: the lock is let go, and nothing else is done."""
    rest(panel)
    autosave = panel.keep.autosave
    autosave.session.close(properly=False)
    autosave.leave = autosave.flush = lambda: None
    standin.close_module("SPAD")


def opened_again(volume=None):
    """The panel of the next start."""
    import SPAD

    panel = standin.open_module(SPAD)
    panel.desk.parameters.checkpoint = "fake"
    panel.desk.parameters.inputVolume = volume
    settle(panel)
    return panel


def image(name: str = "OCT"):
    """The volume of the fixture, opened anew."""
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[:, 10:, 10:] = 200
    pixels[:, 0, 0] = range(len(pixels))
    return add_volume(pixels, spacing=(0.2, 0.004, 0.01), name=name)


def edited(panel, result):
    """Paint, accept a B-scan, add a segment of one's own; what there is then."""
    from SPADLib.scene import structures_of

    paint(result, 2, slice(3, 9), slice(4, 12), 3)
    panel.ui.acceptButton.click()
    inner = result.segmentation.GetSegmentation()
    own = inner.AddEmptySegment("mine", "drusen", (0.1, 0.2, 0.3))
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[1, 5:8, 5:8] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        pixels, result.segmentation, own, result.volume
    )
    assert own not in structures_of(result.segmentation)
    rest(panel)
    return {
        "labels": result.labels(),
        "by hand": result.by_hand(),
        "proposal": result.proposal().copy(),
        "uncertainty": result.uncertainty().copy(),
        "own": result.own(),
        "accepted": result.accepted(),
        "segmented": result.segmented,
        "provenance": result.provenance,
        "classes": result.classes,
        "samples": result.samples,
    }


def test_what_a_crash_took_comes_back_whole_on_its_image(panel, panel_volume, panel_result):
    before = edited(panel, panel_result)
    assert before["by hand"].any()
    assert before["own"].any()
    assert before["accepted"]
    name = panel_result.segmentation.GetName()
    crash(panel)
    slicer.mrmlScene.Clear(0)
    panel = opened_again(image())
    assert panel.ui.offerFrame.isVisibleTo(panel.ui.offerFrame.parentWidget())
    assert f"“{name}” (4 B-scans" in panel.ui.offerLabel.text()
    assert "was not saved when Slicer ended." in panel.ui.offerLabel.text()
    panel.ui.recoverButton.click()
    result = panel.desk.result
    assert said(panel) == f"“{name}” is back on “OCT”."
    assert panel.ui.offerFrame.isHidden()
    for what, found in {
        "labels": result.labels(),
        "by hand": result.by_hand(),
        "proposal": result.proposal(),
        "uncertainty": result.uncertainty(),
        "own": result.own(),
    }.items():
        np.testing.assert_array_equal(found, before[what], what)
    assert result.accepted() == before["accepted"]
    assert result.segmented == before["segmented"]
    assert result.provenance == before["provenance"]
    assert result.classes == before["classes"]
    assert result.samples.keys() == before["samples"].keys()
    np.testing.assert_array_equal(result.samples[2], before["samples"][2])
    paint(result, 0, slice(0, 2), slice(0, 2), 2)  # and it goes on being saved there
    rest(panel)
    (one,) = panel.keep.autosave._tracked.values()
    assert (one.saved.load().labels[0, :2, :2] == 2).all()


def test_without_its_image_the_segments_come_and_the_rest_when_that_is_opened(
    panel, panel_volume, panel_result
):
    before = edited(panel, panel_result)
    crash(panel)
    slicer.mrmlScene.Clear(0)
    panel = opened_again()
    assert "Open the image “OCT” first" in panel.ui.offerLabel.text()
    panel.ui.recoverButton.click()
    assert "are back, without their image" in said(panel)
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    names = [node.GetSegmentation().GetNthSegment(n).GetName() for n in range(4)]
    assert names == ["SRF", "IRF", "PED", "drusen"]
    inner = node.GetSegmentation()
    ped = slicer.util.arrayFromSegmentBinaryLabelmap(node, inner.GetSegmentIDs()[2], image("like"))
    np.testing.assert_array_equal(ped != 0, before["labels"] == 3)
    panel.desk.parameters.inputVolume = image()
    settle(panel)
    assert "was not saved with a scene." in panel.ui.offerLabel.text()
    panel.ui.recoverButton.click()
    np.testing.assert_array_equal(panel.desk.result.labels(), before["labels"])


def test_what_was_saved_is_not_offered_until_it_is_edited(
    panel, panel_volume, panel_result, tmp_path
):
    rest(panel)
    save_scene(slicer.mrmlScene, tmp_path)
    panel.keep.autosave._saved.start(0)
    standin.process_events(0.05)
    crash(panel)
    panel = opened_again(panel_volume)
    assert panel.ui.offerFrame.isHidden()
    panel.desk.parameters.result = panel_result.segmentation
    paint(panel.desk.result, 1, slice(0, 4), slice(0, 4), 2)
    crash(panel)
    panel = opened_again()
    assert not panel.ui.offerFrame.isHidden()


@pytest.mark.parametrize("stroke", [False, True])
def test_a_scene_that_is_closed_as_soon_as_it_was_saved_is_not_offered(
    panel, panel_volume, panel_result, tmp_path, stroke
):
    """As by *Save* in the question that comes with *Close scene*."""
    edited(panel, panel_result)
    if stroke:
        paint(panel_result, 1, slice(0, 4), slice(0, 4), 2)
    save_scene(slicer.mrmlScene, tmp_path)
    slicer.mrmlScene.Clear(0)
    settle(panel)
    panel.desk.parameters.inputVolume = image()
    settle(panel)
    assert panel.ui.offerFrame.isHidden()


def test_a_scene_closed_unsaved_is_offered_with_its_image_only(panel, panel_volume, panel_result):
    before = edited(panel, panel_result)
    slicer.mrmlScene.Clear(0)
    settle(panel)
    assert panel.ui.offerFrame.isHidden()
    panel.desk.parameters.inputVolume = add_volume(np.ones(SHAPE, np.uint8), name="another")
    settle(panel)
    assert panel.ui.offerFrame.isHidden()
    panel.desk.parameters.inputVolume = image()
    settle(panel)
    assert "was not saved with a scene." in panel.ui.offerLabel.text()
    panel.ui.recoverButton.click()
    np.testing.assert_array_equal(panel.desk.result.labels(), before["labels"])
    standin.close_module("SPAD")  # properly
    panel = opened_again()
    assert panel.ui.offerFrame.isHidden()


def test_a_full_disk_is_said_once_and_tried_again(panel, panel_volume, panel_result, monkeypatch):
    from spad.autosave import AutosavedLayer

    rest(panel)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(AutosavedLayer, "save_bscan", full)
        paint(panel_result, 1, slice(0, 4), slice(0, 4), 2)
        settle(panel)
        standin.process_events(0.05)
        assert f"cannot write to {panel.keep.autosave.root} (No space left on" in said(panel)
        assert "free some space there" in said(panel)
        assert "Errno" not in said(panel) + panel.ui.keptLabel.text()
        assert "Not autosaved" in panel.ui.keptLabel.text()
        assert panel.keep.autosave.waiting
    panel.keep.autosave._again.start(0)
    rest(panel)
    assert panel.ui.keptLabel.text().startswith("Autosaved ")
    (one,) = panel.keep.autosave._tracked.values()
    assert (one.saved.load().labels[1, :4, :4] == 2).all()


def test_what_another_program_takes_away_is_saved_anew(panel, panel_volume, panel_result, tmp_path):
    before = edited(panel, panel_result)
    (one,) = panel.keep.autosave._tracked.values()
    one.saved.folder.parent.rename(tmp_path / "taken")
    paint(panel_result, 1, slice(0, 4), slice(0, 4), 2)
    rest(panel)
    back = one.saved.load()
    assert (back.labels[1, :4, :4] == 2).all()
    np.testing.assert_array_equal(back.labels[2], before["labels"][2])
    assert back.model
    assert list(one.saved.folder.glob("own-*/b-0001.npz"))


def test_a_stroke_just_before_another_result_is_chosen_is_kept(panel, panel_volume, panel_result):
    rest(panel)
    paint(panel_result, 1, slice(0, 4), slice(0, 4), 2)
    panel.desk.parameters.result = None
    rest(panel)
    (one,) = panel.keep.autosave._tracked.values()
    assert (one.saved.load().labels[1, :4, :4] == 2).all()


@pytest.mark.parametrize("damage", ["a B-scan", "the header"])
def test_damage_costs_what_it_hit_alone(panel, panel_volume, panel_result, damage):
    before = edited(panel, panel_result)
    (one,) = panel.keep.autosave._tracked.values()
    crash(panel)
    file = one.saved.folder / {"a B-scan": "b-0002.npz", "the header": "layer.json"}[damage]
    file.write_bytes(file.read_bytes()[:40])
    slicer.mrmlScene.Clear(0)
    panel = opened_again(image())
    panel.ui.recoverButton.click()
    if damage == "a B-scan":
        assert "B-scan 3 of" in said(panel)
        labels = panel.desk.result.labels()
        np.testing.assert_array_equal(labels[2], before["proposal"][2])  # the model's, at least
        np.testing.assert_array_equal(labels[[0, 1, 3]], before["labels"][[0, 1, 3]])
        assert not panel.desk.result.by_hand()[2].any()
    else:
        assert "cannot be read" in said(panel)
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert node.GetSegmentation().GetNumberOfSegments() == 3


def test_later_and_delete(panel, panel_volume, panel_result):
    crash(panel)
    panel = opened_again()
    panel.ui.laterButton.click()
    assert panel.ui.offerFrame.isHidden()
    standin.close_module("SPAD")
    panel = opened_again()
    standin.dialogs.answer("yes/no", False, True)
    panel.ui.forgetButton.click()
    assert not panel.ui.offerFrame.isHidden()
    panel.ui.forgetButton.click()
    assert panel.ui.offerFrame.isHidden()
    assert not [*panel.keep.autosave.root.glob("*/*")]


def test_oblique_turned_and_mirrored_comes_back_where_it_was(scene, tmp_path):
    from spad.autosave import AutosavedLayer
    from spad.cases import Layout
    from SPADLib.keep.recovery import as_segments, on_volume
    from SPADLib.keep.saved_result import SavedResult
    from SPADLib.scene import Result, read_segments

    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    pixels = np.random.default_rng(1).integers(0, 255, (5, 6, 7), np.uint8)
    volume = add_volume(pixels, spacing=(0.2, 0.3, 0.4), directions=turn, origin=(5, 6, 7))
    layout = Layout.of("jTUM")
    labels = np.random.default_rng(2).integers(0, len(CLASSES), (6, 7, 5)).astype(np.uint8)
    result = Result.create(volume, layout, run_of(labels, uncertainty=0.37))
    saved = SavedResult(result, AutosavedLayer(tmp_path / "a"))
    saved.look()
    for _ in saved.writes():
        pass
    loaded = AutosavedLayer(tmp_path / "a").load()
    assert not loaded.problems
    again = on_volume(loaded, tmp_path / "a", volume)
    np.testing.assert_array_equal(again.labels(), labels)
    np.testing.assert_array_equal(again.uncertainty(), 37)
    assert again.layout == layout
    node = as_segments(AutosavedLayer(tmp_path / "a").load(), tmp_path / "a", scene)
    segments = node.GetSegmentation()
    values = {segments.GetNthSegmentID(n): n + 1 for n in range(segments.GetNumberOfSegments())}
    found = read_segments(node, values, volume)
    assert not found.resampled
    np.testing.assert_array_equal(layout.stack(found.labels), labels)


def test_lines_that_a_crash_took_come_back_to_the_last_bit(panel, panel_volume, panel_result):
    from SPADLib.lines import line_sets

    settle(panel)
    panel.lines.structures.setCurrentIndex(0)
    panel.lines.band.click()
    plane = panel.lines.editing.lines.plane(1)
    plane[0, 10:20] = 7.3
    panel.lines.editing.change(1, plane)
    expected = panel.lines.editing.lines.heights.copy()
    crash(panel)
    slicer.mrmlScene.Clear(0)
    panel = opened_again()
    panel.ui.recoverButton.click()
    assert "The lines “OCT – SRF” come back when you open their image" in said(panel)
    volume = image()
    panel.desk.parameters.inputVolume = volume
    settle(panel)
    panel.ui.recoverButton.click()
    assert "“OCT – SRF” is back over “OCT”: Correct, Lines." in said(panel)
    (found,) = line_sets(volume, 0)
    np.testing.assert_array_equal(found.heights, expected)
    assert found.names == ("SRF top", "SRF bottom")
    assert found.band == (panel.desk.result.segmentation, 1)
    panel.lines.which.setCurrentIndex(1)
    np.testing.assert_array_equal(panel.desk.result.labels()[1, 8:10, 10:20], 1)


def test_what_a_run_wrote_while_another_result_was_chosen_is_saved(
    panel, panel_volume, panel_result, panel_worker
):
    first = panel_result
    paint(first, 2, slice(3, 9), slice(4, 12), 3)
    rest(panel)
    panel.ui.segmentButton.click()
    settle(panel)
    second = panel.desk.result
    panel.desk.parameters.result = first.segmentation
    settle(panel)
    panel.ui.learnButton.click()
    panel.desk.parameters.result = second.segmentation
    rest(panel)
    assert "drafted anew" in said(panel)
    assert not first.labels()[0].any()  # the one that has learnt finds nothing
    saved = panel.keep.autosave._tracked[first.segmentation.GetID()].saved.load()
    np.testing.assert_array_equal(saved.labels, first.labels())


@pytest.mark.parametrize("with_image", [True, False])
def test_own_segments_keep_their_code_and_structures_that_were_removed_stay_away(
    panel, panel_volume, panel_result, with_image
):
    inner = panel_result.segmentation.GetSegmentation()
    edited(panel, panel_result)
    own, code = inner.GetSegment("mine"), "Mine~SCT^49755003^Lesion~SCT^1^Drusen~^^~Any~^^~^^"
    own.SetTag(own.GetTerminologyEntryTagName(), code)
    own.SetName("scar")
    own.SetColor(0.5, 0.25, 0.75)
    inner.RemoveSegment("SPAD_2")
    rest(panel)
    before = panel_result.labels()
    crash(panel)
    slicer.mrmlScene.Clear(0)
    panel = opened_again(image() if with_image else None)
    panel.ui.recoverButton.click()
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    inner = node.GetSegmentation()
    assert [inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()] == ["SRF", "PED", "scar"]
    back = inner.GetSegment(inner.GetSegmentIDs()[-1])
    entry = vtk.reference("")
    assert back.GetTag(back.GetTerminologyEntryTagName(), entry)
    assert (str(entry), back.GetColor()) == (code, (0.5, 0.25, 0.75))
    if with_image:
        np.testing.assert_array_equal(panel.desk.result.labels(), before)
