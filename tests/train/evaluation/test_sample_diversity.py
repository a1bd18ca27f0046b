"""How much samples differ."""

from __future__ import annotations

import numpy as np
import pytest

from spad.train.evaluation.sample_diversity import diversity


def test_diversity_is_the_mean_disagreement_of_pairs() -> None:
    maps = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 2]]])
    # pairs 01: 1 - 2/3; 02: 1 and 1; 12: 1 and 1
    assert diversity(maps, 3) == pytest.approx((1 / 3 + 4) / 5)
    assert diversity(maps[:1].repeat(3, 0), 3) == 0
    assert diversity(np.zeros((2, 1, 4), int), 3) == 0
