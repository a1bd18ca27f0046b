"""Volumes and segmentations become arrays and come back, however they lie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import slicer
import vtk
from scene import add_volume

from spad.cases import Layout
from SPADLib.scene.bscan_layout import guess
from SPADLib.scene.segments import labels_of_volume, read_segments, replace_labels, write_segments
from SPADLib.scene.volumes import array_of, directions_of, spacing_of

OBLIQUE = np.linalg.qr(np.array([[2.0, 0.3, 0.1], [-0.2, 1.5, 0.4], [0.1, -0.5, 1.0]]))[0]
FLIPPED = np.diag([1.0, -1.0, -1.0])


def all_layouts():
    return [Layout(a, *f) for a in range(3) for f in itertools.product((False, True), repeat=3)]


@pytest.mark.parametrize("layout", all_layouts(), ids=lambda one: one.code)
def test_a_layout_is_undone_exactly_for_pixels_places_and_codes(layout):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    stack = layout.stack(array)
    assert np.array_equal(layout.volume(stack), array)
    assert Layout.of(layout.code) == layout
    for place in np.ndindex(stack.shape):
        index = layout.index(place, array.shape)
        assert array[tuple(int(n) for n in index)] == stack[place]
        assert layout.place(index, array.shape) == place
    assert layout.order(array.shape) == stack.shape


def test_four_quarter_turns_are_none_and_one_is_clockwise():
    array = np.arange(6).reshape(1, 2, 3)
    for layout in all_layouts():
        turned = layout.rotated()
        one = np.arange(24).reshape(2, 3, 4)
        assert np.array_equal(turned.stack(one)[0], np.rot90(layout.stack(one)[0], -1))
        assert turned.rotated().rotated().rotated() == layout
    assert np.array_equal(Layout().rotated().stack(array)[0], [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize("code", ["", "x", "kX", "kk"])
def test_what_is_no_layout_is_refused(code):
    with pytest.raises(ValueError, match="no layout"):
        Layout.of(code)


def test_pictures_and_stacks_of_pictures_are_read_as_they_are_stored(scene):
    volume = add_volume(np.zeros((19, 496, 512), np.uint8), spacing=(0.24, 0.004, 0.011))
    layout, why = guess(array_of(volume).shape, spacing_of(volume), directions_of(volume))
    assert layout == Layout()
    assert "19" in why


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_however_a_volume_is_stored_its_bscans_come_out_alike(scene, flips, order):
    """Columns to the left, rows to posterior, in the axial plane: as the slice view shows them."""
    wanted = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)
    axes = np.array([[0, 0, 1.0], [0, -1.0, 0], [-1.0, 0, 0]])  # B-scan, row, column in RAS
    spacing = np.array([0.5, 0.004, 0.01])
    stored = wanted.transpose(order)[tuple(slice(None, None, f) for f in flips)]
    kji = axes[list(order)] * np.array(flips)[:, None]
    volume = add_volume(stored, spacing=tuple(spacing[list(order)]), directions=kji[::-1].T)
    layout, _ = guess(array_of(volume).shape, spacing_of(volume), directions_of(volume))
    found = layout.stack(array_of(volume))
    if flips[order.index(0)] < 0:
        found = found[::-1]  # B-scans keep the order in which they are stored
    assert np.array_equal(found, wanted)


def make(scene, labels, volume, count=3):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
    node.CreateDefaultDisplayNodes()
    segments = []
    for value in range(1, count + 1):
        segment = slicer.vtkSegment()
        segment.SetName(f"s{value}")
        segment.SetLabelValue(value)
        segments.append((f"S{value}", segment))
    write_segments(node, labels, segments, volume)
    return node, {f"S{v}": v for v in range(1, count + 1)}


@pytest.fixture
def labels():
    out = np.zeros((4, 12, 16), np.uint8)
    out[1, 2:5, 3:9], out[2, 6:9, 1:4], out[3, 10:, 14:] = 1, 2, 2
    return out


@pytest.mark.parametrize("directions", [None, OBLIQUE, FLIPPED])
def test_segments_come_back_as_they_were_written_in_one_layer(scene, labels, directions):
    volume = add_volume(
        np.zeros(labels.shape, np.int16), spacing=(3, 1, 0.5), directions=directions
    )
    node, values = make(scene, labels, volume)
    read = read_segments(node, values, volume)
    assert np.array_equal(read.labels, labels)
    assert not read.resampled
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert [node.GetSegmentation().GetSegment(s).GetName() for s in values] == ["s1", "s2", "s3"]


def test_a_segmentation_under_its_volumes_transform_is_read_whole(scene, labels):
    volume = add_volume(np.zeros(labels.shape), spacing=(3, 1, 0.5), directions=OBLIQUE)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = OBLIQUE, (10, 20, 30)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node, values = make(scene, labels, volume)
    assert np.array_equal(read_segments(node, values, volume).labels, labels)


def test_a_segmentation_whose_volume_was_moved_is_resampled_through_the_world(scene, labels):
    volume = add_volume(np.zeros(labels.shape), spacing=(3, 1, 0.5))
    node, values = make(scene, labels, volume)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    moved = np.eye(4)
    moved[0, 3] = 1.0  # two columns to the right
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    read = read_segments(node, values, volume)
    assert read.resampled
    wanted = np.zeros_like(labels)
    wanted[..., 2:] = labels[..., :-2]
    assert np.array_equal(read.labels, wanted)


def test_reading_pixels_painted_in_another_layer_counts_the_overlap(scene, labels):
    volume = add_volume(np.zeros(labels.shape))
    node, values = make(scene, labels, volume)
    extra = slicer.vtkSegment()
    extra.SetName("extra")
    part = np.zeros(labels.shape, np.uint8)
    part[1, 2:4, 3:5] = 1
    from SPADLib.scene.volumes import oriented

    extra.AddRepresentation("Binary labelmap", oriented(part, volume))
    node.GetSegmentation().AddSegment(extra, "E")
    read = read_segments(node, {**values, "E": 3}, volume)
    assert read.overlap == 4
    assert np.count_nonzero(read.labels == 3) == 4


def test_replacing_pixels_changes_those_and_tells_who_watches(scene, labels):
    volume = add_volume(np.zeros(labels.shape))
    node, values = make(scene, labels, volume)
    heard = []
    node.GetSegmentation().AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: heard.append(1)
    )
    where = np.zeros(labels.shape, bool)
    where[1, :4] = True
    new = np.full(labels.shape, 3, np.uint8)
    replace_labels(node, values, volume, where, new)
    read = read_segments(node, values, volume).labels
    assert np.array_equal(read, np.where(where, 3, labels))
    assert heard
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_segments_of_the_persons_own_are_not_touched(scene, labels):
    volume = add_volume(np.zeros(labels.shape))
    node, values = make(scene, labels, volume)
    ours = {s: v for s, v in values.items() if v != 2}
    where = np.ones(labels.shape, bool)
    replace_labels(node, ours, volume, where, np.ones(labels.shape, np.uint8))
    read = read_segments(node, values, volume).labels
    assert np.array_equal(read == 2, labels == 2)
    assert (read[labels != 2] == 1).all()


def test_cropped_and_empty_segments_are_read_where_they_are(scene, labels):
    """The Segment Editor shrinks a label map to what is in it."""
    volume = add_volume(np.zeros(labels.shape), spacing=(3, 1, 0.5), directions=OBLIQUE)
    node, values = make(scene, labels, volume)
    image = node.GetSegmentation().GetSegment("S1").GetRepresentation("Binary labelmap")
    box = vtk.vtkExtractVOI()
    box.SetInputData(image)
    box.SetVOI(1, 15, 2, 11, 1, 3)
    box.Update()
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    cropped = slicer.vtkOrientedImageData()
    cropped.DeepCopy(box.GetOutput())
    cropped.SetGeometryFromImageToWorldMatrix(matrix)
    image.DeepCopy(cropped)
    assert image.GetExtent()[4] == 1
    assert np.array_equal(read_segments(node, values, volume).labels, labels)
    where = np.zeros(labels.shape, bool)
    where[0, 0, 0] = True
    replace_labels(node, values, volume, where, np.full(labels.shape, 3, np.uint8))
    assert np.array_equal(read_segments(node, values, volume).labels, np.where(where, 3, labels))


def test_a_label_map_of_another_grid_is_resampled_to_the_volumes(scene):
    volume = add_volume(np.zeros((2, 8, 8)), spacing=(1, 1, 1))
    fine = np.zeros((2, 16, 16), np.int16)
    fine[:, 4:8, 8:12] = 7
    other = add_volume(
        fine, spacing=(1, 0.5, 0.5), origin=(0.25, 0.25, 0), kind="vtkMRMLLabelMapVolumeNode"
    )
    read = labels_of_volume(other, volume)
    assert read.resampled
    wanted = np.zeros((2, 8, 8))
    wanted[:, 2:4, 4:6] = 7
    assert np.array_equal(read.labels, wanted)


def test_a_volume_of_fractions_is_no_label_map(scene):
    volume = add_volume(np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="whole number"):
        labels_of_volume(add_volume(np.full((2, 8, 8), 0.5), name="soft"), volume)


def test_a_volume_without_pixels_is_told(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(ValueError, match="“empty” has no pixels"):
        array_of(empty)
