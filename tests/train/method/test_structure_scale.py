"""Scales of structures: small and fragmented ones are spared, whatever their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spad.train.config.sections import ConfigError, load_config
from spad.train.data.samples import Samples
from spad.train.loop.preparation import prepare
from spad.train.method.structure_scale import scale_map, spread_scale, structure_scales


def test_the_scale_is_the_components_size_as_a_length_and_at_most_1() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[:20, :20] = 3  # 400 of 10,000 pixels
    labels[40:45, :5] = 7  # 25
    labels[90:] = 255
    scales = structure_scales(labels, 0.01)
    assert scales[3] == 1
    assert scales[7] == pytest.approx(0.5)
    assert (np.delete(scales, [3, 7]) == 1).all()
    assert structure_scales(labels, 0.16)[3] == pytest.approx(0.5)


def test_equal_fragments_count_as_one_of_them_and_specks_count_for_nothing() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[2:60:10, 2:7] = 1
    for row in range(2, 60, 10):
        labels[row : row + 5, 2:7] = 1  # six of 25 pixels
    assert structure_scales(labels, 0.01)[1] == pytest.approx(0.5)
    labels[:] = 0
    labels[10:20, 10:20] = 1
    whole = structure_scales(labels, 0.04)[1]
    labels[50, 50] = labels[60, 60] = 1
    assert structure_scales(labels, 0.04)[1] == pytest.approx(whole, rel=0.03)


def test_permuting_the_class_values_permutes_the_scales() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(np.array([0, 0, 0, 1, 2, 3], np.uint8), (12, 16)).repeat(3, 0).repeat(3, 1)
    table = np.array([0, 3, 1, 2], np.uint8)
    before, after = structure_scales(labels, 0.01), structure_scales(table[labels], 0.01)
    assert before[[1, 2, 3]].tolist() == after[[3, 1, 2]].tolist()


def test_a_pixels_scale_is_its_structures_and_the_smallest_around_in_the_band() -> None:
    labels = torch.tensor([[[0, 0, 1, 1, 2, 2, 0, 0, 255]]], dtype=torch.uint8)
    scales = torch.ones(1, 256)
    scales[0, 1], scales[0, 2] = 0.5, 0.25
    own = scale_map(labels, scales)
    assert own[0, 0].tolist() == [1, 1, 0.5, 0.5, 0.25, 0.25, 1, 1, 1]
    assert torch.equal(spread_scale(own, 0), own)
    assert spread_scale(own, 1)[0, 0].tolist() == [1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 1, 1]


def test_samples_carry_scales_only_where_they_are_asked_for(tiny: Path) -> None:
    for words, there in (([], False), (["perturbation.adapt=true"], True)):
        config = load_config(tiny, words)
        prepared = prepare(config)
        one = Samples(config, prepared.training, [c.name for c in prepared.card.classes])[0]
        for prefix in ("", "decoy_"):
            assert (f"{prefix}scales" in one) == there
            if there:
                expected = structure_scales(one[f"{prefix}labels"], 0.01)
                np.testing.assert_array_equal(one[f"{prefix}scales"], expected)


@pytest.mark.parametrize("word", ["adapt_area=0", "adapt_area=1.5", "band='wide'", "adapt=3"])
def test_settings_out_of_their_limits_are_refused_by_name(tiny: Path, word: str) -> None:
    with pytest.raises(ConfigError, match=word.split("=")[0]):
        load_config(tiny, [f"perturbation.{word}"])
