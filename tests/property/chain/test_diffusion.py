"""The label diffusion obeys Bayes: every closed form equals its brute force over (K, K) matrices.

Method, section 1; invariants 1 to 9 of the house style; in float64 but where float32 is the point.
"""

import math

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from spad.chain.diffusion import (
    draw_posterior,
    end,
    evidence,
    kl,
    likelihood,
    one_hot,
    posterior,
    prior_logits,
    q_sample,
)
from spad.chain.host_words import block, chain_words, views
from spad.chain.noise_schedule import NoiseSchedule, cosine_schedule
from spad.chain.sampler import Chains, step_times


def given(*strategies):
    """Hypothesis' given: the same examples in every run, as long as they take."""
    fixed = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
    return lambda test: fixed(hypothesis.given(*strategies)(test))


F64 = torch.float64
PIXELS = 12
COSINE = cosine_schedule()


class Problem:
    """A schedule, a jump t -> s, K classes, and random label maps and prior on a few pixels."""

    def __init__(self, schedule, t, s, k, seed, sharpness=1.0):
        rng = np.random.default_rng(seed)
        self.schedule, self.t, self.s, self.k = schedule, t, s, k
        self.jump = schedule.jump(t, s, dtype=F64)
        self.x_t = torch.from_numpy(rng.integers(0, k, (1, 1, PIXELS)))
        # Half of the pixels have kept their label, so that x_t = x_0 and x_t != x_0 both occur.
        other = torch.from_numpy(rng.integers(0, k, (1, 1, PIXELS)))
        self.x_0 = torch.where(torch.arange(PIXELS) % 2 == 0, self.x_t, other)
        logits = torch.from_numpy(rng.normal(0, sharpness, (1, k, 1, PIXELS)))
        self.log_prior = logits.log_softmax(1)
        self.prior = self.log_prior.exp()

    def kernel(self, s, t):
        """Brute force: the product of the one-step kernels from s to t, (K, K), rows are x_s."""
        out = torch.eye(self.k, dtype=F64)
        for beta in self.schedule.betas[s:t]:
            out = out @ ((1 - beta) * torch.eye(self.k, dtype=F64) + beta / self.k)
        return out

    def bayes(self, p_0):
        """Brute force: sum_i p(x_0 = i | x_t) q(x_s | x_t, x_0 = i), pixel by pixel."""
        to_s, on, to_t = self.kernel(0, self.s), self.kernel(self.s, self.t), self.kernel(0, self.t)
        out = torch.zeros_like(p_0)
        for x in range(PIXELS):
            k = int(self.x_t[0, 0, x])
            for i in range(self.k):
                out[0, :, 0, x] += p_0[0, i, 0, x] * on[:, k] * to_s[i] / to_t[i, k]
        return out


@st.composite
def problems(draw_, sharpness=1.0):
    schedule = draw_(
        st.one_of(
            st.sampled_from([COSINE, cosine_schedule(10), cosine_schedule(2)]),
            st.lists(st.floats(1e-4, 0.9), min_size=1, max_size=9).map(NoiseSchedule),
        )
    )
    t = draw_(st.integers(1, schedule.steps))
    s = draw_(st.one_of(st.just(0), st.just(t - 1), st.integers(0, t - 1)))
    k, seed = draw_(st.integers(2, 6)), draw_(st.integers(0, 2**32 - 1))
    return Problem(schedule, t, s, k, seed, sharpness)


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# Forward process


@given(problems())
def test_chained_one_step_kernels_equal_the_marginal_of_x_t(p):
    columns = p.kernel(0, p.t)[:, p.x_t[0, 0]]  # q(x_t | x_0 = i), one column a pixel
    close(likelihood(p.x_t, p.jump, p.k)[0, :, 0], columns)


@given(problems())
def test_the_likelihood_of_all_x_t_is_a_distribution(p):
    every_x_t = torch.arange(p.k).view(1, 1, p.k)
    q = likelihood(every_x_t, p.jump, p.k)[0, :, 0]  # (x_0, x_t)
    assert (q >= 0).all()
    close(q.sum(1), torch.ones(p.k, dtype=F64), 1e-12)


def test_one_hot_gives_a_one_at_the_label_and_nothing_elsewhere():
    labels = torch.tensor([[[0, 2, 1, 255]]], dtype=torch.uint8)
    assert one_hot(labels, 3)[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]


# Posterior


@given(problems(sharpness=3.0))
def test_the_posterior_is_a_distribution(p):
    out = posterior(p.x_t, p.prior, p.jump)
    assert (out >= 0).all()
    close(out.sum(1), torch.ones_like(out[:, 0]), 1e-12)


@given(problems(sharpness=3.0))
def test_the_posterior_equals_the_mixture_over_classes_of_the_papers(p):
    p_0 = p.prior * likelihood(p.x_t, p.jump, p.k)
    close(posterior(p.x_t, p.prior, p.jump), p.bayes(p_0 / p_0.sum(1, keepdim=True)), 1e-8)


@given(problems(sharpness=3.0))
def test_a_prediction_that_has_weighed_x_t_becomes_a_prior_by_dividing_the_likelihood_out(p):
    p_0 = p.prior  # read as p(x_0 | x_t), as method.md's formula takes it
    prior = p_0 / likelihood(p.x_t, p.jump, p.k)
    close(posterior(p.x_t, prior / prior.sum(1, keepdim=True), p.jump), p.bayes(p_0), 1e-8)


@given(problems(sharpness=3.0), st.floats(-50, 50))
def test_the_posterior_by_a_prior_made_of_p_x_0_given_x_t_is_d3pms_mixture(p, offset):
    """CCDM's network predicts p(x_0 | x_t); only its softmax counts, whatever the offset."""
    prior = prior_logits(p.log_prior + offset, p.x_t, p.jump).softmax(1)
    close(posterior(p.x_t, prior, p.jump), p.bayes(p.prior), 1e-8)


@pytest.mark.parametrize("t", [1, 2, 125, 250])
def test_p_x_0_given_x_t_comes_back_from_its_prior_in_float32(t):
    p = Problem(COSINE, t, 0, 6, seed=t, sharpness=8.0)
    jump = COSINE.jump(t, 0)
    prior = prior_logits(p.log_prior.float(), p.x_t, jump).softmax(1)
    close(posterior(p.x_t, prior, jump).double(), p.prior, 1e-5)


@given(problems())
def test_the_posterior_to_time_0_is_the_prior_weighed_by_the_likelihood(p):
    jump = p.schedule.jump(p.t, 0, dtype=F64)
    p_0 = p.prior * likelihood(p.x_t, jump, p.k)
    close(posterior(p.x_t, p.prior, jump), p_0 / p_0.sum(1, keepdim=True), 1e-12)


@given(problems())
def test_the_posterior_to_time_0_of_a_one_hot_prior_is_exactly_that_class(p):
    truth = one_hot(p.x_0, p.k, F64)
    assert torch.equal(posterior(p.x_t, truth, p.schedule.jump(p.t, 0, dtype=F64)), truth)


@given(problems())
def test_bayes_holds_between_x_s_and_x_t_for_a_one_hot_prior(p):
    """q(x_s | x_t, x_0) q(x_t | x_0) = q(x_t | x_s) q(x_s | x_0)."""
    truth = one_hot(p.x_0, p.k, F64)
    left = posterior(p.x_t, truth, p.jump) * p.kernel(0, p.t)[p.x_0, p.x_t].unsqueeze(1)
    right = p.kernel(p.s, p.t)[:, p.x_t[0, 0]] * p.kernel(0, p.s)[p.x_0[0, 0]].T
    close(left[0, :, 0], right)


@pytest.mark.parametrize("t", [1, 2, 3, 125, 249, 250])
def test_the_posterior_stays_a_distribution_in_float32_at_both_ends_of_the_schedule(t):
    for s in {0, t // 2, t - 1}:
        p = Problem(COSINE, t, s, 6, seed=t, sharpness=8.0)
        out = posterior(p.x_t, p.prior.float(), COSINE.jump(t, s))
        close(out.double(), posterior(p.x_t, p.prior, p.jump), 1e-5)


# KL


def brute_kl(p, log_prior):
    """Sum of q log(q / p) with both posteriors in full; 0 log 0 = 0."""
    q = posterior(p.x_t, one_hot(p.x_0, p.k, F64), p.jump)
    terms = torch.xlogy(q, q) - torch.xlogy(q, posterior(p.x_t, log_prior.exp(), p.jump))
    return terms.sum(1)


@given(problems(sharpness=2.0))
def test_kl_equals_the_sum_over_the_classes(p):
    close(kl(p.x_t, p.x_0, p.log_prior, p.jump), brute_kl(p, p.log_prior), 1e-7)


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize(("t", "s"), [(1, 0), (2, 1), (2, 0), (250, 249), (250, 0), (250, 100)])
def test_kl_equals_the_sum_over_the_classes_at_the_ends_of_the_schedule(k, t, s):
    p = Problem(COSINE, t, s, k, seed=10 * t + s, sharpness=2.0)
    assert (p.x_t == p.x_0).any()
    assert (p.x_t != p.x_0).any()
    expected = brute_kl(p, p.log_prior)
    close(kl(p.x_t, p.x_0, p.log_prior, p.jump), expected, 1e-7)
    in_float32 = kl(p.x_t, p.x_0, p.log_prior.float(), COSINE.jump(t, s))
    assert in_float32.dtype == torch.float32
    close(in_float32.double(), expected, 2e-5)


@given(problems(sharpness=4.0))
def test_kl_is_never_negative(p):
    assert kl(p.x_t, p.x_0, p.log_prior, p.jump).min() >= -1e-9


@given(problems())
def test_kl_is_zero_where_the_prior_is_the_truth(p):
    sure = (800 * one_hot(p.x_0, p.k, F64)).log_softmax(1)
    close(kl(p.x_t, p.x_0, sure, p.jump), torch.zeros(1, 1, PIXELS, dtype=F64), 1e-9)


@given(problems())
def test_kl_to_time_0_is_the_cross_entropy_of_the_prediction_given_x_t(p):
    jump = p.schedule.jump(p.t, 0, dtype=F64)
    p_0 = posterior(p.x_t, p.prior, jump).gather(1, p.x_0.unsqueeze(1)).squeeze(1)
    close(kl(p.x_t, p.x_0, p.log_prior, jump), -p_0.log())


@given(problems(sharpness=2.0))
def test_the_gradient_of_kl_equals_that_of_the_sum_over_the_classes(p):
    gradients = []
    for loss in (lambda lp: kl(p.x_t, p.x_0, lp, p.jump), lambda lp: brute_kl(p, lp)):
        logits = p.log_prior.clone().requires_grad_()
        loss(logits.log_softmax(1)).sum().backward()
        gradients.append(logits.grad)
    close(*gradients, tolerance=1e-7)


@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    ("t", "s", "margin"), [(1, 0, 1e4), (250, 0, 1e4), (2, 1, 60), (100, 99, 60), (250, 249, 60)]
)
def test_a_confident_wrong_prior_costs_a_finite_sum_and_keeps_its_gradient(t, s, margin, same, k):
    """From s > 0 the gradient is truly as small as exp(-margin); float32 must not lose it."""
    x_0 = torch.zeros(1, 1, 4, dtype=torch.long)
    x_t = x_0 if same else x_0 + 1
    gradients = []
    for dtype in (torch.float32, F64):
        logits = torch.zeros(1, k, 1, 4, dtype=dtype)
        logits[:, 1] = margin  # sure of class 1, the truth is class 0
        logits.requires_grad_()
        cost = kl(x_t, x_0, logits.log_softmax(1), COSINE.jump(t, s, dtype=dtype))
        cost.sum().backward()
        assert torch.isfinite(cost).all()
        assert torch.isfinite(logits.grad).all()
        assert (logits.grad[:, 0] < 0).all()  # descent raises the truth
        gradients.append(logits.grad[:, 0].double())
        if s == 0:
            assert (cost > margin - 20).all()
            assert (logits.grad[:, 1] > 0).all()  # and lowers the error
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0)


@given(problems())
def test_evidence_is_the_probability_of_x_t_under_the_prior(p):
    total = (p.prior * likelihood(p.x_t, p.jump, p.k)).sum(1)
    close(evidence(p.x_t, p.log_prior, p.jump), total.log())


# Symmetry


@given(problems(), st.randoms(use_true_random=False))
def test_permuting_the_classes_permutes_everything(p, random):
    order = list(range(p.k))
    random.shuffle(order)
    hypothesis.assume(order != sorted(order))
    back = torch.tensor(order)  # class i becomes class new[i]; row j of a permuted map is back[j]
    new = torch.argsort(back)
    x_t, x_0, log_prior = new[p.x_t], new[p.x_0], p.log_prior[:, back]
    close(likelihood(x_t, p.jump, p.k), likelihood(p.x_t, p.jump, p.k)[:, back], 1e-12)
    close(posterior(x_t, p.prior[:, back], p.jump), posterior(p.x_t, p.prior, p.jump)[:, back])
    close(kl(x_t, x_0, log_prior, p.jump), kl(p.x_t, p.x_0, p.log_prior, p.jump))


# The chain


def sampled(prior, schedule, times, *, shape, num_classes, seed, chains):
    """p(x_0) of so many chains of one image, (1, n, K, H, W)."""
    words = chain_words(
        schedule, times, seed=seed, slices=[0], chains=range(chains), num_classes=num_classes,
        coherent=False,
    )  # fmt: skip
    words = views({name: each.shape for name, each in words.items()}, block(words))
    run = Chains(prior, schedule, times, words, shape=shape, num_classes=num_classes)
    for number in range(len(times)):
        run.step(number)
    return run.p_0


@pytest.mark.parametrize("predicts", ["prior", "x_0"])
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize(
    ("grid", "steps"), [("uniform", n) for n in (2, 5, 25, 250)] + [("log-snr", 5), ("log-snr", 25)]
)
def test_with_an_oracle_every_visited_time_shows_the_share_of_truth_of_the_forward_process(
    grid, steps, k, predicts
):
    side, chains = 40, 6
    truth = torch.from_numpy(np.random.default_rng(k).integers(0, k, (side, side)))
    logits = (1e4 * one_hot(truth[None], k)).expand(1, chains, k, side, side)
    shares = {}

    def oracle(x_t, t):
        shares[t] = (x_t == truth).double().mean().item()
        if predicts == "prior":
            return logits.clone()
        return prior_logits(logits, x_t, COSINE.jump(t, 0))

    times = step_times(COSINE, steps, grid)
    sampled(oracle, COSINE, times, shape=(side, side), num_classes=k, seed=5, chains=chains)
    assert list(shares) == times
    for t, share in shares.items():
        alpha_bar = COSINE.alpha_bar[t]
        expected = alpha_bar + (1 - alpha_bar) / k
        error = math.sqrt(expected * (1 - expected) / (chains * side**2))
        assert abs(share - expected) <= 4 * error, f"at t = {t}"


@given(problems(), st.integers(0, 2**32 - 1))
def test_labels_drawn_at_x_t_are_classes(p, seed):
    u = torch.from_numpy(np.random.default_rng(seed).random((1, 1, PIXELS), dtype=np.float32))
    labels = q_sample(p.x_0, p.jump.alpha_bar_t[:, 0], p.k, u)
    assert 0 <= labels.min() <= labels.max() < p.k


@given(problems())
def test_of_equally_spaced_numbers_each_class_gets_its_share_of_the_posterior(p):
    hypothesis.assume((p.jump.alpha_bar_s < 1).all())  # s = 0 is not drawn
    count = 4000
    u = ((torch.arange(count, dtype=F64) + 0.5) / count).view(count, 1, 1).expand(-1, 1, PIXELS)
    x_t = p.x_t.to(torch.uint8).expand(count, 1, PIXELS)
    labels = draw_posterior(x_t, p.prior, p.jump, u)
    assert labels.dtype == torch.uint8
    shares = one_hot(labels, p.k, F64).mean(0, keepdim=True)
    # Each class is one interval of u, or two: that of x_t's survival and that of its loss.
    close(shares, posterior(p.x_t, p.prior, p.jump), 3 / count)


@pytest.mark.parametrize("s", [1, 120, 249])
@pytest.mark.parametrize("k", [2, 6])
def test_numbers_at_the_very_ends_draw_classes_in_float32(k, s):
    extremes = torch.tensor([2.0**-24, 0.5, 1 - 2.0**-24]).view(-1, 1, 1).expand(-1, 1, k)
    x_t = torch.arange(k, dtype=torch.uint8).expand(3, 1, k)
    for sure in range(k):
        prior = one_hot(torch.full((1, 1, k), sure), k)
        labels = draw_posterior(x_t, prior, COSINE.jump(250, s), extremes)
        assert labels.max() < k


def test_a_prior_shared_by_chains_draws_as_one_of_each_chain_would():
    x_t = torch.arange(60, dtype=torch.uint8).view(1, 5, 3, 4) % 3
    prior = torch.rand(1, 1, 3, 3, 4, generator=torch.Generator().manual_seed(1)).softmax(2)
    u = torch.rand(1, 5, 3, 4, generator=torch.Generator().manual_seed(2))
    jump = COSINE.jump(200, 90)
    apart = draw_posterior(x_t, prior.expand(1, 5, 3, 3, 4).clone(), jump, u)
    assert torch.equal(draw_posterior(x_t, prior, jump, u), apart)
    one_by_one = [draw_posterior(x_t[:, i], prior[:, 0], jump, u[:, i]) for i in range(5)]
    assert torch.equal(torch.stack(one_by_one, 1), apart)


@given(problems())
def test_the_end_of_a_chain_is_the_posterior_at_0(p):
    jump = p.schedule.jump(p.t, 0, dtype=F64)
    close(end(p.x_t, p.log_prior.clone(), jump), posterior(p.x_t, p.prior, jump))


@pytest.mark.parametrize("times", [range(8, 0, -1), [8, 5, 3, 2, 1], [8, 4], [8]])
def test_a_chain_visits_labels_as_often_as_its_transition_matrices_say(times):
    """With every time it is the ancestral chain; with some, the chain of the jumps between them."""
    k, times = 3, list(times)
    schedule = NoiseSchedule([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.5])
    told = torch.randn(9, k, k, generator=torch.Generator().manual_seed(0), dtype=F64)  # t, x_t
    shape, chains = (40, 40), 40

    def prior(x_t, t):
        return told[t].float()[x_t.long()].movedim(-1, 2).contiguous()

    p_0 = sampled(prior, schedule, times, shape=shape, num_classes=k, seed=1, chains=chains)

    here = torch.full((k,), 1 / k, dtype=F64)  # p(x_T)
    for t, s in zip(times, [*times[1:], 0], strict=True):
        x_t = torch.arange(k).view(k, 1, 1)
        steps = posterior(x_t, told[t].softmax(1).view(k, k, 1, 1), schedule.jump(t, s, dtype=F64))
        here = here @ steps[:, :, 0, 0]  # p(x_s)
    n = chains * shape[0] * shape[1]
    found = p_0.double().mean((0, 1, 3, 4))
    assert ((found - here).abs() <= 4 * (here * (1 - here) / n).sqrt()).all()
