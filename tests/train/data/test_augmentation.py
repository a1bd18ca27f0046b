"""Stronger augmentation: off it is nothing, on it stays an image and does what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spad.train.config.sections import Augmentation
from spad.train.data.augmentation import degrade, strip, tone

OFF = Augmentation(gamma=0, contrast=0, brightness=0, noise=0, blur_px=0)
RNG = np.random.default_rng
GREY = np.zeros((48, 64), np.float32)  # intensity 0.5


def images() -> np.ndarray:
    return (RNG(0).random((48, 64), dtype=np.float32) * 2 - 1).astype(np.float32)


def test_switched_off_it_draws_nothing_and_changes_nothing() -> None:
    rng, image = RNG(1), images()
    before = rng.bit_generator.state
    assert degrade(image, OFF, rng) is image
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", ["low_resolution", "speckle", "shadows"])
def test_each_switch_gives_a_changed_image_in_range_for_its_share_of_the_samples(name: str) -> None:
    config, image = replace(OFF, **{name: 1.0}), images()
    out = [degrade(image, config, RNG(seed)) for seed in range(200)]
    assert all(x.dtype == np.float32 and x.shape == image.shape for x in out)
    assert all(np.abs(x).max() <= 1 for x in out)
    changed = np.mean([np.abs(x - image).max() > 1e-3 for x in out])
    assert changed == pytest.approx(0.25 if name == "low_resolution" else 0.5, abs=0.1)


def test_the_same_generator_gives_the_same_image() -> None:
    config = replace(OFF, low_resolution=1.0, speckle=0.5, shadows=1.0)
    for seed in range(5):
        assert np.array_equal(*(degrade(images(), config, RNG(seed)) for _ in range(2)))


def test_a_shadow_darkens_whole_columns_alike_and_some_not_at_all() -> None:
    config = replace(OFF, shadows=0.8)
    out = next(x for s in range(20) if not np.array_equal(x := degrade(GREY, config, RNG(s)), GREY))
    assert (out == out[0]).all()
    assert out.max() <= 0
    assert out.max() > -0.2  # light remains between them
    assert out.min() >= 2 * 0.5 * (1 - 0.8) ** 4 - 1  # four of the darkest in one place


def test_speckle_keeps_the_mean_and_is_stronger_where_it_is_bright() -> None:
    config = replace(OFF, speckle=0.4)
    means, dark, bright = [], [], []
    for seed in range(200):
        means.append(degrade(GREY, config, RNG(seed)).mean())
        dark.append(degrade(GREY - 0.8, config, RNG(seed)).std())
        bright.append(degrade(GREY, config, RNG(seed)).std())
    assert np.mean(means) == pytest.approx(0, abs=0.01)
    assert np.mean(bright) > 3 * np.mean(dark) > 0


def test_low_resolution_keeps_what_is_coarse_and_loses_what_is_fine() -> None:
    config = replace(OFF, low_resolution=1.0)
    coarse = np.repeat(np.linspace(-0.9, 0.9, 64, dtype=np.float32)[None], 48, 0)
    fine = np.where(np.arange(64) % 2, 0.5, -0.5).astype(np.float32) * np.ones((48, 1), np.float32)
    lost, kept = (
        max(np.abs(degrade(x, config, RNG(seed)) - x).mean() for seed in range(50))
        for x in (fine, coarse)
    )
    assert kept < 0.05 < lost


def test_inverted_gamma_spreads_the_bright_end() -> None:
    """Black and white stay; where it is not asked for, samples are as they were."""
    ramp = np.linspace(-1, 1, 64, dtype=np.float32)[None].repeat(2, 0)
    plain, inverted = (
        [tone(ramp, replace(OFF, gamma=0.7, gamma_inverted=share), RNG(s)) for s in range(20)]
        for share in (0.0, 1.0)
    )
    for x in (*plain, *inverted):
        np.testing.assert_allclose(x[:, [0, -1]], [[-1, 1]] * 2, atol=1e-6)
    for x, y in zip(plain, inverted, strict=True):
        assert np.abs(x - y).max() > 0 or np.abs(x - ramp).max() < 1e-3
        # The curve of one is that of the other turned by half a turn.
        np.testing.assert_allclose(y, -x[:, ::-1], atol=1e-5)


def test_a_strip_comes_with_its_labels_and_lies_at_the_height_of_the_retina() -> None:
    rows = np.arange(64)[:, None]

    def bscan(top: int, value: int) -> tuple[np.ndarray, np.ndarray]:
        tissue = np.broadcast_to((rows >= top) & (rows < top + 12), (64, 96))
        return np.where(tissue, 0.5, -1).astype(np.float32), (tissue * value).astype(np.uint8)

    for seed in range(20):
        (image, labels), (other, others) = bscan(20, 1), bscan(33, 2)
        mixed, maps = strip(image, labels, other, others, RNG(seed))
        new = (maps == 2).any(0)
        assert 0.15 * 96 < new.sum() < 0.65 * 96
        # Moved up by 13 rows, its tissue goes on where ours was; below, it has no row.
        np.testing.assert_array_equal((maps == 1) | (maps == 2), labels == 1)
        assert (maps[51:, new] == 255).all()
        assert (maps[:, ~new] != 255).all()
        np.testing.assert_allclose(mixed, image, atol=1e-6)
