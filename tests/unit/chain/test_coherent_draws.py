"""Coherent draws: neighbours agree, and no pixel's own law changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from spad.chain.coherent_draws import coherent_draw, field_words, smooth_normal

SHAPE = (24, 30)


def drawn(p: list[float], n: int, length_px: float = 8.0) -> torch.Tensor:
    probabilities = torch.tensor(p).view(1, 1, -1, 1, 1).expand(1, 1, -1, *SHAPE)
    return coherent_draw(probabilities, length_px, words([range(n)], len(p)))[0]


def words(maps: Sequence[Sequence[int]], num_classes: int) -> torch.Tensor:
    numbers = [(i, 0, value) for row in maps for i in row for value in range(num_classes)]
    found = torch.from_numpy(field_words(1, numbers, "test"))
    return found.view(len(maps), -1, num_classes, 4)


def fields(n: int, length_px: float) -> torch.Tensor:
    found = field_words(0, [(i,) for i in range(n)], "test")
    return smooth_normal(torch.from_numpy(found), SHAPE, length_px)


@pytest.mark.parametrize("length_px", [1.0, 5.3, 64.0])
def test_each_pixel_of_a_smooth_field_is_standard_normal(length_px: float) -> None:
    n = 3000
    z = fields(n, length_px)
    assert z.shape == (n, *SHAPE)
    # Five standard errors: there are 720 pixels.
    assert z.mean(0).abs().max() < 5 / math.sqrt(n)
    assert (z.var(0) - 1).abs().max() < 5 * math.sqrt(2 / n)
    inside = (z.abs() < 0.6745).float().mean(0)
    assert (inside - 0.5).abs().max() < 5 * 0.5 / math.sqrt(n)


def test_a_field_is_smooth_within_its_length_and_independent_beyond_twice_it() -> None:
    z = fields(3000, 6)
    together = (z[:, 10, 10:11] * z[:, 10]).mean(0)
    assert together[11] > 0.95
    assert together[10] > together[12] > together[14]
    assert together[23:].abs().max() < 5 / math.sqrt(3000)


@pytest.mark.parametrize("length_px", [8.0, 30.0])  # pixels, and blocks of three that overhang
def test_each_pixel_takes_a_class_with_its_probability(length_px: float) -> None:
    p, n = [0.5, 0.0, 0.35, 0.15], 3000
    found = drawn(p, n, length_px)
    for i, share in enumerate(p):
        error = ((found == i).float().mean(0) - share).abs().max()
        assert error <= 5 * math.sqrt(share * (1 - share) / n)


def test_neighbours_agree_and_maps_differ() -> None:
    near, far = drawn([0.5, 0.5], 400, 16), drawn([0.5, 0.5], 400, 1)
    agree = [(x[:, :, 1:] == x[:, :, :-1]).float().mean().item() for x in (near, far)]
    assert agree[0] > 0.9
    assert agree[1] < 0.75
    assert (near[0] != near[1]).any()


@pytest.mark.parametrize("length_px", [8.0, 64.0])
def test_a_sure_pixel_is_drawn_surely(length_px: float) -> None:
    labels = torch.arange(720).view(1, *SHAPE) % 3
    sure = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    found = coherent_draw(sure.unsqueeze(1), length_px, words([[0]], 3))
    assert torch.equal(found[0], labels.to(torch.uint8))


def test_a_map_depends_on_its_own_number_alone() -> None:
    whole = drawn([0.4, 0.6], 5)
    p = torch.tensor([0.4, 0.6]).view(1, 1, 2, 1, 1).expand(2, 3, 2, *SHAPE)
    beside = coherent_draw(p, 8.0, words([[b + c for c in range(3)] for b in (0, 2)], 2))
    assert torch.equal(beside[1, 1], whole[3])
