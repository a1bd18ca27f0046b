"""Draws depend on what they are for and on nothing else, and follow their distributions.

Invariant 10 of the house style. Seeds are fixed: the statistical tests always decide alike.
"""

import zlib

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from scipy import stats

from spad.chain import draws
from spad.chain.diffusion import q_sample
from spad.chain.noise_schedule import cosine_schedule


def given(*strategies):
    """Hypothesis' given: the same examples in every run, as long as they take."""
    fixed = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
    return lambda test: fixed(hypothesis.given(*strategies)(test))


SHAPE = (48, 64)
SEEDS = st.integers(0, 2**63 - 1)
WORST = 1e-4  # p-value below which a fixed seed counts as a failure


def numbers_of(count, seed=0, purpose="test"):
    return draws.uniform(draws.keys(seed, range(count), purpose), SHAPE)


# Keys


@given(SEEDS, st.lists(st.integers(0, 2**31), min_size=1, max_size=6))
def test_a_batch_has_the_keys_of_its_entries(seed, numbers):
    batch = draws.keys(seed, numbers, "chain")
    assert batch.dtype == np.int32
    assert [tuple(row) for row in batch] == [draws.key(seed, n, purpose="chain") for n in numbers]
    assert np.array_equal(batch, draws.keys(seed, [(n,) for n in numbers], "chain"))


def test_each_seed_number_order_and_purpose_has_a_key_of_its_own():
    found = {
        draws.key(seed, *numbers, purpose=purpose)
        for seed in (0, 1, 2, 2**32 - 1)
        for numbers in [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**31,), (0, 1, 2), (2, 1, 0)]
        for purpose in ("chain", "t", "clean")
    }
    assert len(found) == 4 * 9 * 3


def test_a_seed_of_more_than_32_bits_has_a_key_of_its_own_too():
    seeds = [seed for b in range(32, 63) for seed in (2**b, 2**b + 1)]
    found = {draws.key(seed, *of, purpose="t") for seed in seeds for of in [(), (0,), (1,), (1, 0)]}
    assert len(found) == 4 * len(seeds)


def test_no_images_give_no_keys_and_no_numbers():
    empty = draws.keys(0, [], "chain")
    assert empty.shape == (0, 2)
    assert draws.uniform(empty, SHAPE).shape == (0, *SHAPE)


# The same draws, whatever the split


@given(SEEDS, st.integers(1, 7), st.integers(0, 7))
def test_the_draws_do_not_depend_on_the_split_of_the_batch(seed, size, cut):
    keys = draws.keys(seed, [(n, 3) for n in range(size)], "chain")
    for of in (draws.uniform, draws.normal):
        parts = [of(part, (5, 7)) for part in (keys[:cut], keys[cut:])]
        assert torch.equal(of(keys, (5, 7)), torch.cat(parts))


def test_drawing_more_in_between_changes_nothing():
    before = numbers_of(2)
    numbers_of(5, seed=9, purpose="else")
    torch.manual_seed(1)
    assert torch.equal(numbers_of(2), before)


def test_the_counter_that_is_shared_between_calls_is_never_written_to():
    keys = draws.keys(0, [0], "chain")
    first = draws.uniform(keys, (9,)).clone()
    draws.uniform(keys, (9,)).zero_()
    assert torch.equal(draws.uniform(keys, (9,)), first)


def lowbias32(x):
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = (x ^ (x >> shift)) * factor & 0xFFFFFFFF
    return x


def test_the_integers_are_those_of_the_hash_in_plain_arithmetic():
    """Wrapping and logical shifts of int32 tensors, pixel by pixel: what devices must agree on."""
    rows = draws.keys(7, range(4), "hash")
    u = draws.uniform(rows, (50,))
    for row, of_row in zip(rows.view(np.uint32).tolist(), u.tolist(), strict=True):
        for counter, value in enumerate(of_row):
            bits = lowbias32((lowbias32(counter ^ row[0]) + row[1]) & 0xFFFFFFFF)
            assert int(value * 2**16) == bits >> 16


def test_the_purpose_is_hashed_alike_in_every_process():
    """Python's own hash() of a text changes with each process."""
    words = np.random.SeedSequence([3, 1, zlib.crc32(b"chain")]).generate_state(2, np.uint32)
    assert draws.key(3, 1, purpose="chain") == tuple(words.view(np.int32).tolist())


# Distributions


def key_of_bits(bits):
    """A key whose first pixel's 32 random bits are the given ones (lowbias32 run backwards)."""
    x = bits ^ bits >> 16
    x = x * 0x43021123 & 0xFFFFFFFF
    x ^= x >> 15 ^ x >> 30
    x = x * 0x1D69E2A5 & 0xFFFFFFFF
    return np.array([[0, x ^ x >> 16]], dtype=np.uint32).view(np.int32)


@pytest.mark.parametrize("bits", [0, 1, 2**31, 2**32 - 2**9, 2**32 - 1])
def test_even_the_rarest_bits_give_a_uniform_inside_0_1_and_a_finite_normal(bits):
    key = key_of_bits(bits)
    u = draws.uniform(key, (1,)).item()
    assert u == pytest.approx(bits / 2**32, abs=2**-22)  # the key does what it says
    assert 0 < u < 1
    assert torch.isfinite(draws.normal(key, (1,))).all()


@pytest.mark.slow
def test_many_million_uniform_numbers_never_touch_0_or_1():
    for n in range(32):
        u = draws.uniform(draws.keys(0, [n], "many"), (2048, 1024))
        assert u.min() > 0
        assert u.max() < 1


def test_uniform_numbers_are_uniform():
    u = numbers_of(30).flatten()
    counts = torch.histc(u, bins=100, min=0, max=1).numpy()
    assert stats.chisquare(counts).pvalue > WORST
    assert stats.kstest(u.numpy(), "uniform").pvalue > WORST


def test_each_pixel_is_uniform_over_the_keys():
    u = draws.uniform(draws.keys(0, range(4000), "pixels"), (2, 3)).flatten(1)
    for pixel in u.T:
        assert stats.kstest(pixel.numpy(), "uniform").pvalue > WORST


def test_normal_numbers_are_normal():
    z = draws.normal(draws.keys(0, range(30), "noise"), SHAPE)
    assert z.dtype == torch.float32
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > WORST


@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("t", [1, 60, 125, 190, 250])
def test_noised_labels_are_as_frequent_as_the_forward_process_says(t, k):
    alpha_bar = cosine_schedule().alpha_bar[t]
    truth = k - 1
    x_0 = torch.full((20, *SHAPE), truth, dtype=torch.uint8)
    x_t = q_sample(x_0, torch.tensor(alpha_bar, dtype=torch.float32), k, numbers_of(20, seed=t))
    assert x_t.dtype == torch.uint8
    counts = torch.bincount(x_t.flatten().long(), minlength=k).numpy()
    expected = np.full(k, (1 - alpha_bar) / k)
    expected[truth] += alpha_bar
    assert stats.chisquare(counts, expected * x_t.numel()).pvalue > WORST


def test_a_time_of_its_own_for_each_image_noises_each_by_its_own_share():
    alpha_bar = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    x_0 = torch.zeros((3, *SHAPE), dtype=torch.uint8)
    kept = (q_sample(x_0, alpha_bar, 5, numbers_of(3)) == 0).float().mean((1, 2))
    assert kept[0] == 1
    torch.testing.assert_close(kept[1:], torch.tensor([0.6, 0.2]), rtol=0, atol=0.04)


# Independence


def streams():
    for seed in (0, 1, 2**31):
        for numbers in ((0,), (1,), (2,), (0, 0), (0, 1), (1, 0)):
            for purpose in ("chain", "perturbation"):
                yield draws.keys(seed, [numbers], purpose)


def test_draws_of_different_seeds_numbers_and_purposes_are_uncorrelated():
    all_of_them = torch.cat([draws.uniform(key, SHAPE).flatten(1) for key in streams()])
    correlation = np.corrcoef(all_of_them.numpy())
    pairs = correlation[np.triu_indices_from(correlation, 1)]
    assert np.abs(pairs).max() < 4.5 / np.sqrt(all_of_them.shape[1])  # 630 pairs
    assert stats.kstest(pairs * np.sqrt(all_of_them.shape[1]), "norm").pvalue > WORST


@pytest.mark.parametrize("lag", [1, 2, 63, 64, 65, 128, 1024])
def test_neighbouring_pixels_are_uncorrelated(lag):
    u = draws.uniform(draws.keys(0, range(10), "lag"), (SHAPE[0] * SHAPE[1],)).numpy()
    r = np.corrcoef(u[:, :-lag].ravel(), u[:, lag:].ravel())[0, 1]
    assert abs(r) < 4 / np.sqrt(u[:, lag:].size)


@pytest.mark.cuda
def test_uniform_numbers_are_equal_to_the_bit_on_the_gpu():
    keys = draws.keys(0, range(3), "gpu")
    there = draws.uniform(keys, SHAPE, device="cuda")
    assert there.device.type == "cuda"
    assert torch.equal(there.cpu(), draws.uniform(keys, SHAPE))
