"""The generalised energy distance against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from spad import phantom
from spad.train.evaluation.ged import energy_distance

K = 4


def maps(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, K, (n, 6, 7)).astype(np.uint8)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    parts = []
    for k in range(1, K):
        one, two = a == k, b == k
        union = (one | two).sum()
        parts.append(1 - (one & two).sum() / union if union else 0.0)
    return float(np.mean(parts))


def test_it_is_the_definition_over_all_pairs() -> None:
    s, y = maps(3, 0), maps(2, 1)
    y[y == 2] = 0  # a structure that nobody drew
    s[0][s[0] == 2] = 0
    between = np.mean([distance(a, b) for a in s for b in y])
    within = [np.mean([distance(a, b) for a in group for b in group]) for group in (s, y)]
    assert energy_distance(s, y, K) == pytest.approx(2 * between - sum(within))


def test_by_hand() -> None:
    # Raters see a lesion of 4 pixels, or none; the ensemble says always 4, or as they do.
    seen, none = np.array([[1, 1, 1, 1, 0]], np.uint8), np.zeros((1, 5), np.uint8)
    raters = np.stack([seen, none])
    assert energy_distance(np.stack([seen, seen]), raters, 2) == pytest.approx(2 * 0.5 - 0 - 0.5)
    assert energy_distance(np.stack([none, seen]), raters, 2) == pytest.approx(0)
    # One of three structures, so a third of it: the other two are seen by nobody.
    assert energy_distance(np.stack([seen, seen]), raters, 4) == pytest.approx(0.5 / 3)


def test_a_pixel_that_one_rater_ignores_counts_for_none() -> None:
    s, y = maps(3, 0), maps(2, 1)
    expected = energy_distance(s[:, :, 2:], y[:, :, 2:], K)
    y[0, :, 0] = 255
    y[1, :, 1] = 255
    assert energy_distance(s, y, K) == pytest.approx(expected)


def test_what_nobody_looked_for_is_no_distance() -> None:
    seen, none = np.array([[1, 1, 2, 2, 0]], np.uint8), np.array([[1, 1, 0, 0, 0]], np.uint8)
    samples = np.stack([seen, none])
    judged = np.array([True, True, False])
    assert energy_distance(samples, none[None], 3, judged=judged) == 0
    # Half of the samples show what the annotation lacks, one structure of two.
    assert energy_distance(samples, none[None], 3) == pytest.approx((2 * 0.5 - 0.5) / 2)
    assert energy_distance(samples, none[None], 3, judged=judged & False) == 0


def test_the_raters_of_a_phantom_are_nearer_to_themselves_than_one_opinion_is() -> None:
    k = len(phantom.CLASS_NAMES)
    for seed in (1, 7, 17):
        made = phantom.bscan(seed, shape=(64, 96), raters=4)
        alike = energy_distance(made.labels[None].repeat(4, 0), made.raters, k)
        assert energy_distance(made.raters, made.raters, k) == pytest.approx(0)
        assert alike > 0.02
