"""What was painted by hand is exact through the Segment Editor's undo and redo."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from fakes import paint, run_of
from scene import add_volume, save_scene

from spad.cases import Layout
from SPADLib.scene.result import Result, results

SHAPE = (3, 16, 20)


@pytest.fixture
def result(scene):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="OCT")
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:6, 2:8] = 1
    return Result.create(volume, Layout(), run_of(labels))


@pytest.fixture
def history(result):
    """The Segment Editor's own: it saves a state before each stroke."""
    made = slicer.vtkSegmentationHistory()
    made.SetSegmentation(result.segmentation.GetSegmentation())
    return made


def stroke(result, history, rows, columns, value=3):
    history.SaveState()
    paint(result, 1, rows, columns, value)


def model(result, value=2):
    """A model's answer in B-scan 1: a blob of a structure, what is painted held."""
    labels = np.array(result.labels()[1:2])
    labels[0, 8:14, 10:18] = value
    return result.take(run_of(labels), 1)


def test_an_undo_that_takes_stroke_and_model_together_leaves_nothing_by_hand(result, history):
    before = np.array(result.labels())
    stroke(result, history, slice(0, 2), slice(0, 4))
    painted = np.array(result.by_hand())
    model(result)
    after = np.array(result.labels())
    assert np.array_equal(result.by_hand(), painted)
    assert history.RestorePreviousState()
    assert np.array_equal(result.labels(), before)
    assert not result.by_hand().any()
    assert history.RestoreNextState()
    assert np.array_equal(result.labels(), after)
    assert np.array_equal(result.by_hand(), painted)


def test_the_models_change_is_a_step_of_its_own_where_a_state_was_saved(result, history):
    stroke(result, history, slice(0, 2), slice(0, 4))
    painted, labels = np.array(result.by_hand()), np.array(result.labels())
    history.SaveState()
    model(result)
    assert history.RestorePreviousState()
    assert np.array_equal(result.labels(), labels)
    assert np.array_equal(result.by_hand(), painted)
    assert history.RestorePreviousState()
    assert not result.by_hand().any()
    for _ in range(2):
        assert history.RestoreNextState()
    assert np.array_equal(result.by_hand(), painted)


def test_what_a_person_erased_of_the_model_is_by_hand_and_no_undo(result, history):
    history.SaveState()
    model(result)
    stroke(result, history, slice(8, 14), slice(10, 18), 0)  # the labels are as before the model
    erased = np.zeros(SHAPE, bool)
    erased[1, 8:14, 10:18] = True
    assert np.array_equal(result.by_hand(), erased)
    assert history.RestorePreviousState()
    assert not result.by_hand().any()
    assert (result.labels()[1, 8:14, 10:18] == 2).all()


def test_a_new_answer_after_an_undo_follows_its_own_way(result, history):
    stroke(result, history, slice(0, 2), slice(0, 4))
    history.SaveState()
    model(result, 2)
    history.RestorePreviousState()
    model(result, 1)
    painted = np.zeros(SHAPE, bool)
    painted[1, :2, :4] = True
    assert (result.labels()[1, 8:14, 10:18] == 1).all()
    assert np.array_equal(result.by_hand(), painted)
    history.RestorePreviousState()
    assert not (result.labels()[1, 8:14, 10:18]).any()
    assert np.array_equal(result.by_hand(), painted)


def test_taking_back_after_an_undo_changes_nothing_more(result, history):
    stroke(result, history, slice(0, 2), slice(0, 4))
    changed = model(result)
    history.RestorePreviousState()
    labels = np.array(result.labels())
    assert result.take_back(changed) == 0
    assert np.array_equal(result.labels(), labels)
    assert not result.by_hand().any()


def test_what_was_taken_back_comes_again_by_undo(result, history):
    history.SaveState()
    changed = model(result)
    history.SaveState()
    assert result.take_back(changed) == 48
    assert not result.by_hand().any()
    history.RestorePreviousState()
    assert (result.labels()[1, 8:14, 10:18] == 2).all()
    assert not result.by_hand().any()


def test_another_session_begins_where_this_one_ended(result, history, tmp_path, scene):
    stroke(result, history, slice(0, 2), slice(0, 4))
    model(result)
    painted = np.array(result.by_hand())
    file = save_scene(scene, tmp_path)
    scene.Clear(0)
    scene.SetURL(str(file))
    scene.Connect()
    (again,) = results(scene)
    assert np.array_equal(again.by_hand(), painted)
    model(again, 1)
    assert np.array_equal(again.by_hand(), painted)
