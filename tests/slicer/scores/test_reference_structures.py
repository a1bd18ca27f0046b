"""Which structure of the model each structure of a reference is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from fakes import run_of
from references import (
    LABEL_MAP,
    SPACING,
    compare,
    label_map,
    name_values,
    segmentation,
)
from scene import add_volume, save_scene

from spad.cases import Layout
from spad.checkpoint.labels import label_classes
from SPADLib.scene.result import Result, results
from SPADLib.scores.live_scores import LiveScores
from SPADLib.scores.reference_on_grid import Reference


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


def test_of_segments_that_differ_by_case_the_one_spelt_as_the_structure_is_meant(
    result, volume, labels
):
    theirs = np.where(labels == 2, 3, labels)
    node = segmentation(volume, theirs, {1: "SRF", 2: "IRF", 3: "srf"})
    reference = Reference.of(node, result)
    assert reference.match == {"S1": 1, "S2": 2, "S3": None}
    assert np.array_equal(reference.labels(), np.where(labels == 1, 1, 0))
    assert reference.remark == "In the reference only, counted as background: srf."


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


def test_matches_are_those_of_their_own_references_after_a_scene_is_added(
    result, volume, labels, tmp_path
):
    """Of two scenes whose nodes had the same ids."""
    first = segmentation(volume, labels, {1: "fluid", 2: "IRF"})
    Reference.of(first, result).set_match("S1", 1)
    second = segmentation(volume, labels, {1: "fluid", 2: "IRF"})
    Reference.of(second, result).set_match("S1", 3)
    second.SetName("reader 3")
    file, scene = save_scene(slicer.mrmlScene, tmp_path), slicer.vtkMRMLScene()
    scene.SetURL(str(file))
    assert scene.Connect()
    segmentations = "vtkMRMLSegmentationNode"
    (there,) = results(scene)
    Reference.of(scene.GetFirstNodeByName("reader 2"), there).set_match("S1", 2)
    before = [scene.GetNthNodeByClass(n, segmentations).GetID() for n in range(3)]
    assert scene.Import()
    nodes = [scene.GetNthNodeByClass(n, segmentations) for n in range(6)]
    assert {n.GetID() for n in nodes}.issuperset(before)
    came = [n for n in nodes if n.GetID() not in before]
    (added,) = (r for r in results(scene) if r.segmentation in came)
    for name, ours, theirs in (("reader 2", 2, 1), ("reader 3", 3, 3)):
        (old,) = (n for n in nodes if n.GetName() == name and n not in came)
        (new,) = (n for n in came if n.GetName().startswith(name))
        assert Reference.of(old, there).match["S1"] == ours
        assert Reference.of(new, added).match["S1"] == theirs
        assert Reference.of(old, added).match["S1"] is None
    reference = Reference.of(scene.GetFirstNodeByName("reader 3"), there)
    reference.set_match("S1", None)
    assert reference.match["S1"] is None
    assert Reference.of(scene.GetFirstNodeByName("reader 2"), there).match["S1"] == 2


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
