"""Correcting with the model's help, and which B-scan comes next."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from fakes import FakeEngine, paint, run_of
from scene import add_volume, save_scene

from spad.cases import Layout
from SPADLib.correct.alternatives import Alternatives
from SPADLib.correct.around_edits import SCOPES, around_edits, inside, onward, take
from SPADLib.correct.review_records import Review
from SPADLib.desk.history import History
from SPADLib.desk.run import Request, drain, events
from SPADLib.desk.views import world_of
from SPADLib.scene.image_source import open_source
from SPADLib.scene.result import Result, results

SHAPE = (4, 24, 32)


@pytest.fixture
def volume(scene):
    image = np.zeros(SHAPE, np.uint8)
    image[:, 10:, 10:] = 200
    return add_volume(image, spacing=(0.2, 0.004, 0.01), name="OCT")


@pytest.fixture
def result(volume, labels):
    return Result.create(volume, Layout(), run_of(labels, samples=[labels * 0, labels]))


# ---------------------------------------------------------------------- around edits


def test_sampling_anew_without_an_edit_is_refused_with_the_remedy(result):
    with pytest.raises(ValueError, match="paint a stroke first"):
        around_edits(result, 1)


def test_what_was_painted_is_held_and_all_else_may_change(result, tmp_path, volume):
    engine = FakeEngine(tmp_path)
    paint(result, 1, slice(0, 2), slice(0, 5), 3)
    edits = around_edits(result, 1)
    assert set(edits) == {"clamp"}
    assert (edits["clamp"][:2, :5] == 3).all()
    assert (edits["clamp"] != 255).sum() == 10
    ask = Request(engine.checkpoint, "cpu", range(1, 2), edits=edits)
    done = drain(events(engine, ask, open_source(volume, Layout())))
    changed, said = take(result, done, edits)
    now = result.labels()[1]
    assert (now[:2, :5] == 3).all()
    assert (now[10:, 10:] == 1).all()
    assert f"{sum(c.pixels for c in changed):,} pixels changed (SRF" in said
    assert np.array_equal(result.by_hand()[1], edits["clamp"] != 255)
    again, said = take(result, done, edits)
    assert not again
    assert "nothing else changed" in said


def _square(top, bottom, left, right):
    out = np.zeros(SHAPE[1:], bool)
    out[top:bottom, left:right] = True
    return out


def roi_around(scene, volume, low, high, layout=None):
    layout = Layout() if layout is None else layout
    corners = np.array([world_of(volume, layout, p) for p in (low, high)])
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "here")
    roi.SetCenter(*corners.mean(0))
    roi.SetSize(*(np.abs(corners[1] - corners[0]) + 1e-3))
    return roi


def test_an_roi_holds_the_pixels_whose_centres_are_in_it(scene, result, volume):
    roi = roi_around(scene, volume, (1, 5, 6), (1, 9, 20))
    assert np.array_equal(inside(roi, result, 1), _square(5, 10, 6, 21))
    assert not inside(roi, result, 2).any()


def test_scopes_bound_what_changes(scene, result, volume):
    paint(result, 1, slice(0, 2), slice(0, 5), 3)
    roi = roi_around(scene, volume, (1, 5, 6), (1, 9, 20))
    edits = around_edits(result, 1, SCOPES[2], roi=roi)
    assert np.array_equal(edits["region"], _square(5, 10, 6, 21))
    with pytest.raises(ValueError, match="No ROI is chosen"):
        around_edits(result, 1, SCOPES[2])
    other = roi_around(scene, volume, (3, 5, 6), (3, 9, 20))
    with pytest.raises(ValueError, match="holds no pixel of B-scan 2"):
        around_edits(result, 1, SCOPES[2], roi=other)
    assert not around_edits(result, 1, SCOPES[1])["region"].any()  # no doubt anywhere


def test_a_bscan_is_carried_to_its_neighbours_in_either_direction(result):
    bscans, start, edits_of = onward(result, 2, -5, 250)
    assert list(bscans) == [1, 0]
    assert np.array_equal(start, result.labels()[2])
    assert edits_of(1)["t0"] == 75
    assert list(onward(result, 1, 1, 250)[0]) == [2]
    with pytest.raises(ValueError, match="B-scan 4 is the last one"):
        onward(result, 3, 1, 250)
    with pytest.raises(ValueError, match="B-scan 1 is the first one"):
        onward(result, 0, -1, 250)


# ---------------------------------------------------------------------- samples


def test_a_sample_is_stepped_to_and_taken_for_one_structure(result):
    found = Alternatives(result, 1, 1)
    assert len(found.found) == 1
    assert found.step(1) is found.found[0]
    assert found.text == "SRF, alternative 1 of 1: 0 pixels (now 128), 1 of 3 samples"
    change = found.take()
    assert change.pixels == 128
    assert not (result.labels()[1] == 1).any()
    assert result.by_hand()[1].sum() == 128
    assert (result.labels()[2] == 2).any()
    history = History()
    history.add(result, [change])
    assert history.back(result) == (128, 128, set())
    assert not result.by_hand().any()
    with pytest.raises(ValueError, match="Nothing is left"):
        history.back(result)


def test_samples_that_agree_or_are_gone_are_told(result, volume, scene):
    with pytest.raises(ValueError, match="there is no alternative"):
        Alternatives(result, 0, 3)
    with pytest.raises(ValueError, match="with the same seed"):
        Alternatives(Result.of(result.segmentation), 1, 1)


def test_samples_beyond_the_part_that_was_sampled_anew_stay(result):
    """There the run was given the labels as they are, so that its samples say nothing else."""
    within = np.zeros(SHAPE, bool)[1:2]
    within[0, :, 16:] = True
    before, again = result.samples[1].copy(), np.full(SHAPE, 3, np.uint8)[1:2]
    result.take(run_of(again, samples=[again, again]), 1, within=within)
    np.testing.assert_array_equal(result.samples[1][:, :, :16], before[:, :, :16])
    assert (result.samples[1][:, :, 16:] == 3).all()
    result.take(run_of(again), 1, within=within)  # of another number of samples
    assert result.samples[1].shape[0] == 1


def test_taking_back_after_the_segmentation_went_is_told(result, scene):
    history = History()
    history.add(result, [Alternatives(result, 1, 1).take()])
    scene.RemoveNode(result.segmentation)
    with pytest.raises(ValueError, match="not in the scene"):
        history.back(result)


# ---------------------------------------------------------------------- review


def test_what_a_model_wrote_anew_nobody_has_edited(result, labels):
    """Else all that a lesson drafted anew would count as dealt with, and nothing as poor."""
    review = Review(result)
    list(review.judge())
    review.mark(3, "seen")
    result.take(run_of(np.full(SHAPE, 3, np.uint8)), 0)
    for follow in (review.follow, lambda: list(review.judge())):  # whichever comes first
        follow()
        assert [review.queue.state[(z,)] for z in range(4)] == ["not seen"] * 3 + ["seen"]
    paint(result, 1, slice(0, 2), slice(0, 5), 1)
    review.follow()
    assert review.queue.state[(1,)] == "edited"
    result.take(run_of(labels), 0)
    list(review.judge())
    assert review.queue.state[(1,)] == "edited"
    assert review.queue.state[(2,)] == "not seen"


@pytest.fixture
def doubtful_result(volume, labels):
    doubt = np.zeros(SHAPE, np.float32)
    doubt[1, 4:12, 4:20] = 0.2
    doubt[2, 12:20, 2:10] = 0.9
    return Result.create(volume, Layout(), run_of(labels, uncertainty=doubt))


def test_the_most_doubtful_bscan_comes_first_then_the_next(doubtful_result):
    review = Review(doubtful_result)
    assert review.next() is None
    assert list(review.judge()) == [0, 1, 2, 3]
    assert review.next() == 2
    row, column = review.spot(2)
    assert 12 <= row < 20
    assert 2 <= column < 10
    assert review.next(2) == 1
    assert [r[0] for r in review.rows()][:2] == [2, 1]
    most = int(np.argmax([(one > 0).sum() for one in doubtful_result.labels()]))
    assert f"B-scan {most + 1} shows most: to let the model learn, begin there." in review.summary()
    review.mark(2, "accepted")
    assert "begin there" not in review.summary()
    assert review.rows()[-1][0] == 2
    assert review.summary().startswith("1 of 4 B-scans accepted")
    assert review.accepted() == {2}


def test_what_phantoms_alone_have_taught_counts_where_there_is_nothing_else(volume, labels):
    labels[1, 18:22, 2:30] = 3
    doubt = np.zeros(SHAPE, np.float32)
    doubt[1, 18:22, 2:30] = 0.9
    doubt[2, 12:20, 2:10] = 0.2
    for taught, worst in (([], 1), (["PED"], 2)):
        run = run_of(labels, uncertainty=doubt, phantoms_only=taught)
        review = Review(Result.create(volume, Layout(), run))
        list(review.judge())
        assert review.next() == worst


def test_an_edit_reopens_an_accepted_bscan_and_taking_it_back_closes_it(doubtful_result):
    review = Review(doubtful_result)
    list(review.judge())
    review.mark(2, "accepted")
    assert review.follow() == []
    before = doubtful_result.labels()[2].copy()
    paint(doubtful_result, 2, slice(0, 2), slice(0, 2), 1)
    assert review.follow() == [2]
    assert review.queue.state[(2,)] == "edited"
    doubtful_result.put(2, before)
    assert review.follow() == [2]
    assert review.queue.state[(2,)] == "accepted"


def test_the_review_is_kept_with_the_scene(doubtful_result, tmp_path):
    review = Review(doubtful_result)
    list(review.judge())
    review.mark(2, "accepted")
    review.mark(1, "skipped")
    file = save_scene(slicer.mrmlScene, tmp_path)
    again = slicer.vtkMRMLScene()
    again.SetURL(str(file))
    assert again.Connect()
    (found,) = results(again)
    other = Review(found)
    list(other.judge())
    assert other.queue.state[(2,)] == "accepted"
    assert other.queue.state[(1,)] == "skipped"
    assert other.next() == 0 or other.queue.state[(other.next(),)] == "not seen"


def test_a_bscan_that_was_opened_again_stays_so_with_the_scene(doubtful_result):
    review = Review(doubtful_result)
    list(review.judge())
    review.mark(2, "accepted")
    review.mark(2, "skipped")
    paint(doubtful_result, 1, slice(0, 2), slice(0, 2), 1)
    assert review.follow() == [1]
    again = Review(doubtful_result)
    list(again.judge())
    assert again.queue.state[(2,)] == "skipped"
    assert doubtful_result.accepted() == set()


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"x": 1}', '{"2": ["odd", 1]}', '{"99": 3}'])
def test_a_review_that_makes_no_sense_is_left_out(doubtful_result, text):
    doubtful_result.segmentation.SetAttribute("SPAD.review", text)
    assert not Review(doubtful_result).queue.state
