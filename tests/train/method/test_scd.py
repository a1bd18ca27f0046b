"""ScD: which targets an image has, which are chosen, and which of their pixels stay clean."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from spad.chain import draws
from spad.train.method.scd import MAX_TARGETS, choose, semantic_perturbation, target_map

U8 = NDArray[np.uint8]


def blocks(*rows: str) -> U8:
    """Label map of digits, each drawn as 4 x 4 pixels; ``x`` is ignored."""
    values = [[255 if c == "x" else int(c) for c in row] for row in rows]
    return np.kron(np.array(values, np.uint8), np.ones((4, 4), np.uint8))


two_kinds = blocks("000000", "011020", "000020", "010330", "0000x0")
"""Structures 1 (two components), 2, and 3, which touches 2; some pixels are ignored."""


def u_of(count: int, shape: tuple[int, ...], purpose: str = "test") -> Tensor:
    return draws.uniform(draws.keys(11, range(count), purpose), shape)


def stacked(targets: U8, count: int) -> Tensor:
    return torch.from_numpy(targets).expand(count, -1, -1)


def chosen_sets(targets: U8, count: int, u: Tensor) -> list[frozenset[int]]:
    """Numbers of the targets chosen with each row of u, after a check that whole targets are."""
    maps = stacked(targets, len(u))
    chosen = choose(maps, count, u)
    sets = [frozenset(targets[c].tolist()) for c in chosen.numpy()]
    for c, numbers in zip(chosen.numpy(), sets, strict=True):
        np.testing.assert_array_equal(c, np.isin(targets, list(numbers)))
    return sets


# --- targets


def test_targets_by_structures_are_the_class_values_without_the_ignored() -> None:
    expected = np.where(two_kinds == 255, 0, two_kinds)
    np.testing.assert_array_equal(target_map(two_kinds, "structures"), expected)


def test_targets_by_components_tell_the_parts_of_a_structure_apart() -> None:
    targets = target_map(two_kinds, "components")
    assert set(np.unique(targets)) == {0, 1, 2, 3, 4}
    assert ((targets == 0) == ((two_kinds == 0) | (two_kinds == 255))).all()
    one = [set(np.unique(targets[two_kinds == value])) for value in (1, 2, 3)]
    assert [len(numbers) for numbers in one] == [2, 1, 1]  # 2 and 3 touch, and stay apart


def test_components_agree_with_scipy_on_random_label_maps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.choice(np.array([0, 0, 0, 1, 2, 7, 255], np.uint8), (24, 32))
        targets = target_map(labels, "components")
        parts = set()
        for value in (1, 2, 7):
            numbered, n = ndimage.label(labels == value, np.ones((3, 3)))
            parts |= {(numbered == i).tobytes() for i in range(1, n + 1)}
        assert {(targets == i).tobytes() for i in range(1, targets.max() + 1)} == parts


def test_of_more_than_255_components_the_largest_are_kept() -> None:
    labels = np.zeros((80, 80), np.uint8)
    labels[::4, ::4] = 1  # 400 single pixels
    rows, columns = np.nonzero(labels)
    large = np.random.default_rng(1).permutation(400)[:250]
    for i in large:
        labels[rows[i], columns[i] + 1] = 1  # 250 of them have two
    targets = target_map(labels, "components")
    assert targets.dtype == np.uint8
    sizes = np.bincount(targets.ravel(), minlength=256)[1:]
    assert sizes.tolist() == [2] * 250 + [1] * 5
    assert (targets[rows[large], columns[large]] > 0).all()
    assert not targets[labels == 0].any()


def test_255_components_are_all_kept() -> None:
    labels = np.zeros((64, 64), np.uint8)
    rows, columns = np.unravel_index(np.arange(255) * 4 + 1, (16, 64))
    labels[rows * 4, columns] = 1
    targets = target_map(labels, "components")
    assert (labels > 0).sum() == 255
    assert len(np.unique(targets)) == 256


def test_permuting_the_class_values_permutes_nothing_but_numbers_of_components() -> None:
    permuted = np.select([two_kinds == v for v in (1, 2, 3, 255)], (3, 1, 2, 255)).astype(np.uint8)
    before, after = target_map(two_kinds, "components"), target_map(permuted, "components")
    pairs = set(zip(before.ravel().tolist(), after.ravel().tolist(), strict=True))
    renumbered = dict(pairs)
    assert len(pairs) == len(renumbered) == 5
    assert renumbered[0] == 0
    # The same numbers drawn for the same components choose the same pixels.
    u = u_of(50, (256,))
    moved = u.clone()
    for old, new in renumbered.items():
        moved[:, new] = u[:, old]
    torch.testing.assert_close(
        choose(stacked(before, 50), 2, u), choose(stacked(after, 50), 2, moved), rtol=0, atol=0
    )


# --- choice


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("kind", ["components", "structures"])
def test_k_e_targets_are_chosen_and_all_if_there_are_fewer(count: int, kind: str) -> None:
    targets = target_map(two_kinds, kind)
    present = set(np.unique(targets).tolist()) - {0}
    for numbers in chosen_sets(targets, count, u_of(200, (256,))):
        assert len(numbers) == min(count, len(present))
        assert numbers <= present  # never the background, nor what is ignored


def test_an_image_without_structures_has_no_target() -> None:
    for labels in (np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)):
        for kind in ("components", "structures"):
            u = u_of(3, (256,))
            assert not choose(stacked(target_map(labels, kind), 3), 3, u).any()


def test_each_image_of_a_batch_chooses_for_itself() -> None:
    maps = [
        target_map(m, "components") for m in (two_kinds, two_kinds[::-1], np.zeros_like(two_kinds))
    ]
    u = u_of(3, (256,))
    together = choose(torch.from_numpy(np.stack(maps)), 2, u)
    for i, one in enumerate(maps):
        assert torch.equal(
            together[i : i + 1], choose(torch.from_numpy(one)[None], 2, u[i : i + 1])
        )


@pytest.mark.parametrize("count", [1, 2])
def test_every_set_of_targets_is_equally_likely(count: int) -> None:
    n = 6000
    sets = chosen_sets(target_map(two_kinds, "components"), count, u_of(n, (256,), "own targets"))
    possible = [frozenset(c) for c in combinations((1, 2, 3, 4), count)]
    share = 1 / len(possible)
    for one in possible:
        error = math.sqrt(share * (1 - share) / n)
        assert sets.count(one) / n == pytest.approx(share, abs=4 * error)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 300])
def test_the_targets_of_the_smallest_draws_are_chosen(count: int) -> None:
    targets = stacked(target_map(two_kinds, "components"), 100)
    u = u_of(100, (256,))
    rank = u[:, 1:5].argsort(1).argsort(1)
    expected = torch.cat([torch.zeros(100, 1, dtype=torch.bool), rank < count], 1)
    for c in range(100):
        assert torch.equal(choose(targets, count, u)[c], expected[c][targets[c].long()])


# --- anchors


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_anchors_share_of_a_target_stays_clean(share: float) -> None:
    targets = stacked(target_map(two_kinds, "components"), 100)
    u = u_of(100, (256,))
    chosen = choose(targets, 2, u)
    perturbed = semantic_perturbation(
        targets, 2, share, u, u_of(100, targets.shape[1:], "own anchors")
    )
    assert not (perturbed & ~chosen).any()
    n = int(chosen.sum())
    anchors = float((chosen & ~perturbed).sum()) / n
    assert n > 4000
    assert anchors == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n) + 1e-12)


def test_anchors_are_drawn_pixel_by_pixel_and_anew_for_each_image() -> None:
    targets = stacked(np.ones((32, 32), np.uint8), 2)
    first, second = ~semantic_perturbation(
        targets, 1, 0.3, u_of(2, (256,)), u_of(2, (32, 32), "own anchors")
    )
    both = (first & second).float().mean()
    assert both.item() == pytest.approx(0.09, abs=4 * math.sqrt(0.09 * 0.91 / 1024))
    neighbours = (first[:, 1:] & first[:, :-1]).float().mean()
    assert neighbours.item() == pytest.approx(0.09, abs=4 * math.sqrt(0.09 * 0.91 / 992) * 1.5)


def test_more_targets_than_the_largest_number_fit_the_draws() -> None:
    targets = torch.arange(1, MAX_TARGETS + 1, dtype=torch.uint8).view(1, 15, 17)
    assert choose(targets, 255, u_of(1, (256,))).all()
    assert choose(targets, 7, u_of(1, (256,))).sum() == 7
