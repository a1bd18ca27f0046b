"""Corrections spread to what looks alike: where, how far, and what stays exactly as given."""

import numpy as np
import pytest
import torch

from spad.checkpoint.card import NetworkConfig
from spad.network import build
from spad.network.correction_spread import REACH_PX, spread

FREE, K = 255, 4
H, W = 64, 96


def scene():
    """Logits sure of class 0 everywhere; features of two kinds of tissue, a checkerboard of 16."""
    logits = torch.zeros(1, K, H, W)
    logits[:, 0] = 2
    rows, columns = torch.arange(H // 4)[:, None] // 4, torch.arange(W // 4) // 4
    kind = ((rows + columns) % 2).float()
    return logits, torch.stack([kind, -kind])[None], kind


def fixed(value=2, rows=slice(20, 28), columns=slice(20, 28)):
    hints = torch.full((1, H, W), FREE, dtype=torch.uint8)
    hints[:, rows, columns] = value
    return hints


def test_where_nothing_is_fixed_nothing_changes_to_the_bit():
    logits, features, _ = scene()
    assert torch.equal(spread(logits, features, fixed(FREE)), logits)


def test_a_correction_reaches_what_is_near_and_looks_alike():
    logits, features, _ = scene()
    change = spread(logits, features, fixed())[0, 2] - logits[0, 2]
    here, unlike, diagonal = change[24, 24], change[24, 36], change[36, 36]
    assert here > 0.5
    assert 0 < diagonal < here
    assert unlike.abs() < 0.1 * diagonal
    far = change[:, 28 + 3 * int(REACH_PX) + 1 :]
    assert far.numel()
    assert not far.any()


def test_the_class_that_was_wrong_loses_what_the_right_one_gains():
    logits, features, _ = scene()
    change = (spread(logits, features, fixed()) - logits)[0, :, 24, 24]
    assert change[2] > 0 > change[0]
    assert change.sum().abs() < 1e-4
    assert change[2] == change.max()


def test_a_fixed_pixel_that_was_right_anyway_changes_next_to_nothing():
    logits, features, _ = scene()
    logits[:, 0] = 12
    assert (spread(logits, features, fixed(0)) - logits).abs().max() < 1e-3


def test_contradictions_are_smoothed_over_and_a_whole_image_can_be_fixed():
    logits, features, _ = scene()
    hints = torch.randint(K, (1, H, W), generator=torch.Generator().manual_seed(0))
    out = spread(logits, features, hints.to(torch.uint8))
    assert out.isfinite().all()
    assert (out - logits).abs().max() < 20


def test_each_image_has_its_own_corrections():
    logits, features, _ = (torch.cat([x, x]) if x.ndim == 4 else x for x in scene())
    hints = torch.cat([fixed(), fixed(FREE)])
    out = spread(logits, features, hints)
    assert torch.equal(out[1], logits[1])
    assert torch.equal(out[:1], spread(logits[:1], features[:1], hints[:1]))


def test_features_that_do_not_vary_are_no_division_by_zero():
    logits, features, _ = scene()
    assert spread(logits, torch.zeros_like(features), fixed()).isfinite().all()


# The networks


def told(net, value=2):
    with torch.no_grad():
        image = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
        hints = torch.full((1, 32, 48), FREE, dtype=torch.uint8)
        hints[:, 10:14, 20:24] = value
        condition = net.encode(image)
        return condition, net.hinted(condition, hints)


def test_the_denoiser_is_told_as_if_the_encoder_had_said_so(model):
    net = model()._model.network
    before, after = told(net)
    assert (before.logits - after.logits).abs().max() > 0.1
    features = torch.zeros(1, 16, 8, 12)
    with torch.no_grad():
        expected = net.denoiser.context(after.logits, features)
        expected -= net.denoiser.context(before.logits, features)
    torch.testing.assert_close(after.context - before.context, expected, rtol=1e-3, atol=1e-3)
    assert (expected.abs() > 1e-3).any()


def test_a_network_without_logits_of_its_own_is_left_as_it_is():
    net = build(NetworkConfig(kind="concat", widths=(8, 16, 16)), K, None).eval()
    before, after = told(net)
    assert after is before


# The segmenter


SHAPE, GRID = (37, 53), (32, 48)  # of an image on another grid than the network's, and on it


def edits(shape=SHAPE):
    clamp = np.full(shape, FREE, np.uint8)
    clamp[10:16, 20:28] = 2
    return clamp


def test_a_correction_reaches_its_neighbours_even_in_one_step_from_noise(model, bscan):
    """Where x_t tells nothing, and the clamp alone changes nothing but its own pixels."""
    image, clamp = bscan(GRID), edits(GRID)
    plain = model().segment(image, steps=1, probability=True).probability
    held = model().segment(image, steps=1, clamp=clamp, probability=True).probability
    change = np.abs(held.astype(float) - plain)[:, clamp == FREE]
    assert change.max() > 1e-3


@pytest.mark.parametrize("shape", [SHAPE, (100, 141), (9, 80), GRID])
def test_what_is_held_comes_out_exactly_whatever_is_spread(shape, model, bscan):
    rng = np.random.default_rng(0)
    start, clamp = (rng.integers(0, K, shape, dtype=np.uint8) for _ in range(2))
    clamp[rng.random(shape) < 0.8] = FREE
    region = np.zeros(shape, bool)
    region[2:25, 10:40] = True
    held = np.where(region, clamp, start)
    out = model().segment(
        bscan(shape), start=start, clamp=clamp, region=region, samples=3, probability=True
    )
    kept = held != FREE
    for result in (out.labels, *out.samples):
        assert np.array_equal(result[kept], held[kept])
    assert not out.uncertainty[kept].any()
    assert np.array_equal(out.probability.argmax(0)[kept], held[kept])
    assert out.uncertainty[~kept].any()


def test_a_fixed_pixel_outside_the_region_still_tells_of_those_inside(model, bscan):
    """What a person has said is true wherever it lies; what is merely kept is not said."""
    start, region = np.zeros(GRID, np.uint8), np.zeros(GRID, bool)
    region[10:25, 28:45] = True
    options = {"start": start, "region": region, "t0": 250, "probability": True}
    run = [
        model().segment(bscan(GRID), **options, **more).probability
        for more in ({}, {"clamp": edits(GRID)}, {"clamp": start + np.uint8(FREE)})
    ]
    assert not np.array_equal(run[0][:, region], run[1][:, region])
    assert np.array_equal(run[0][:, ~region], run[1][:, ~region])
    assert np.array_equal(run[0], run[2])


def test_chains_keep_their_draws_beside_any_others(model, bscan):
    few, more = (model().segment(bscan(SHAPE), clamp=edits(), samples=n).samples for n in (2, 5))
    assert (few == more[:2]).mean() >= 0.9999


def test_slices_have_corrections_of_their_own(model, bscan):
    clamp = np.stack([edits(), np.full(SHAPE, FREE, np.uint8)])
    both = model().segment(bscan((2, *SHAPE)), clamp=clamp).labels
    alone = model().segment(bscan((2, *SHAPE))).labels
    assert np.array_equal(both[1], alone[1])
    assert (both[0] != alone[0]).any()
