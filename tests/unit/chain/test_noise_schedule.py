"""The noise schedule: alpha_bar is the product of the alphas, to full precision at both ends."""

from fractions import Fraction

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from spad.chain.noise_schedule import Jump, NoiseSchedule, cosine_schedule


def given(*strategies):
    """Hypothesis' given: the same examples in every run, as long as they take."""
    fixed = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
    return lambda test: fixed(hypothesis.given(*strategies)(test))


betas = st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=30)
SCHEDULES = [cosine_schedule(), cosine_schedule(1000), cosine_schedule(2), cosine_schedule(50, 0.0)]


@given(betas)
def test_alpha_bar_is_the_product_of_the_alphas(betas):
    schedule = NoiseSchedule(betas)
    assert schedule.steps == len(betas)
    alpha_bar = schedule.alpha_bar
    assert alpha_bar.shape == (len(betas) + 1,)
    assert alpha_bar[0] == 1
    np.testing.assert_allclose(alpha_bar[1:], np.cumprod(1 - np.array(betas)), rtol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["default", "1000", "2", "no offset"])
def test_the_cosine_schedule_falls_from_one_to_nearly_nothing(schedule):
    alpha_bar = schedule.alpha_bar
    assert (np.diff(alpha_bar) < 0).all()
    assert alpha_bar[-1] < 1e-3
    assert schedule.betas.max() <= 0.999
    np.testing.assert_allclose(alpha_bar[1:], np.cumprod(1 - schedule.betas), rtol=1e-12)


def test_the_cosine_schedule_follows_the_squared_cosine_until_beta_is_capped():
    schedule = cosine_schedule(250)
    u = (np.arange(251) / 250 + 0.008) / 1.008 * np.pi / 2
    expected = np.cos(u) ** 2 / np.cos(u[0]) ** 2
    np.testing.assert_allclose(schedule.alpha_bar[:-1], expected[:-1], rtol=1e-9)
    assert schedule.betas[-1] == 0.999
    assert schedule.alpha_bar[-1] == pytest.approx(4e-8, rel=0.1)  # as method.md says


@given(betas, st.data())
def test_a_jump_has_the_exact_coefficients_even_where_they_nearly_cancel(betas, data):
    schedule = NoiseSchedule(betas)
    t = data.draw(st.integers(1, len(betas)))
    s = data.draw(st.integers(0, t - 1))
    alphas = [1 - Fraction(beta) for beta in betas]
    product = {s: Fraction(1), t: Fraction(1)}
    for end in product:
        for alpha in alphas[:end]:
            product[end] *= alpha
    expected = Jump(
        alpha_bar_s=product[s],
        alpha_bar_s_lost=1 - product[s],
        alpha_bar_t=product[t],
        alpha_bar_t_lost=1 - product[t],
        kept=product[t] / product[s],
        lost=1 - product[t] / product[s],
    )
    jump = schedule.jump(t, s, dtype=torch.float64)
    for name in Jump.__slots__:
        value = getattr(jump, name)
        assert value.shape == (1, 1, 1, 1)
        assert value.item() == pytest.approx(float(getattr(expected, name)), rel=1e-9, abs=0), name


def test_what_one_step_loses_is_precise_in_float32():
    """1 - alpha_bar of a float32 table has 3 digits at t = 1; ours has 7."""
    schedule = cosine_schedule(250)
    jump = schedule.jump(1, 0)
    assert jump.alpha_bar_t_lost.item() == pytest.approx(schedule.betas[0], rel=1e-6)
    assert jump.alpha_bar_s.item() == 1
    assert jump.alpha_bar_s_lost.item() == 0


def test_each_image_of_a_batch_jumps_from_and_to_its_own_times():
    schedule = cosine_schedule(10)
    batch = schedule.jump([1, 5, 10], [0, 2, 9])
    for b, (t, s) in enumerate([(1, 0), (5, 2), (10, 9)]):
        alone = schedule.jump(t, s)
        for name in Jump.__slots__:
            assert getattr(batch, name).shape == (3, 1, 1, 1)
            assert getattr(batch, name)[b].item() == getattr(alone, name).item()
    together = schedule.jump([3, 4], 0)
    assert together.alpha_bar_s.flatten().tolist() == [1, 1]


def test_a_jump_is_of_the_dtype_and_on_the_device_asked_for():
    jump = cosine_schedule(10).jump([3, 4], [1, 2], device="meta", dtype=torch.float64)
    for name in Jump.__slots__:
        assert getattr(jump, name).device.type == "meta"
        assert getattr(jump, name).dtype == torch.float64


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["default", "1000", "2", "no offset"])
def test_log_snr_falls_and_is_that_of_alpha_bar(schedule):
    alpha_bar = schedule.alpha_bar[1:]
    assert (np.diff(schedule.log_snr) < 0).all()
    expected = np.log(alpha_bar) - np.log1p(-alpha_bar)
    np.testing.assert_allclose(schedule.log_snr, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("t", "s"), [(0, 0), (11, 3), (3, 3), (3, 4), (3, -1), ([2, 3], [1, 3]), ([2, 11], [1, 1])]
)
def test_a_jump_that_is_none_is_refused_with_its_times_and_the_limit(t, s):
    with pytest.raises(ValueError, match=r"t=\[.*s=\[.*0 <= s < t <= 10"):
        cosine_schedule(10).jump(t, s)


@pytest.mark.parametrize("betas", [[], [0.0], [1.0], [0.5, -0.1], [0.5, np.nan], [[0.5]], 0.5])
def test_betas_outside_0_1_are_refused(betas):
    with pytest.raises(ValueError, match=r"inside \(0, 1\)"):
        NoiseSchedule(betas)
