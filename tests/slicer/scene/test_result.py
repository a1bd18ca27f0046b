"""A result's nodes, and that what a person edited outlives every later run."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from fakes import CLASSES, paint, run_of
from scene import add_volume, save_scene

from spad.cases import Layout
from SPADLib.scene.result import Result, results

SHAPE = (4, 12, 16)


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[1, 2:5, 3:9], out[2, 6:9, 1:4] = 1, 2
    return out


@pytest.fixture
def volume(scene):
    return add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="OCT")


def test_a_result_has_every_structure_named_and_coloured_the_empty_ones_too(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    inner = result.segmentation.GetSegmentation()
    assert [inner.GetSegment(s).GetName() for s in result.values] == ["SRF", "IRF", "PED"]
    for segment, value in result.values.items():
        color = inner.GetSegment(segment).GetColor()
        assert np.allclose(color, np.array(CLASSES[value].color) / 255)
    assert np.array_equal(result.labels(), labels)
    assert not result.by_hand().any()
    assert result.segmented == {0, 1, 2, 3}
    assert result.spacing_mm == pytest.approx((0.2, 0.004, 0.01))
    assert result.depth == 4


@pytest.mark.parametrize("code", ["k", "jT", "iUM"])
def test_a_result_lies_where_its_layout_says(volume, code):
    layout = Layout.of(code)
    shape = layout.stack(np.zeros(SHAPE)).shape
    labels = np.zeros(shape, np.uint8)
    labels[1, 0, :3] = 2
    result = Result.create(volume, layout, run_of(labels))
    assert np.array_equal(result.labels(), labels)
    assert np.array_equal(result.read().labels, layout.volume(labels))


def test_all_nodes_of_a_result_are_in_the_study_of_its_volume(volume, labels, scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "somebody")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.CreateItem(study, volume)
    result = Result.create(volume, Layout(), run_of(labels), probability=True)
    for node in (result.segmentation, result.uncertainty_node):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    names = [hierarchy.GetItemName(i) for i in _children(hierarchy, study)]
    assert sum(n.endswith("(%)") for n in names) == 1 + 3


def _children(hierarchy, item):
    import vtk

    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, found)
    return [found.GetId(n) for n in range(found.GetNumberOfIds())]


def test_a_run_of_some_bscans_leaves_the_others_empty_and_unsegmented(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels[1:2]), first=1)
    assert result.segmented == {1}
    wanted = np.zeros_like(labels)
    wanted[1] = labels[1]
    assert np.array_equal(result.labels(), wanted)


def test_painted_pixels_are_by_hand_and_no_later_run_changes_them(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    paint(result, 1, slice(0, 3), slice(0, 5), 3)
    by_hand = result.by_hand()
    assert by_hand[1, :3, :5].all()
    assert by_hand.sum() == 15
    changed = result.take(run_of(np.full(SHAPE, 2, np.uint8)), 0)
    assert sum(c.pixels for c in changed) == np.count_nonzero(labels != 2) - 15 + (
        np.count_nonzero(labels[1, :3, :5] == 2)
    )
    now = result.labels()
    assert (now[1, :3, :5] == 3).all()
    assert (now == 2).sum() == now.size - 15
    assert np.array_equal(result.by_hand(), by_hand)


def test_a_run_for_chosen_structures_touches_no_other(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    new = np.zeros_like(labels)
    new[1, 8:], new[2, 6:9, 1:4] = 1, 3
    result.take(run_of(new), 0, structures=[1])
    now = result.labels()
    assert np.array_equal(now == 1, new == 1)
    assert np.array_equal(now == 2, labels == 2)
    assert not (now == 3).any()


def test_what_a_model_changed_is_taken_back_but_for_what_was_painted_since(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    changed = result.take(run_of(np.full(SHAPE, 3, np.uint8)), 0)
    paint(result, 0, slice(0, 2), slice(0, 2), 1)
    back = result.take_back(changed)
    assert back == sum(c.pixels for c in changed) - 4
    now = result.labels()
    assert (now[0, :2, :2] == 1).all()
    now[0, :2, :2] = 0
    assert np.array_equal(now, labels)
    assert result.by_hand().sum() == 4


def test_a_persons_choice_counts_as_by_hand_and_can_be_taken_back(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    chosen = labels[1].copy()
    chosen[9:] = 2
    change = result.put(1, chosen)
    assert result.by_hand()[1].sum() == change.pixels == 48
    assert result.take_back([change]) == 48
    assert not result.by_hand().any()


def test_a_segment_of_the_persons_own_is_theirs(volume, labels):
    result = Result.create(volume, Layout(), run_of(labels))
    inner = result.segmentation.GetSegmentation()
    own = inner.AddEmptySegment("mine", "mine")
    part = np.zeros(SHAPE, np.uint8)
    part[3, 4:6, 4:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(part, result.segmentation, own, volume)
    assert set(result.values.values()) == {1, 2, 3}
    assert result.by_hand().sum() == 4
    result.take(run_of(np.ones(SHAPE, np.uint8)), 0)
    assert not result.labels()[3, 4:6, 4:6].any()
    assert slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, own, volume).sum() == 4


def test_a_second_run_is_a_second_segmentation(volume, labels, scene):
    first = Result.create(volume, Layout(), run_of(labels))
    second = Result.create(volume, Layout(), run_of(labels * 0))
    assert first.segmentation.GetName() != second.segmentation.GetName()
    assert len(results(scene)) == 2
    assert np.array_equal(first.labels(), labels)


def test_another_models_classes_are_refused_in_words(volume, labels):
    from dataclasses import replace

    from spad.checkpoint.labels import label_classes

    result = Result.create(volume, Layout(), run_of(labels))
    other = replace(run_of(labels), classes=label_classes(["background", "heart", "lung", "rib"]))
    with pytest.raises(ValueError, match="has the structures SRF, IRF, PED, this model has heart"):
        result.take(other, 0)


def test_uncertainty_is_kept_in_percent_and_clear_at_zero(volume, labels):
    doubt = np.zeros(SHAPE)
    doubt[2] = 0.37
    result = Result.create(volume, Layout(), run_of(labels, uncertainty=doubt))
    assert (result.uncertainty()[2] == 37).all()
    assert not result.uncertainty()[0].any()
    table = result.uncertainty_node.GetDisplayNode().GetColorNode()
    rgba = np.zeros(4)
    table.GetColor(0, rgba)
    assert rgba[3] == 0
    table.GetColor(255, rgba)
    assert rgba[3] == 1


def test_probabilities_come_only_on_request(volume, labels, scene):
    before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    Result.create(volume, Layout(), run_of(labels), probability=True)
    named = [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert [n.rpartition("fake ")[2] for n in named if n.endswith("F (%)")] == [
        "SRF (%)",
        "IRF (%)",
    ]
    assert len(named) == before + 2 + 3  # and uncertainty, proposal


def test_a_result_is_whole_again_after_saving_and_loading_the_scene(volume, labels, tmp_path):
    result = Result.create(volume, Layout(), run_of(labels, uncertainty=0.5))
    paint(result, 1, slice(0, 3), slice(0, 5), 3)
    expected = result.labels(), result.by_hand()
    file = save_scene(slicer.mrmlScene, tmp_path)
    again = slicer.vtkMRMLScene()
    again.SetURL(str(file))
    assert again.Connect()
    (found,) = results(again)
    assert np.array_equal(found.labels(), expected[0])
    assert np.array_equal(found.by_hand(), expected[1])
    assert (found.uncertainty() == 50).all()
    assert found.classes == result.classes
    assert found.provenance[0]["checkpoint"]["name"] == "fake"
    display = found.uncertainty_node.GetDisplayNode()
    assert display.GetColorNode().GetNumberOfColors() == 256


def test_a_result_whose_volume_was_removed_is_none(volume, labels, scene):
    result = Result.create(volume, Layout(), run_of(labels))
    node = result.segmentation
    scene.RemoveNode(volume)
    assert Result.of(node) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SPAD.classes", "nonsense"),
        ("SPAD.classes", '[{"name": "x"}]'),
        ("SPAD.classes", "7"),
        ("SPAD.classes", '[{"value": 900, "name": "x", "color": [0, 0, 0]}]'),
        ("SPAD.layout", "zz"),
    ],
)
def test_a_scene_that_says_nonsense_of_a_result_is_borne(volume, labels, scene, name, text):
    node = Result.create(volume, Layout(), run_of(labels)).segmentation
    node.SetAttribute(name, text)
    assert Result.of(node) is None
    assert results(scene) == []


@pytest.mark.parametrize("text", ["nonsense", "{}", '["x", 99, -1]', "7"])
def test_odd_numbers_of_bscans_and_odd_provenance_are_left_out(volume, labels, text):
    result = Result.create(volume, Layout(), run_of(labels))
    result.segmentation.SetAttribute("SPAD.bscans", text)
    result.segmentation.SetAttribute("SPAD.provenance", text)
    assert result.segmented == set()
    assert result.provenance == []


def test_a_segmentation_of_another_origin_is_no_result(scene):
    assert Result.of(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by others")) is None
    assert Result.of(None) is None
