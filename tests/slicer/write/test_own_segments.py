"""Segments of the person's own are saved and measured for themselves, whatever became of others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
from fakes import run_of
from scene import add_volume

from spad.cases import Layout
from spad.cohort.measuring_file import MeasureJob, measured
from spad.pictures import read_labels
from SPADLib.scene.result import Result
from SPADLib.write.volume_files import SUFFIXES, save

SHAPE = (4, 12, 16)
SPACING = (0.2, 0.004, 0.01)
VOXEL_NL = 1000 * np.prod(SPACING)


@pytest.fixture
def result(scene):
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:5, 3:9], labels[2, 6:9, 1:4], labels[3, 0, 0] = 1, 2, 3
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=SPACING, name="OCT")
    return Result.create(volume, Layout(), run_of(labels))


def put(result, segment, place, volume=None):
    """Give a segment pixels, on the grid of the result's volume or of another."""
    volume = volume or result.volume
    part = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    part[place] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(part, result.segmentation, segment, volume)


def pixels(result, folder, suffix):
    """Pixels of each structure, in the order of the table, as `spad measure` counts them."""
    save(result, folder / f"a{suffix}")
    rows = measured(folder / "a.spad.json", MeasureJob()).visit.rows
    return [(row.structure, round(row.volume_nl / VOXEL_NL)) for row in rows]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_is_not_taken_for_a_structure_whose_segment_was_removed(result, tmp_path, suffix):
    inner = result.segmentation.GetSegmentation()
    inner.RemoveSegment("SPAD_3")
    put(result, inner.AddEmptySegment("drusen", "drusen"), np.s_[3, 4:6, 4:6])
    found = pixels(result, tmp_path, suffix)
    assert found == [("SRF", 18), ("IRF", 9), ("PED", 0), ("drusen", 4)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("first", [True, False])
def test_a_copy_of_a_structure_is_not_counted_as_the_structure(result, tmp_path, suffix, first):
    inner = result.segmentation.GetSegmentation()
    copy = slicer.vtkSegment()
    copy.DeepCopy(inner.GetSegment("SPAD_2"))  # with its tag, as Segment Editor's Duplicate does
    copy.SetName("reader 2")
    inner.AddSegment(copy, "SPAD_2_1")
    if first:
        inner.ReorderSegments(["SPAD_2_1"], "SPAD_1")
    put(result, "SPAD_2_1", np.s_[0, 0:2, 0:3])
    found = pixels(result, tmp_path, suffix)
    assert found == [("SRF", 18), ("IRF", 9), ("PED", 1), ("reader 2", 6)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_that_reaches_beyond_the_volume_leaves_the_others_in_their_places(
    result, tmp_path, suffix
):
    before = result.labels()
    larger = add_volume(
        np.zeros((6, 20, 24), np.uint8), spacing=SPACING, origin=(0.04, 0.016, -0.2), name="larger"
    )
    segment = result.segmentation.GetSegmentation().AddEmptySegment("scar", "scar")
    put(result, segment, np.s_[0, 0:2, 0:2], larger)
    put(result, segment, np.s_[3, 10:13, 10:13], larger)  # the volume begins at 1, 4, 4 there
    put(result, segment, np.s_[3:5, 15, 18], larger)
    found = pixels(result, tmp_path, suffix)
    assert found == [("SRF", 18), ("IRF", 9), ("PED", 1), ("scar", 2)]
    told = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    labels, _ = read_labels(tmp_path / f"a{suffix}", told)
    np.testing.assert_array_equal(np.where(labels > 3, 0, labels), before)
    assert labels[2:4, 11, 14].tolist() == [4, 4]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_names_of_the_persons_own_cost_nothing(result, tmp_path, suffix):
    inner = result.segmentation.GetSegmentation()
    for segment, name, column in (("a", "x" * 99, 2), ("b", "IRF", 5), ("c", "two\tparts", 8)):
        put(result, inner.AddEmptySegment(segment, name), np.s_[0, 0:2, column : column + 2])
    inner.GetSegment(inner.AddEmptySegment("d", "d")).SetName("")
    put(result, "d", np.s_[0, 0, 12])
    found = pixels(result, tmp_path, suffix)
    names = ["x" * 80, "IRF (2)", "two parts", "segment 7"]
    assert found[3:] == [*zip(names, [4, 4, 4, 1], strict=True)]
    assert inner.GetSegment("a").GetName() == "x" * 99


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shift", [(-0.0025, -0.001, 0), (0, 0, 0)])
def test_a_segmentation_on_a_grid_of_its_own_is_never_read_as_if_on_the_images(
    result, tmp_path, suffix, shift
):
    fine = add_volume(
        np.zeros((4, 24, 32), np.uint8), spacing=(0.2, 0.002, 0.005), origin=shift, name="fine"
    )
    result.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(fine)
    put(result, "SPAD_1", np.s_[1, 4:10, 6:18], fine)
    put(result, "SPAD_2", np.s_[2, 12:18, 2:8], fine)
    put(result, "SPAD_3", np.s_[3, 0:2, 0:2], fine)
    if suffix == ".seg.nrrd":
        with pytest.raises(ValueError, match=r"a grid of its own.*save it as \.nrrd or \.nii\.gz"):
            pixels(result, tmp_path, suffix)
    else:
        assert pixels(result, tmp_path, suffix) == [("SRF", 18), ("IRF", 9), ("PED", 1)]
