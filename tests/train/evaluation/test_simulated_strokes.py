"""Simulated strokes: what an annotator would fix first, right wherever they paint."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spad.train.evaluation.simulated_strokes import WIDTHS_PX, correct, worst_stroke

FREE = 255
Labels = NDArray[np.uint8]


def disagreeing() -> tuple[Labels, Labels]:
    """A prediction with a large, a middle and a small mistake, and thin ones along a contour."""
    reference = np.zeros((80, 120), np.uint8)
    reference[20:60, 20:80] = 1
    reference[30:40, 90:110] = 2
    reference[70:, :] = FREE
    prediction = np.zeros_like(reference)
    prediction[21:60, 20:50] = 1  # the right half is missed
    prediction[33:36, 95:100] = 2
    prediction[5:8, 5:8] = 3
    return prediction, reference


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_about_the_share_asked_for_is_fixed_and_every_stroke_is_right(
    share: float, seed: int
) -> None:
    prediction, reference = disagreeing()
    wrong = (prediction != reference) & (reference != FREE)
    clamp = correct(prediction, reference, share, seed=seed)
    painted = clamp != FREE
    assert np.array_equal(clamp[painted], reference[painted])
    fixed = np.count_nonzero(painted & wrong)
    # At most what a brush covers with its last dab is beyond.
    assert share * wrong.sum() - 1 <= fixed <= share * wrong.sum() + WIDTHS_PX[1] ** 2


def test_large_mistakes_come_first() -> None:
    prediction, reference = disagreeing()
    hit = np.zeros(reference.shape)
    for seed in range(30):
        hit += correct(prediction, reference, 0.03, seed=seed) != FREE
    missed, small = hit[20:60, 50:80], hit[5:8, 5:8]
    assert missed.sum() > 0.7 * hit.sum()
    assert small.sum() < 0.1 * hit.sum()


def test_the_worst_stroke_lies_along_the_middle_of_the_largest_mistake() -> None:
    prediction = np.zeros((60, 120), np.uint8)
    reference = prediction.copy()
    reference[20:41, 10:110] = 1
    reference[50:53, 10:20] = 2
    painted = worst_stroke(prediction, reference, seed=3) != FREE
    rows, columns = np.nonzero(painted)
    assert painted[20:41].sum() == painted.sum()
    assert np.ptp(columns) > 45
    assert abs(np.median(rows) - 30) <= 3
    assert WIDTHS_PX[0] - 1 <= np.median(painted.sum(0)[painted.any(0)]) <= WIDTHS_PX[1] + 2
    assert ndimage.label(painted, np.ones((3, 3)))[1] == 1


def test_a_brush_wider_than_the_mistake_paints_only_its_class() -> None:
    reference = np.zeros((30, 40), np.uint8)
    reference[:15] = 1
    prediction = reference.copy()
    prediction[14] = 0  # a line of class 1 is missed
    for seed in range(5):
        clamp = worst_stroke(prediction, reference, seed=seed)
        assert set(np.unique(clamp)) == {1, FREE}
        assert (clamp[:14] == 1).any()
        assert (clamp[15:] == FREE).all()


@pytest.mark.parametrize("at", [(0, 0), (29, 39), (12, 7)])
def test_a_single_wrong_pixel_is_fixed_wherever_it_lies(at: tuple[int, int]) -> None:
    reference = np.zeros((30, 40), np.uint8)
    prediction = reference.copy()
    prediction[at] = 4
    assert correct(prediction, reference, 1.0, seed=0)[at] == 0
    assert worst_stroke(prediction, reference, seed=0)[at] == 0


def test_nothing_wrong_nothing_painted() -> None:
    _, reference = disagreeing()
    for clamp in (
        correct(reference, reference, 1.0, seed=0),
        worst_stroke(reference, reference, seed=0),
        correct(disagreeing()[0], reference, 0.0, seed=0),
    ):
        assert (clamp == FREE).all()


def test_the_same_seed_paints_the_same_and_another_another() -> None:
    one, again, other = (correct(*disagreeing(), 0.05, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_what_does_not_fit_is_refused_in_words() -> None:
    prediction, reference = disagreeing()
    with pytest.raises(ValueError, match=r"\(10, 120\).*\(80, 120\).*own grid"):
        correct(prediction[:10], reference, 0.1, seed=0)
    with pytest.raises(ValueError, match=r"share of 1.5.*0 to 1"):
        correct(prediction, reference, 1.5, seed=0)
