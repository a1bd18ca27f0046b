"""A result compared with any reference: how its structures are matched, and that scores keep up."""

from __future__ import annotations

import csv
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from fakes import CLASSES, run_of
from scene import add_volume, save_scene

from spad.checkpoint.labels import IGNORE, label_classes
from spad.metrics import confusion_matrix, hd95, structure_scores
from SPADLib.scene.bscan_layout import Layout
from SPADLib.scene.result import Result
from SPADLib.scene.segments import replace_labels, write_segments
from SPADLib.scene.volumes import array_of
from SPADLib.scene.watch import Watch
from SPADLib.scores.live_scores import LiveScores
from SPADLib.scores.reference import Reference
from SPADLib.scores.score_export import to_csv, to_table

SHAPE = (4, 24, 32)
SPACING = (0.2, 0.004, 0.01)
LABEL_MAP = "vtkMRMLLabelMapVolumeNode"


@pytest.fixture
def volume(scene):
    return add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[1, 2:10, 3:19], out[2, 6:14, 1:12] = 1, 1
    out[2, 16:20, 4:20] = 2
    return out


@pytest.fixture
def truth(labels):
    out = np.roll(labels, (1, 2), (1, 2))
    out[3, 5:9, 5:9] = 3
    return out


@pytest.fixture
def result(volume, labels):
    return Result.create(volume, Layout(), run_of(labels))


def label_map(array, **placed):
    return add_volume(array, **{"spacing": SPACING, "name": "truth", "kind": LABEL_MAP, **placed})


def name_values(node, names):
    """Give a label map a colour table of its own, as an annotator's program does."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "names")
    table.SetTypeToUser()
    table.SetNumberOfColors(max(names) + 1)
    for value, name in names.items():
        table.SetColor(value, name, 1, 0, 0, 1)
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())


def segmentation(volume, labels, names, name="reader 2"):
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    made = []
    for value, text in names.items():
        segment = slicer.vtkSegment()
        segment.SetName(text)
        segment.SetLabelValue(value)
        made.append((f"S{value}", segment))
    write_segments(node, labels, made, volume)
    return node


def paint(result, bscan, rows, columns, value):
    where = np.zeros(result.labels().shape, bool)
    where[bscan, rows, columns] = True
    on_grid = result.layout.volume(where)
    new = np.full(on_grid.shape, value, np.uint8)
    replace_labels(result.segmentation, result.values, result.volume, on_grid, new)


def compare(result, node, **options):
    return LiveScores(result, Reference.of(node, result), **options)


def count(comparison, bscan=None):
    for _ in comparison.distances(bscan):
        pass
    return comparison.rows(bscan)


def assert_as_counted_at_once(comparison, ours, theirs):
    """Rows equal what the engine says of the whole arrays."""
    wanted = structure_scores(confusion_matrix(ours, theirs, len(CLASSES)), CLASSES)
    rows = count(comparison)
    for row, score in zip(rows[:-1], wanted, strict=True):
        np.testing.assert_equal((row.dice, row.iou), (score.dice, score.iou))
        pixel = math.prod(comparison.result.spacing_mm)
        assert row.size == pytest.approx(score.predicted_pixels * pixel)
        assert row.reference_size == pytest.approx(score.reference_pixels * pixel)
        masks = (ours == score.value) & (theirs != IGNORE), theirs == score.value
        np.testing.assert_equal(row.hd95, hd95(*masks, comparison.result.spacing_mm))


# ---------------------------------------------------------------------- matching


def test_segments_are_matched_by_name_whatever_their_values(result, volume, labels):
    theirs = np.choose(labels, [0, 3, 1])
    node = segmentation(
        volume, theirs.astype(np.uint8), {1: "irf", 2: "drusen", 3: "SRF (neuroepithelium)"}
    )
    reference = Reference.of(node, result)
    assert reference.names == {"S1": "irf", "S2": "drusen", "S3": "SRF (neuroepithelium)"}
    assert reference.match == {"S1": 2, "S2": None, "S3": 1}
    assert np.array_equal(reference.labels(), labels)
    assert not reference.resampled
    assert reference.remark == "In the reference only, counted as background: drusen."


def test_a_label_map_is_matched_by_the_names_of_its_own_colour_table(result, labels):
    node = label_map(np.choose(labels, [0, 7, 1]).astype(np.int16))
    name_values(node, {0: "background", 1: "IRF", 7: "SRF"})
    reference = Reference.of(node, result)
    assert reference.names == {"1": "IRF", "7": "SRF"}
    assert reference.match == {"1": 2, "7": 1}
    assert np.array_equal(reference.labels(), labels)
    assert reference.remark == ""


def test_a_label_map_without_names_is_matched_by_value_and_that_is_said(result, labels):
    node = label_map(np.where(labels == 2, 9, labels))
    reference = Reference.of(node, result)
    assert reference.names == {"1": "label 1", "9": "label 9"}
    assert reference.match == {"1": 1, "9": None}
    assert np.array_equal(reference.labels(), np.where(labels == 1, 1, 0))
    assert "matched by value" in reference.remark
    assert "counted as background: label 9." in reference.remark


def test_values_decide_nothing_where_a_label_maps_own_names_say_something_else(result, labels):
    node = label_map(labels)
    name_values(node, {1: "retina", 2: "choroid"})
    reference = Reference.of(node, result)
    assert reference.match == {"1": None, "2": None}
    assert not reference.labels().any()
    assert "No names agree" in reference.remark
    assert "none of the model's structures" in reference.remark
    reference.set_match("1", 1)
    assert np.array_equal(reference.labels(), labels == 1)
    assert reference.remark == "In the reference only, counted as background: choroid."


def test_another_result_is_matched_by_the_classes_behind_its_segments(result, volume, truth):
    other = Result.create(volume, Layout(), run_of(truth))
    inner = other.segmentation.GetSegmentation()
    inner.GetSegment("SPAD_1").SetName("IRF")  # renamed by mistake: it is SRF still
    assert Reference.of(other.segmentation, result).match == {
        "SPAD_1": 1,
        "SPAD_2": 2,
        "SPAD_3": 3,
    }


def test_a_result_of_another_model_is_matched_by_name_and_not_by_number(result, volume, labels):
    run = replace(run_of(labels), classes=label_classes(["background", "IRF", "drusen", "heart"]))
    other = Result.create(volume, Layout(), run)
    assert list(Reference.of(other.segmentation, result).match.values()) == [2, None, None]


def test_a_changed_match_counts_and_is_kept_with_the_scene(result, volume, labels, tmp_path):
    node = segmentation(volume, labels, {1: "fluid", 2: "IRF"})
    reference = Reference.of(node, result)
    assert reference.match == {"S1": None, "S2": 2}
    comparison = LiveScores(result, reference)
    assert [r.word for r in comparison.rows()[:3]] == ["invented", "", "absent in both"]
    reference.set_match("S1", 1)
    reference.set_match("S2", None)
    assert comparison.refresh()
    assert [r.word for r in comparison.rows()[:3]] == ["", "invented", "absent in both"]
    file = save_scene(slicer.mrmlScene, tmp_path)
    again = slicer.vtkMRMLScene()
    again.SetURL(str(file))
    assert again.Connect()
    found = Result.of(again.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
    other = Reference.of(again.GetFirstNodeByName("reader 2"), found)
    assert other.match == {"S1": 1, "S2": None}
    assert compare(found, other.node).rows()[0].dice == 1
    other.set_match("S1", None)
    other.set_match("S2", 2)
    assert found.segmentation.GetAttribute("SPAD.match") == "{}"


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"vtkMRMLSegmentationNode2": 5}'])
def test_a_kept_match_that_makes_no_sense_is_left_out(result, volume, labels, text):
    result.segmentation.SetAttribute("SPAD.match", text)
    reference = Reference.of(add_volume(labels, spacing=SPACING, kind=LABEL_MAP), result)
    assert set(reference.match.values()) <= {1, 2, 3}


def test_a_match_with_what_does_not_exist_is_refused_in_words(result, volume, labels):
    reference = Reference.of(segmentation(volume, labels, {1: "SRF"}), result)
    with pytest.raises(ValueError, match=r"has no structure 'S9' \(it has S1\)"):
        reference.set_match("S9", 1)
    with pytest.raises(ValueError, match=r"8 is no structure of the model, which has \[1, 2, 3\]"):
        reference.set_match("S1", 8)


# ---------------------------------------------------------------------- where it lies


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


# ---------------------------------------------------------------------- the numbers


def test_structures_in_one_map_only_or_in_none_are_said_in_words(result, volume, labels):
    theirs = np.where(labels == 1, 1, 0).astype(np.uint8)
    theirs[0, :3, :3] = 3
    node = label_map(theirs)
    rows = count(compare(result, node))
    assert [r.word for r in rows] == ["", "invented", "missed", "of 3 structures"]
    assert [r.dice for r in rows[:3]] == [1, 0, 0]
    assert [r.hd95 for r in rows[:3]] == [0, math.inf, math.inf]
    assert rows[3].dice == pytest.approx(1 / 3)
    assert [r.worst for r in rows] == [1, 2, 0, None]


def test_a_volume_of_one_bscan_is_scored_as_an_image(scene, labels, truth):
    """In three dimensions each of its pixels would be a border, and the distance too small."""
    volume = add_volume(np.zeros((1, *SHAPE[1:]), np.uint8), spacing=SPACING)
    result = Result.create(volume, Layout(), run_of(labels[2:3]))
    comparison = compare(result, label_map(truth[2:3]))
    rows = count(comparison)
    wanted = hd95(labels[2] == 1, truth[2] == 1, SPACING[1:])
    assert rows[0].hd95 == pytest.approx(wanted)
    assert comparison.size_unit() == "mm²"
    assert rows[0].size == pytest.approx((labels[2] == 1).sum() * 0.004 * 0.01)


def test_one_bscan_of_a_volume_is_scored_by_itself(result, labels, truth):
    comparison = compare(result, label_map(truth))
    row = count(comparison, 2)[0]
    wanted = structure_scores(confusion_matrix(labels[2], truth[2], 4), CLASSES)[0]
    assert row.dice == wanted.dice
    assert row.hd95 == hd95(labels[2] == 1, truth[2] == 1, SPACING[1:])
    assert comparison.rows()[0].hd95 is None


def test_with_a_spacing_that_is_only_assumed_everything_is_in_pixels(result, labels, truth):
    comparison = compare(result, label_map(truth), spacing_trusted=False)
    row = count(comparison)[0]
    assert (comparison.distance_unit, comparison.size_unit()) == ("px", "px")
    assert row.hd95 == hd95(labels == 1, truth == 1)
    assert row.size == (labels == 1).sum()
    comparison.spacing_trusted = True
    assert comparison.rows()[0].hd95 is None
    assert count(comparison)[0].hd95 == hd95(labels == 1, truth == 1, SPACING)


def test_the_scope_is_said_where_a_model_has_not_segmented_all(volume, labels, truth):
    result = Result.create(volume, Layout(), run_of(labels[1:3]), first=1)
    comparison = compare(result, label_map(truth))
    assert comparison.scope() == "2 of 4 B-scans are segmented; the scores are of all."
    assert comparison.scope(0) == "This B-scan is not segmented yet."
    assert comparison.scope(1) == ""


def test_the_worst_place_is_the_largest_disagreement_of_the_worst_bscan(result, labels):
    truth = labels.copy()
    truth[2, 6:14, 1:12] = 0
    truth[2, 7:9, 2:4] = 1
    truth[2, 0:2, 30:32] = 1
    comparison = compare(result, label_map(truth))
    z, row, column = comparison.worst(1)
    assert z == 2
    assert (row, column) == (9.5, 6)
    assert comparison.worst(3) is None
    z, row, column = comparison.worst(2)  # nothing differs: the middle of the structure
    assert (z, row, column) == (2, 17.5, 11.5)


# ---------------------------------------------------------------------- live


def test_scores_follow_edits_of_the_result(result, labels, truth):
    comparison = compare(result, label_map(truth))
    count(comparison)
    assert not comparison.refresh()
    paint(result, 1, slice(0, 6), slice(0, 9), 2)
    paint(result, 3, slice(5, 9), slice(5, 8), 3)
    assert comparison.refresh()
    rows = comparison.rows()
    assert [r.hd95 for r in rows[:3]] == [None] * 3
    now = result.labels()
    assert not np.array_equal(now, labels)
    assert_as_counted_at_once(comparison, now, truth)
    paint(result, 0, slice(0, 1), slice(0, 1), 3)
    assert comparison.refresh()
    rows = comparison.rows()  # the other structures' distances are still true
    assert rows[2].hd95 is None
    assert rows[0].hd95 is not None
    assert_as_counted_at_once(comparison, result.labels(), truth)


def test_an_edit_that_leaves_all_counts_alike_voids_the_distance(result, truth):
    comparison = compare(result, label_map(truth))
    count(comparison)
    before = comparison.rows()[0]
    paint(result, 1, slice(2, 3), slice(3, 4), 0)
    paint(result, 1, slice(23, 24), slice(31, 32), 1)
    assert comparison.refresh()
    after = comparison.rows()[0]
    assert after.dice == before.dice
    assert after.hd95 is None


def test_scores_follow_edits_of_the_reference(result, labels, truth):
    node = label_map(truth)
    comparison = compare(result, node)
    array_of(node)[1] = labels[1]
    slicer.util.arrayFromVolumeModified(node)
    assert comparison.refresh()
    assert not comparison.refresh()
    assert_as_counted_at_once(comparison, labels, array_of(node))


def test_counting_distances_ends_with_an_edit_and_starts_anew(result, truth):
    comparison = compare(result, label_map(truth))
    steps = comparison.distances()
    assert next(steps)[0] == 1
    paint(result, 2, slice(16, 17), slice(4, 6), 0)
    comparison.refresh()
    assert list(steps) == []
    assert [value for value, _ in comparison.distances()] == [2]
    assert_as_counted_at_once(comparison, result.labels(), truth)


def test_a_spacing_set_right_voids_the_distances(result, truth):
    node = label_map(truth)
    comparison = compare(result, node)
    count(comparison)
    for n in (result.volume, node):
        n.SetSpacing(0.02, 0.004, 0.2)
    assert comparison.refresh()
    assert comparison.spacing_mm == (0.2, 0.004, 0.02)
    assert comparison.rows()[0].hd95 is None


def test_one_changed_bscan_of_a_large_volume_is_counted_in_no_time(scene):
    labels = np.zeros((19, 512, 512), np.uint8)
    labels[3:15, 100:300, 50:400] = 1
    volume = add_volume(np.zeros(labels.shape, np.uint8), spacing=SPACING)
    result = Result.create(volume, Layout(), run_of(labels))
    comparison = compare(result, label_map(np.roll(labels, 3, 1)))
    spent = []
    for row in range(5):
        paint(result, 4, slice(row, row + 1), slice(0, 40), 1)
        begin = time.perf_counter()
        assert comparison.refresh()
        comparison.rows()
        spent.append(time.perf_counter() - begin)
    assert min(spent) < 0.1


def test_removed_nodes_are_said_and_not_read(result, truth, scene):
    node = label_map(truth)
    comparison = compare(result, node)
    scene.RemoveNode(node)
    with pytest.raises(ValueError, match="“truth” was removed from the scene"):
        comparison.refresh()
    other = compare(result, label_map(truth))
    scene.RemoveNode(result.volume)
    with pytest.raises(ValueError, match="or its image was removed"):
        other.refresh()


def test_a_watch_hears_edits_of_both_and_nothing_else(result, volume, truth, scene):
    node, heard = label_map(truth), []
    watch = Watch(result.segmentation, node, lambda: heard.append(1))

    def hears(edit):
        heard.clear()
        edit()
        return bool(heard)

    inner = result.segmentation.GetSegmentation()
    assert hears(lambda: paint(result, 0, slice(0, 2), slice(0, 2), 1))
    assert hears(lambda: slicer.util.arrayFromVolumeModified(node))
    assert hears(lambda: inner.AddEmptySegment("own"))
    assert hears(lambda: inner.RemoveSegment("own"))
    assert not hears(lambda: node.GetDisplayNode().Modified())
    assert not hears(lambda: result.segmentation.GetDisplayNode().SetOpacity(0.3))
    assert not hears(lambda: node.SetAttribute("a", "b"))
    watch.stop()
    watch.stop()
    assert not hears(lambda: paint(result, 0, slice(0, 2), slice(0, 2), 2))


def test_a_watch_hears_a_reference_that_is_a_segmentation(result, volume, truth):
    other = Result.create(volume, Layout(), run_of(truth))
    heard = []
    watch = Watch(result.segmentation, other.segmentation, lambda: heard.append(1))
    paint(other, 0, slice(0, 2), slice(0, 2), 1)
    assert heard
    watch.stop()


def test_a_watch_outlives_its_nodes(result, volume, truth, scene):
    node = label_map(truth)
    watch = Watch(result.segmentation, node, lambda: None)
    scene.RemoveNode(node)
    scene.RemoveNode(result.segmentation)
    del node
    watch.stop()
    Watch(result.segmentation, None, lambda: None).stop()


# ---------------------------------------------------------------------- out


def cells(table):
    names = [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]
    return {
        name: [table.GetTable().GetColumn(c).GetValue(r) for r in range(table.GetNumberOfRows())]
        for c, name in enumerate(names)
    }


def test_the_table_has_words_where_there_is_no_number_and_one_node_a_result(
    result, volume, labels, scene
):
    theirs = np.where(labels == 1, 1, 0).astype(np.uint8)
    comparison = compare(result, label_map(theirs))
    table = to_table(comparison, scene)
    shown = cells(table)
    assert shown["structure"] == ["SRF", "IRF", "PED", "mean (of sizes: sum)"]
    assert shown["remark"] == ["", "invented", "absent in both", "of 2 structures"]
    assert shown["Dice"] == ["1.000", "0.000", "absent in both", "0.500"]
    assert shown["HD95 (mm)"] == ["not counted yet", "invented", "absent in both", ""]
    assert shown["worst B-scan"] == ["2", "3", "", ""]
    pixel = math.prod(SPACING)
    sizes = [(labels == v).sum() * pixel for v in (1, 2, 3)]
    assert shown["volume (mm³)"] == pytest.approx([*sizes, sum(sizes)])
    assert not any("nan" in str(value) for column in shown.values() for value in column)
    count(comparison)
    comparison.spacing_trusted = False
    count(comparison)
    again = to_table(comparison, scene)
    assert again is table
    assert cells(table)["HD95 (px)"][0] == "0.0"
    assert cells(table)["pixels"][0] == (labels == 1).sum()
    assert "truth" in table.GetDescription()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parents = [hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in (table, volume)]
    assert parents[0] == parents[1]


def test_the_table_is_the_same_after_saving_and_loading_the_scene(result, truth, scene, tmp_path):
    comparison = compare(result, label_map(truth))
    count(comparison)
    table = to_table(comparison, scene)
    wanted = cells(table)
    file = save_scene(scene, tmp_path)
    again = slicer.vtkMRMLScene()
    again.SetURL(str(file))
    assert again.Connect()
    found = again.GetFirstNodeByName(table.GetName())
    loaded = cells(found)
    assert list(loaded) == list(wanted)
    for name, column in wanted.items():
        assert loaded[name] == (pytest.approx(column) if "volume" in name else column)
    result = Result.of(again.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
    node = again.GetFirstNodeByName("truth")
    assert to_table(compare(result, node), again) is found


def test_a_csv_has_every_bscan_and_the_engines_numbers(result, labels, truth, tmp_path):
    path = tmp_path / "scores.csv"
    comparison = compare(result, label_map(truth))
    to_csv(comparison, path)
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert [r["bscan"] for r in rows[::4]] == ["1", "2", "3", "4", "all"]
    (srf,) = (r for r in rows if (r["bscan"], r["structure"]) == ("all", "SRF"))
    assert srf["reference"] == "truth"
    assert float(srf["hd95"]) == pytest.approx(hd95(labels == 1, truth == 1, SPACING), rel=1e-5)
    assert float(srf["dice"]) == pytest.approx(comparison.rows()[0].dice, rel=1e-5)
    assert (srf["hd95_unit"], srf["size_unit"]) == ("mm", "mm3")


def test_a_csv_of_one_bscan_or_of_an_assumed_spacing_has_true_units(scene, labels, tmp_path):
    volume = add_volume(np.zeros((1, *SHAPE[1:]), np.uint8), spacing=SPACING)
    result = Result.create(volume, Layout(), run_of(labels[1:2]))
    node = label_map(labels[1:2])
    for trusted, units in ((True, ("mm", "mm2")), (False, ("px", "px"))):
        to_csv(compare(result, node, spacing_trusted=trusted), tmp_path / "s.csv")
        row = next(csv.DictReader((tmp_path / "s.csv").read_text("utf-8-sig").splitlines()))
        assert (row["hd95_unit"], row["size_unit"]) == units
