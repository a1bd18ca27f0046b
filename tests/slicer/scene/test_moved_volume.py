"""A volume that is moved, or given its true spacing, after it was segmented: the result follows."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from driving import SHAPE, run, said, settle
from fakes import paint, run_of
from scene import add_volume, save_scene

from spad.cases import Layout
from SPADLib.measure.fovea_node import put_fovea
from SPADLib.scene import Result, ijk_to_ras, place_fovea, results

SPACING = (0.2, 0.004, 0.01)


def made(labels, spacing=SPACING):
    """A result with a stroke, and a segment of the person's own; its labels."""
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=spacing, name="OCT")
    result = Result.create(volume, Layout(), run_of(labels))
    paint(result, 0, slice(0, 2), slice(0, 5), 3)
    return volume, result, result.labels().copy()


def turned():
    """A transform that turns and shifts."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    matrix = np.array([[0.8, -0.6, 0, 5.3], [0.6, 0.8, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def centred(volume):
    """As the button Center Volume."""
    volume.SetOrigin(0.155, 0.046, -0.3)


def shifted(volume):
    """By whole pixels, so that both grids share a lattice."""
    volume.SetOrigin(0.1, 0.04, -0.4)


def scaled(volume):
    volume.SetSpacing(0.011, 0.0039, 0.24)


def put_under(volume):
    volume.SetAndObserveTransformNodeID(turned().GetID())


def hardened(volume):
    put_under(volume)
    volume.HardenTransform()


@pytest.mark.parametrize("move", [centred, shifted, scaled, put_under, hardened])
def test_labels_and_what_is_by_hand_stay_those_of_the_pixels(scene, labels, move):
    volume, result, before = made(labels)
    put_fovea(result, 1.5, 12)
    move(volume)
    assert np.array_equal(result.labels(), before)
    assert result.by_hand().sum() == 10
    assert place_fovea(result) == pytest.approx((1.5, 12))
    changed = result.take(run_of(np.full(SHAPE, 2, np.uint8)), 0)
    assert sum(c.pixels for c in changed) == before.size - 10 - (before == 2).sum()
    assert (result.labels()[0, :2, :5] == 3).all()
    for node in (result.uncertainty_node, result.segmentation):
        assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    assert np.allclose(ijk_to_ras(result.uncertainty_node), ijk_to_ras(volume))
    again = Result.of(result.segmentation)
    assert np.array_equal(again.labels(), result.labels())
    assert again.by_hand().sum() == 10
    assert again.laid == 0


def test_a_spacing_set_right_gives_true_volumes(scene, labels):
    from SPADLib.measure.result_measures import ResultMeasures

    volume, result, _ = made(labels, spacing=(1, 1, 1))
    volume.SetSpacing(0.01, 0.004, 0.2)  # as the section Measure asks
    rows = {r.structure: r.volume_nl for r in ResultMeasures(result).rows() if r.region == "total"}
    nanolitres = 1000 * 0.2 * 0.004 * 0.01
    assert rows["SRF"] == pytest.approx((labels == 1).sum() * nanolitres)
    assert rows["IRF"] == pytest.approx((labels == 2).sum() * nanolitres)


def test_what_is_saved_lies_on_the_volume(scene, labels, tmp_path):
    from SPADLib.read.volume_files import load_segmentation
    from SPADLib.scene import read_segments
    from SPADLib.write.volume_files import save

    volume, result, before = made(labels)
    centred(volume)
    file, _ = save(result, tmp_path / "moved.seg.nrrd")  # nothing has looked at it since
    loaded = load_segmentation(file)
    ids = loaded.GetSegmentation().GetSegmentIDs()
    values = {s: n for n, s in enumerate(ids, start=1)}
    assert np.array_equal(read_segments(loaded, values, volume).labels, before)


def test_what_was_moved_along_or_alone_is_left_where_it_is(scene, labels):
    volume, result, before = made(labels)
    node = turned()
    for one in (volume, result.segmentation):
        one.SetAndObserveTransformNodeID(node.GetID())
    assert np.array_equal(result.labels(), before)
    volume.HardenTransform()
    assert np.array_equal(result.labels(), before)
    result.segmentation.HardenTransform()
    assert np.array_equal(result.labels(), before)
    assert result.laid == 0
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, SPACING[0])
    shift.SetMatrixTransformToParent(matrix)
    result.segmentation.SetAndObserveTransformNodeID(shift.GetID())  # a person's own doing
    assert np.array_equal(result.labels()[2], before[1])
    assert result.laid == 0


def test_other_pixels_at_another_place_are_not_followed(scene, labels):
    """Nobody knows then which pixel was which: a module that turned the volume's axes, say."""
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")
    result = Result.create(volume, Layout(), run_of(labels, image_sha256="another's"))
    segment = result.segmentation.GetSegmentation().GetSegment("SPAD_1")
    image = segment.GetRepresentation("Binary labelmap")
    volume.SetOrigin(0.1, 0.04, -0.4)
    result.labels()
    assert result.laid == 0
    assert image.GetOrigin() == (0, 0, 0)


@pytest.mark.gui
def test_the_panel_says_so_and_its_numbers_follow(panel, panel_volume, panel_result):
    panel.measure.section.setProperty("collapsed", False)
    panel.measure.refresh()
    before, labels = panel.measure._rows[0].volume_nl, panel_result.labels().copy()
    editor = panel.edit.editor.widget.mrmlSegmentEditorNode()
    editor.SetSelectedSegmentID("SPAD_2")
    panel_volume.SetSpacing(0.02, 0.004, 0.2)  # columns twice as far apart
    settle(panel)
    assert "“OCT fake” was laid on its pixels again" in said(panel)
    assert said(panel).endswith("What the Segment Editor could undo before is forgotten.")
    assert np.array_equal(panel_result.labels(), labels)
    assert panel.measure._rows[0].volume_nl == pytest.approx(2 * before)
    assert panel.edit.editor.widget.segmentationNode() is panel_result.segmentation
    assert editor.GetSelectedSegmentID() == "SPAD_2"
    panel.desk.tell("writing")
    paint(panel_result, 0, slice(0, 2), slice(0, 2), 2)
    settle(panel)
    panel.edit.editor.widget.undo()
    assert np.array_equal(panel_result.labels(), labels)
    panel.edit.editor.widget.undo()  # nothing of before the move is left to be undone
    assert np.array_equal(panel_result.labels(), labels)


@pytest.mark.gui
def test_the_bscan_on_screen_stays_the_one_on_screen(panel, panel_volume, panel_result):
    from SPADLib.desk import go_to

    go_to(panel.desk.view, panel_volume, panel_result.layout, 2)
    settle(panel)
    panel_volume.SetOrigin(3, 4, 5)
    settle(panel)
    assert panel.desk.bscan() == 2
    assert panel.ui.viewLabel.text() == "B-scan 3 of 4"
    panel_volume.SetSpacing(0.01, 0.004, 0.5)
    settle(panel)
    assert panel.desk.bscan() == 2


@pytest.mark.gui
def test_another_result_of_the_volume_that_is_the_reference_follows(panel, panel_volume):
    panel.ui.segmentButton.click()
    settle(panel)
    first = panel.desk.result
    panel.ui.segmentButton.click()
    settle(panel)
    panel.desk.parameters.reference = first.segmentation
    settle(panel)
    assert panel.ui.scoreTable.item(0, 1).text() == "1.000"
    shifted(panel_volume)
    settle(panel)
    assert panel.ui.scoreTable.item(0, 1).text() == "1.000"


@pytest.mark.gui
def test_a_default_spacing_that_is_set_as_the_panel_asks_is_measured_at_once(panel):
    image = np.zeros(SHAPE, np.uint8)
    image[:, 10:, 10:] = 200
    volume = add_volume(image, name="OCT")
    panel.desk.parameters.inputVolume = volume
    settle(panel)
    panel.ui.segmentButton.click()
    settle(panel)
    panel.measure.section.setProperty("collapsed", False)
    panel.measure.refresh()
    assert "Set the true one in the module Volumes" in panel.measure.label.text()
    volume.SetSpacing(0.01, 0.004, 0.2)
    settle(panel)
    count = int((image > 0).sum())
    assert panel.measure._rows[0].volume_nl == pytest.approx(1000 * count * 0.2 * 0.004 * 0.01)


def test_the_geometry_that_segments_are_painted_on_is_the_volumes_also_under_a_transform(
    scene, labels
):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")
    put_under(volume)
    result = Result.create(volume, Layout(), run_of(labels))
    assert np.allclose(geometry_of(result), ijk_to_ras(volume), atol=1e-6)


def stroke(panel, result):
    """As a person in the Segment Editor; the labels before."""
    before = result.labels().copy()
    panel.edit.editor.widget.saveStateForUndo()
    paint(result, 0, slice(0, 2), slice(0, 2), 2)
    settle(panel)
    return before


@pytest.mark.gui
def test_a_transform_alone_leaves_the_strokes_that_can_be_undone(panel, panel_volume, panel_result):
    before = stroke(panel, panel_result)
    put_under(panel_volume)
    settle(panel)
    assert "forgotten" not in said(panel)
    panel.edit.editor.widget.undo()
    settle(panel)
    assert np.array_equal(panel_result.labels(), before)


@pytest.mark.gui
def test_an_undo_never_brings_back_what_was_drawn_before_a_transform_was_hardened(
    panel, panel_volume, panel_result
):
    node = turned()
    for one in (panel_volume, panel_result.segmentation):
        one.SetAndObserveTransformNodeID(node.GetID())
    settle(panel)
    stroke(panel, panel_result)
    now = panel_result.labels().copy()
    for one in (panel_volume, panel_result.segmentation):
        one.HardenTransform()
    settle(panel)
    assert said(panel).endswith("What the Segment Editor could undo before is forgotten.")
    panel.edit.editor.widget.undo()
    settle(panel)
    assert np.array_equal(panel_result.labels(), now)


def geometry_of(result):
    """From (i, j, k) to RAS, of the grid that segments are painted on."""
    text = result.segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False)
    image.GetImageToWorldMatrix(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix))


def test_the_geometry_that_version_0_1_left_under_a_transform_is_mended(scene, labels):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")
    put_under(volume)
    result, under = Result.create(volume, Layout(), run_of(labels)), volume.GetTransformNodeID()
    result.segmentation.SetAndObserveTransformNodeID(None)  # in the order of that version
    result.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    result.segmentation.SetAndObserveTransformNodeID(under)
    assert not np.allclose(geometry_of(result), ijk_to_ras(volume), atol=1e-3)
    again = Result.of(result.segmentation)
    assert np.array_equal(again.labels(), labels)
    assert np.allclose(geometry_of(again), ijk_to_ras(volume), atol=1e-6)
    assert again.laid == 0


@pytest.mark.gui
def test_a_mirrored_volume_has_its_bscans_in_their_order_after_the_scene_is_loaded(
    panel, panel_volume, panel_result, tmp_path
):
    """Slicer's reader makes axes right-handed: it turns the slices round."""
    mirror = np.diag([1.0, 1, -1, 1])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "mirror")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(mirror))
    panel_volume.SetAndObserveTransformNodeID(node.GetID())
    panel_volume.HardenTransform()
    settle(panel)
    run(panel)  # a second one of the same volume
    panel.desk.parameters.result = panel_result.segmentation
    paint(panel_result, 1, slice(0, 3), slice(0, 4), 3)
    settle(panel)
    panel.review.review.mark(1, "accepted")
    labels, by_hand = panel_result.labels().copy(), panel_result.by_hand().copy()
    image, grid = slicer.util.arrayFromVolume(panel_volume).copy(), ijk_to_ras(panel_volume)
    slicer.mrmlScene.SetURL(str(save_scene(slicer.mrmlScene, tmp_path)))
    slicer.mrmlScene.Connect()
    settle(panel)
    result = panel.desk.result
    assert np.array_equal(slicer.util.arrayFromVolume(result.volume), image)
    assert np.allclose(ijk_to_ras(result.volume), grid)
    assert np.array_equal(result.labels(), labels)
    assert np.array_equal(result.by_hand(), by_hand)
    assert result.accepted() == {1}
    for one in results(slicer.mrmlScene):
        assert np.allclose(ijk_to_ras(one.uncertainty_node), grid)
    paint(result, 2, slice(0, 2), slice(0, 2), 2)  # and it can be written to
    assert (result.labels()[2, :2, :2] == 2).all()
