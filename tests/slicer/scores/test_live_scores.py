"""Scores of a result against a reference, and that they keep up with every edit."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import slicer
from fakes import paint, run_of
from references import (
    SHAPE,
    SPACING,
    assert_as_counted_at_once,
    compare,
    count,
    label_map,
)
from scene import add_volume

from spad.cases import Layout
from spad.measuring import Scale
from spad.metrics import hd95
from SPADLib.scene.result import Result
from SPADLib.scene.volumes import array_of, keep_scale


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
    assert comparison.size_unit == "mm²"
    assert rows[0].size == pytest.approx((labels[2] == 1).sum() * 0.004 * 0.01)


def test_with_a_spacing_that_is_only_assumed_everything_is_in_pixels(result, labels, truth):
    comparison = compare(result, label_map(truth), spacing_trusted=False)
    row = count(comparison)[0]
    assert (comparison.distance_unit, comparison.size_unit) == ("px", "px")
    assert row.hd95 == hd95(labels == 1, truth == 1)
    assert row.size == (labels == 1).sum()
    comparison.spacing_trusted = True
    assert comparison.rows()[0].hd95 is None
    assert count(comparison)[0].hd95 == hd95(labels == 1, truth == 1, SPACING)


def test_an_axis_of_unknown_length_is_no_mm_long(scene, labels, truth):
    """Radial B-scans have no distance; their volume's 1 mm says nothing."""
    spacing = (1.0, *SPACING[1:])
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=spacing)
    keep_scale(volume, Scale.of((None, *SPACING[1:])))
    reference = label_map(truth, spacing=spacing)
    comparison = compare(Result.create(volume, Layout(), run_of(labels)), reference)
    row = count(comparison)[0]
    assert (comparison.distance_unit, comparison.size_unit) == ("px", "px")
    assert row.hd95 == hd95(labels == 1, truth == 1)
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING)
    keep_scale(volume, Scale.of((None, *SPACING[1:])))  # and a person typed it since
    comparison = compare(Result.create(volume, Layout(), run_of(labels)), label_map(truth))
    assert (comparison.distance_unit, comparison.spacing_mm) == ("mm", pytest.approx(SPACING))


def test_the_scope_is_said_where_a_model_has_not_segmented_all(volume, labels, truth):
    result = Result.create(volume, Layout(), run_of(labels[1:3]), first=1)
    comparison = compare(result, label_map(truth))
    assert comparison.scope == "2 of 4 B-scans are segmented; the scores are of all."


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
