"""Any segmentation or label map as a reference: brought to the grid, or refused in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import slicer
import vtk
from fakes import run_of
from references import (
    LABEL_MAP,
    SHAPE,
    SPACING,
    assert_as_counted_at_once,
    compare,
    label_map,
    segmentation,
)
from scene import add_volume

from spad.cases import Layout
from spad.checkpoint.labels import IGNORE
from SPADLib.scene.result import Result
from SPADLib.scene.watch import Watch
from SPADLib.scores.reference_on_grid import Reference


@pytest.mark.parametrize("code", ["k", "jT", "iUM", "kUM"])
def test_scores_are_the_engines_however_the_volume_is_stored(scene, labels, truth, code):
    layout = Layout.of(code)
    on_grid = layout.volume(labels)
    kji = [0.0] * 3
    for place, n in zip(SPACING, layout.order((0, 1, 2)), strict=True):
        kji[n] = place
    volume = add_volume(np.zeros(on_grid.shape, np.uint8), spacing=tuple(kji))
    result = Result.create(volume, layout, run_of(labels))
    node = label_map(layout.volume(truth), spacing=tuple(kji))
    assert_as_counted_at_once(compare(result, node), labels, truth)


def test_a_flipped_reference_is_resampled_to_the_same_scores(result, labels, truth):
    """The same pixels in space, stored from the other end."""
    node = label_map(
        truth[:, ::-1, ::-1],
        directions=np.diag([1.0, 1.0, 1.0]),
        origin=(-(SHAPE[2] - 1) * SPACING[2], -(SHAPE[1] - 1) * SPACING[1], 0),
    )
    comparison = compare(result, node)
    assert comparison.reference.resampled
    assert_as_counted_at_once(comparison, labels, truth)


def test_a_finer_reference_is_resampled_and_that_is_said(result, labels):
    node = label_map(
        labels.repeat(2, 1).repeat(2, 2),
        spacing=(SPACING[0], SPACING[1] / 2, SPACING[2] / 2),
        origin=(SPACING[2] / 4, SPACING[1] / 4, 0),
    )
    comparison = compare(result, node)
    assert "Resampled from its own grid of 0.2 × 0.002 × 0.005 mm" in comparison.reference.remark
    # By nearest neighbour a border may move by one of the finer pixels, half of ours.
    assert all(r.dice > 0.85 for r in comparison.rows()[:2])


def test_a_segmentation_on_a_grid_of_its_own_is_resampled_and_that_is_said(result, labels, scene):
    fine = labels.repeat(2, 1).repeat(2, 2)
    grid = add_volume(
        fine,
        spacing=(SPACING[0], SPACING[1] / 2, SPACING[2] / 2),
        origin=(SPACING[2] / 4, SPACING[1] / 4, 0),
    )
    comparison = compare(result, segmentation(grid, fine, {1: "SRF", 2: "IRF"}))
    assert "Resampled from its own grid of 0.2 × 0.002 × 0.005 mm" in comparison.reference.remark
    assert all(r.dice > 0.85 for r in comparison.rows()[:2])


def test_a_reference_of_a_part_says_so_and_one_that_lies_elsewhere_is_refused(result, truth):
    comparison = compare(result, label_map(truth[:2]))
    assert "covers a part of the image" in comparison.reference.remark
    assert np.array_equal(comparison.labels[1][:2], truth[:2])
    assert not comparison.labels[1][2:].any()
    away = label_map(truth, origin=(500, 0, 0))
    with pytest.raises(ValueError, match="“truth” lies outside the image “OCT”"):
        compare(result, away)


@pytest.mark.parametrize("thickness", [0.05, 1.0])
def test_a_reference_of_another_thickness_covers_the_same_bscan(scene, labels, thickness):
    volume = add_volume(np.zeros((1, *SHAPE[1:]), np.uint8), spacing=SPACING)
    result = Result.create(volume, Layout(), run_of(labels[1:2]))
    comparison = compare(result, label_map(labels[1:2], spacing=(thickness, *SPACING[1:])))
    assert comparison.rows()[0].dice == 1
    assert "covers" not in comparison.reference.remark


def test_a_reference_that_is_moved_is_read_anew(result, truth, scene):
    node = label_map(truth)
    comparison = compare(result, node)
    heard = []
    watch = Watch(result.segmentation, node, lambda: heard.append(1))
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    node.SetAndObserveTransformNodeID(transform.GetID())
    heard.clear()
    matrix = np.eye(4)
    matrix[0, 3] = 3 * SPACING[2]
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    assert heard
    watch.stop()
    assert comparison.refresh()
    assert np.array_equal(comparison.labels[1][..., :-3], truth[..., 3:])  # columns run to the left


def test_a_reference_of_surfaces_is_compared_and_followed(result, volume, scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    inner = node.GetSegmentation()
    inner.SetSourceRepresentationName("Closed surface")
    box = vtk.vtkCubeSource()
    box.SetBounds(-0.2, -0.1, -0.06, -0.02, 0.1, 0.5)
    box.Update()
    segment = slicer.vtkSegment()
    segment.SetName("SRF")
    segment.AddRepresentation("Closed surface", box.GetOutput())
    inner.AddSegment(segment, "A")
    comparison = compare(result, node)
    k, j, i = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    wanted = (k >= 1) & (k <= 2) & (j >= 5) & (j <= 15) & (i >= 10) & (i <= 20)
    assert (comparison.labels[1] != wanted).mean() < 0.02  # a surface between pixels
    assert (comparison.labels[1] & wanted).sum() > 200
    assert not comparison.refresh()
    inner.RemoveSegment("A")
    assert comparison.refresh()
    assert not comparison.labels[1].any()


def test_overlapping_segments_are_said(result, volume, labels):
    node = segmentation(volume, labels, {1: "SRF"})
    more = np.zeros(SHAPE, np.uint8)
    more[1, 2:4, 3:5] = 1
    extra = slicer.vtkSegment()
    extra.SetName("PED")
    from SPADLib.scene.segments import BINARY
    from SPADLib.scene.volumes import oriented

    extra.AddRepresentation(BINARY, oriented(more, volume))
    node.GetSegmentation().AddSegment(extra, "P")
    reference = Reference.of(node, result)
    reference.labels()
    assert "4 pixels are in several structures" in reference.remark


def test_pixels_of_255_are_not_counted(result, labels, truth):
    truth = truth.copy()
    truth[1], truth[2, 10:] = IGNORE, IGNORE
    comparison = compare(result, label_map(truth))
    assert_as_counted_at_once(comparison, labels, truth)
    assert f"{(24 + 14) * 32} pixels are not annotated" in comparison.reference.remark


def test_what_cannot_be_a_reference_is_refused_in_words(result, volume, labels, scene):
    with pytest.raises(ValueError, match="is the segmentation itself"):
        Reference.of(result.segmentation, result)
    with pytest.raises(ValueError, match="“OCT” is neither a segmentation nor a label map"):
        Reference.of(volume, result)
    with pytest.raises(ValueError, match="no reference is chosen"):
        Reference.of(None, result)
    with pytest.raises(ValueError, match="“none” has no segments"):
        Reference.of(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "none"), result)
    with pytest.raises(ValueError, match="“void” has no pixels"):
        Reference.of(scene.AddNewNodeByClass(LABEL_MAP, "void"), result)
    with pytest.raises(ValueError, match="no value but 255"):
        Reference.of(label_map(np.where(labels == 1, 255, 0).astype(np.uint8)), result)
    with pytest.raises(ValueError, match="not for each instance"):
        Reference.of(label_map(np.arange(math.prod(SHAPE), dtype=np.int32).reshape(SHAPE)), result)


def test_a_label_map_of_a_healthy_eye_is_a_reference(result):
    comparison = compare(result, label_map(np.zeros(SHAPE, np.uint8)))
    words = [r.word for r in comparison.rows()]
    assert words == ["invented", "invented", "absent in both", "of 2 structures"]
