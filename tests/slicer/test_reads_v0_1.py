"""A scene and files that version 0.1 saved: the result, its review, reference and scores are back.

`tests/recorded/make_v0_1.py` tells how they were made.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import slicer
from files_of_v0_1 import V0_1, arrays

from spad.phantom import stack
from SPADLib.correct.review_records import Review
from SPADLib.read.volume_files import load_segmentation
from SPADLib.scene import Result, open_image, read_segments, results
from SPADLib.scores import LiveScores, Reference
from SPADLib.scores.spreadsheet import to_table

EXPECTED = json.loads((V0_1 / "slicer" / "expected.json").read_text("utf-8"))
EYE = stack(49, shape=(3, 32, 48))


@pytest.fixture
def result(scene, tmp_path: Path) -> Result:
    """The one result of the scene, which is loaded."""
    folder = tmp_path / "scene"
    shutil.copytree(V0_1 / "slicer" / "scene", folder)
    scene.SetURL(str(folder / "scene.mrml"))
    assert scene.Connect()
    (found,) = results(scene)
    return found


def test_the_result_is_whole(result):
    expected = arrays("slicer/expected.npz")
    assert result.segmentation.GetName() == EXPECTED["name"] == "phantom tiny cached"
    assert dict(result.values) == EXPECTED["segments"]
    assert sorted(result.segmented) == EXPECTED["segmented"] == [0, 1, 2]
    assert result.layout.code == EXPECTED["layout"] == "k"
    assert result.spacing_mm == pytest.approx(EXPECTED["spacing_mm"])
    assert [c.as_json() for c in result.classes] == EXPECTED["classes"]
    assert result.provenance == EXPECTED["provenance"]
    for name in ("labels", "by_hand", "uncertainty", "proposal"):
        np.testing.assert_array_equal(getattr(result, name)(), expected[name], err_msg=name)
    assert expected["by_hand"].sum() > 60
    volume = slicer.util.arrayFromVolume(result.volume)
    np.testing.assert_array_equal(volume, EYE.image)


def test_a_segment_of_the_persons_own_is_where_it_was(result):
    own = dict.fromkeys(result.segmentation.GetSegmentation().GetSegmentIDs(), 1)
    assert set(own) - set(result.values) == {"mine"}
    found = read_segments(result.segmentation, {"mine": 1}, result.volume).labels
    assert np.argwhere(found).min(0).tolist() == [2, 20, 30]
    assert found.sum() == 4 * 6


def test_the_review_goes_on(result):
    assert EXPECTED["review"] == {"0": ["accepted", 4061005825], "2": ["skipped", None]}
    review = Review(result)
    list(review.judge())
    assert {place[0]: state for place, state in review.queue.state.items()} == {
        0: "accepted", 1: "not seen", 2: "skipped"
    }  # fmt: skip
    assert review.accepted() == {0}
    assert json.loads(result.segmentation.GetAttribute("SPAD.review")) == EXPECTED["review"]


def test_the_reference_is_matched_as_the_person_said(result, scene):
    reference = Reference.of(scene.GetFirstNodeByName("reader 2"), result)
    assert reference.match == EXPECTED["match"] == {"S1": 1, "S2": 2}
    np.testing.assert_array_equal(reference.labels(), arrays("slicer/expected.npz")["reference"])


def test_the_scores_are_those_of_the_kept_table(result, scene):
    def columns(table) -> dict[str, list[str]]:
        return {
            table.GetColumnName(c): [
                table.GetTable().GetValue(r, c).ToString() for r in range(table.GetNumberOfRows())
            ]
            for c in range(table.GetNumberOfColumns())
        }

    wanted = EXPECTED["table"]["columns"]
    table = scene.GetFirstNodeByName(EXPECTED["table"]["name"])
    kept = columns(table)
    assert list(kept) == list(wanted)
    comparison = LiveScores(result, Reference.of(scene.GetFirstNodeByName("reader 2"), result))
    comparison.refresh()
    assert to_table(comparison) is table  # the same node is kept up to date
    now = columns(table)
    for name, column in wanted.items():
        if "volume" in name:
            for found in (kept, now):
                assert list(map(float, found[name])) == pytest.approx(list(map(float, column)))
        else:
            assert kept[name] == now[name] == column
    assert wanted["Dice"][:2] == ["0.043", "0.027"]


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz"])
def test_a_saved_result_serves_as_the_reference(result, suffix: str):
    labels = Reference.of(load_segmentation(V0_1 / f"slicer/saved/result{suffix}"), result).labels()
    expected = arrays("slicer/expected.npz")["labels"]
    if suffix == ".nii.gz":  # a pixel has one value: the person's own segment, which is no class
        expected[2, 20:24, 30:36] = 0
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz"])
def test_what_napari_exported_serves_as_the_reference(result, suffix: str):
    node = load_segmentation(V0_1 / f"napari/exports{suffix.replace('.', '/', 1)}/eye{suffix}")
    labels = Reference.of(node, result).labels()
    np.testing.assert_array_equal(labels, arrays("napari/exported.npz")["labels"])


def test_a_sidecar_says_what_is_in_its_file():
    content = json.loads((V0_1 / "slicer" / "saved" / "result.spad.json").read_text("utf-8"))
    assert content["format"] == 1
    assert content["provenance"] == EXPECTED["provenance"]
    assert content["image"] == "phantom"
    assert content["layout"] == "k"


def test_its_volume_is_known_as_the_one_that_was_segmented(result):
    assert open_image(result).depth == 3
    slicer.util.arrayFromVolume(result.volume)[2] += 1
    with pytest.raises(ValueError, match="were replaced"):
        open_image(result)
