"""HD95 is MONAI's, and says so where there is none."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance

from spad.metrics.surface_distance import hd95

rng = np.random.default_rng(0)


def monai_hd95(prediction, reference, spacing):
    pair = (torch.from_numpy(m)[None, None] for m in (prediction, reference))
    return compute_hausdorff_distance(*pair, True, percentile=95, spacing=spacing).item()


@pytest.mark.parametrize("spacing", [None, (0.004, 0.011), (0.12, 0.004, 0.011)])
@pytest.mark.parametrize("density", [0.02, 0.5, 0.97])
def test_hd95_is_monais(spacing, density):
    shape = (9, 17, 23) if spacing is not None and len(spacing) == 3 else (31, 40)
    for _ in range(5):
        prediction, reference = (rng.random(shape) < density for _ in range(2))
        expected = monai_hd95(prediction, reference, spacing)
        assert hd95(prediction, reference, spacing) == pytest.approx(expected, rel=1e-4)


def test_hd95_of_structures_at_the_frame_is_monais():
    y, x = np.mgrid[:40, :60]
    prediction, reference = y < 8 + x // 10, (y < 14) & (x > 3)
    assert hd95(prediction, reference) == pytest.approx(monai_hd95(prediction, reference, None))


def test_hd95_is_symmetric_and_forgives_a_twentieth_of_the_surface():
    a = np.zeros((10, 120), bool)
    a[0] = True
    b = a.copy()
    b[9, 0] = True
    assert hd95(a, b) == hd95(b, a) == 0
    b[9, :12] = True
    assert hd95(a, b) == hd95(b, a) == 9


def test_hd95_of_one_empty_mask_is_inf_and_of_two_nan():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert hd95(empty, full) == hd95(full, empty) == math.inf
    assert math.isnan(hd95(empty, empty))


@pytest.mark.parametrize(
    ("shape", "dtype", "spacing", "words"),
    [
        ((3, 4), bool, None, "give two alike"),
        ((3, 3), np.uint8, None, "not boolean"),
        ((3, 3), bool, (1.0,), "spacing"),
        ((3, 3), bool, (1.0, 0.0), "positive"),
        ((3, 3), bool, (1.0, math.nan), "positive"),
    ],
)
def test_hd95_refuses_masks_and_spacings_that_mean_nothing(shape, dtype, spacing, words):
    with pytest.raises(ValueError, match=words):
        hd95(np.ones(shape, dtype), np.ones((3, 3), dtype), spacing)
