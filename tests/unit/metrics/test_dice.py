"""Dice and IoU agree with their definitions and with MONAI."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice

from spad.checkpoint.labels import label_classes
from spad.metrics import confusion_matrix
from spad.metrics.dice import dice_per_slice, mean_scores, structure_scores, worst_slices
from spad.metrics.live_confusion import LiveConfusion

K = 4
CLASSES = label_classes(["background", "SRF", "IRF", "PED"])
predictions = st.integers(0, K - 1)


def label_maps(shape, values=predictions, dtype=np.uint8):
    return arrays(dtype, shape, elements=values)


@given(label_maps((6, 6)), label_maps((6, 6)))
def test_dice_and_iou_are_what_monai_says_and_fit_each_other(prediction, reference):
    scores = structure_scores(confusion_matrix(prediction, reference, K), CLASSES)
    hot = [torch.from_numpy(np.eye(K)[x]).movedim(-1, 0)[None] for x in (prediction, reference)]
    # With ignore_empty=False, MONAI gives an absent structure 1 where we give none.
    monai = compute_dice(*hot, include_background=False, ignore_empty=False)[0].tolist()
    assert [s.value for s in scores] == [1, 2, 3]
    for score, expected in zip(scores, monai, strict=True):
        if score.state == "absent":
            assert math.isnan(score.dice)
            assert math.isnan(score.iou)
            assert expected == 1
        else:
            assert score.dice == pytest.approx(expected)
            assert score.dice == pytest.approx(2 * score.iou / (1 + score.iou))


def test_absent_structures_are_left_out_of_means_missed_and_invented_ones_count_0():
    prediction = np.array([[0, 1, 2, 2]])
    reference = np.array([[0, 1, 1, 0]])
    scores = structure_scores(confusion_matrix(prediction, reference, K), CLASSES)
    assert [(s.name, s.state, s.reference_pixels, s.predicted_pixels) for s in scores] == [
        ("SRF", "compared", 2, 1),
        ("IRF", "invented", 0, 2),
        ("PED", "absent", 0, 0),
    ]
    assert mean_scores(scores) == (pytest.approx(1 / 3), 0.25, 2)
    swapped = structure_scores(confusion_matrix(reference, prediction, K), CLASSES)
    assert [s.state for s in swapped] == ["compared", "missed", "absent"]
    assert swapped[1].dice == swapped[1].iou == 0


def test_means_of_nothing_are_nan_without_a_warning():
    with warnings.catch_warnings(action="error"):
        scores = structure_scores(np.zeros((K, K), np.int64), CLASSES)
        *means, count = mean_scores(scores)
    assert np.isnan(means).all()
    assert count == 0


def test_pixels_painted_with_a_foreign_label_are_missing_from_their_structure():
    live = LiveConfusion(np.array([[1, 9]]), np.array([[1, 1]]), K)
    assert structure_scores(live.matrix, CLASSES)[0].dice == pytest.approx(2 / 3)


def test_scores_refuse_a_matrix_for_other_classes():
    with pytest.raises(ValueError, match="num_classes=4"):
        structure_scores(np.zeros((3, 3), np.int64), CLASSES)


def test_the_worst_slices_come_first_and_those_without_the_structure_not_at_all():
    reference = np.zeros((4, 1, 4), np.uint8)
    reference[[0, 2, 3], 0, :2] = 1
    prediction = reference.copy()
    prediction[0, 0, 1] = 0
    prediction[2] = 0
    slices = LiveConfusion(prediction, reference, 2).slices
    with warnings.catch_warnings(action="error"):
        assert dice_per_slice(slices, 1) == pytest.approx([2 / 3, math.nan, 0, 1], nan_ok=True)
        assert worst_slices(slices, 1) == [2, 0, 3]
        assert worst_slices(slices, 1, 1) == [2]
