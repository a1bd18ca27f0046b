"""The reverse chain visits the times asked for; chains are independent, fixed pixels stay."""

from itertools import pairwise

import pytest
import torch

from spad.chain.diffusion import one_hot
from spad.chain.host_words import block, chain_words, views
from spad.chain.noise_schedule import cosine_schedule
from spad.chain.sampler import Chains, step_times, times_of_use
from spad.checkpoint.card import SamplingConfig
from spad.inference import drained

COSINE = cosine_schedule()
K, SHAPE = 4, (16, 24)
FREE = 255


def finish(run):
    """Number of yields, and what the generator returned."""
    done = []
    p_0 = drained(run, done.append)
    return done, p_0


def noisy_prior(seen=None):
    """Logits that depend on x_t, t and the pixel: unsure, so that every draw shows."""
    field = torch.randn(K, *SHAPE, generator=torch.Generator().manual_seed(0))

    def prior(x_t, t):
        if seen is not None:
            seen.append((t, x_t.clone()))
        x = one_hot(x_t.flatten(0, 1), K).unflatten(0, x_t.shape[:2])
        return field + 0.7 * x.roll(1, -1) + t / 250

    return prior


def sample(prior, schedule, times, *, seed, slices, chains, num_classes, device="cpu", **options):
    """Steps of a chain, as a generator."""
    words = chain_words(
        schedule, times, seed=seed, slices=slices, chains=chains, num_classes=num_classes,
        coherent=options.get("coherence_px", 0) > 0,
    )  # fmt: skip
    shapes = {name: each.shape for name, each in words.items()}
    words = views(shapes, block(words).to(device))
    run = Chains(prior, schedule, times, words, num_classes=num_classes, **options)
    for number in range(len(times)):
        run.step(number)
        yield number + 1
    return run.p_0


def mean_of(logits, *, times=(250, 25), seed=3, clamp=None, **options):
    """Mean of 5 chains, (K, H, W), and p(x_0) of each, by logits (K, H, W) that heed no x_t."""
    words = chain_words(
        COSINE, times, seed=seed, slices=[0], chains=range(5), num_classes=K, coherent=False
    )
    words = views({name: each.shape for name, each in words.items()}, block(words))

    def prior(x_t, t):
        return logits.expand(*x_t.shape[:2], *logits.shape).clone()

    chains = Chains(
        prior, COSINE, list(times), words, shape=SHAPE, num_classes=K, clamp=clamp, **options
    )
    for number in range(len(times)):
        chains.step(number)
    return chains.told[0] / 5, chains.p_0[0]


def run(prior=None, *, times=(250, 170, 80), seed=3, slices=(0,), chains=(0,), **options):
    prior = prior or noisy_prior()
    return sample(
        prior, COSINE, list(times), shape=SHAPE, num_classes=K, seed=seed, slices=slices,
        chains=chains, **options,
    )  # fmt: skip


def visited(**options):
    """x_t at every visited time below T, (times, B, n, H, W), and p(x_0)."""
    seen = []
    _, p_0 = finish(run(noisy_prior(seen), **options))
    return torch.stack([x_t for t, x_t in seen if t < 250]), p_0


# Times


@pytest.mark.parametrize("grid", ["uniform", "log-snr"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50, 249, 250])
@pytest.mark.parametrize("t0", [None, 1, 2, 40, 250])
def test_times_fall_from_the_start_and_stay_in_range(grid, steps, t0):
    times = step_times(COSINE, steps, grid, t0)
    assert times[0] == (250 if t0 is None else t0)
    assert all(t > s for t, s in pairwise(times))
    assert times[-1] >= 1
    assert len(times) == min(steps, times[0])
    assert all(type(t) is int for t in times)


def test_the_uniform_grid_has_all_the_steps_asked_for_at_equal_distances():
    assert step_times(COSINE, 5) == [250, 200, 150, 100, 50]
    assert step_times(COSINE, 5, t0=100) == [100, 80, 60, 40, 20]


def test_with_all_steps_every_time_is_visited():
    assert step_times(COSINE, 250) == list(range(250, 0, -1))


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_the_log_snr_grid_is_nearest_to_equal_distances_in_log_snr_and_ends_at_1(steps):
    snr = torch.from_numpy(COSINE.log_snr)  # of t = 1..T
    ideal = snr[-1] + (snr[0] - snr[-1]) * torch.arange(steps) / (steps - 1)
    nearest = {min(range(250), key=lambda i: abs(snr[i] - value)) + 1 for value in ideal}
    times = step_times(COSINE, steps, "log-snr")
    assert set(times) == nearest
    assert times[-1] == 1


def test_log_snr_times_that_fall_together_part_to_their_neighbours():
    assert step_times(COSINE, 40, "log-snr")[:7] == [250, 249, 248, 247, 246, 245, 244]
    assert step_times(COSINE, 6, "log-snr", t0=6) == [6, 5, 4, 3, 2, 1]
    assert step_times(COSINE, 250, "log-snr") == step_times(COSINE, 250)


LEARNT = SamplingConfig(steps=3, grid="learnt", times=(250, 140, 20))


def test_learnt_times_are_used_when_nobody_asks_for_another_number_or_a_restart():
    assert times_of_use(COSINE, LEARNT) == [250, 140, 20]
    assert times_of_use(COSINE, LEARNT, steps=3) == [250, 140, 20]
    assert times_of_use(COSINE, LEARNT, steps=5) == step_times(COSINE, 5)
    assert times_of_use(COSINE, LEARNT, t0=75) == step_times(COSINE, 3, t0=75)


@pytest.mark.parametrize("grid", ["uniform", "log-snr"])
def test_a_named_grid_of_the_card_holds_for_any_number_of_steps_and_restart(grid):
    card = SamplingConfig(steps=4, grid=grid)
    assert times_of_use(COSINE, card) == step_times(COSINE, 4, grid)
    assert times_of_use(COSINE, card, 7, 90) == step_times(COSINE, 7, grid, 90)


@pytest.mark.parametrize("steps", [0, -3, 251])
def test_too_few_or_too_many_steps_are_refused_with_the_limit(steps):
    with pytest.raises(ValueError, match=rf"{steps} steps.*1\.\.250"):
        step_times(COSINE, steps)


@pytest.mark.parametrize("t0", [0, -1, 251])
def test_a_start_outside_the_schedule_is_refused_with_the_limit(t0):
    with pytest.raises(ValueError, match=rf"t0 is {t0}.*1\.\.250"):
        step_times(COSINE, 5, t0=t0)


def test_an_unknown_grid_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'cosine'.*'uniform'.*'log-snr'"):
        step_times(COSINE, 5, "cosine")


# Chains


@pytest.mark.parametrize("times", [(250,), (250, 3), (250, 170, 80), tuple(range(250, 0, -1))])
def test_one_step_is_yielded_for_each_time_and_the_prior_asked_once_at_each(times):
    seen = []
    done, p_0 = finish(run(noisy_prior(seen), times=times, slices=(0, 5), chains=(0, 1, 2)))
    assert done == list(range(1, len(times) + 1))
    assert [t for t, _ in seen] == list(times)
    assert seen[0][1].shape == (2, 1, *SHAPE)  # at T one answer serves all chains
    assert {x_t.shape for _, x_t in seen[1:]} <= {(2, 3, *SHAPE)}
    assert p_0.shape == (2, 3, K, *SHAPE)
    assert p_0.dtype == torch.float32
    torch.testing.assert_close(p_0.sum(2), torch.ones(2, 3, *SHAPE))


def test_at_T_the_prior_is_asked_with_uniform_noise_that_is_that_of_no_choice_of_chains():
    answers = []
    for chains in (range(1), range(8), [5, 6]):
        seen = []
        finish(run(noisy_prior(seen), times=(250, 60), slices=range(40), chains=chains))
        answers.append(seen[0][1])
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    counts = torch.bincount(answers[0].flatten().long(), minlength=K) / answers[0].numel()
    torch.testing.assert_close(counts, torch.full((K,), 1 / K), rtol=0, atol=0.02)


def test_where_the_schedule_keeps_labels_until_T_each_chain_is_asked_for_itself():
    seen = []
    keeps = cosine_schedule(250, beta_max=0.001)
    chain = sample(
        noisy_prior(seen), keeps, [250], shape=SHAPE, num_classes=K, seed=0, slices=[0],
        chains=range(3),
    )  # fmt: skip
    finish(chain)
    assert seen[0][1].shape == (1, 3, *SHAPE)


def test_chains_slices_and_seeds_all_draw_anew_and_so_does_each_step():
    x_t, _ = visited(slices=(0, 1), chains=(0, 1), times=(250, 249, 80))
    streams = [x_t[0].flatten(0, 1), visited(seed=4, times=(250, 249, 80))[0][0, 0]]
    flat = torch.cat(streams).flatten(1)
    for i in range(len(flat)):
        for j in range(i):
            assert (flat[i] == flat[j]).float().mean() < 0.5  # 1/4 by chance, and the same prior
    # Were the numbers of one draw used again, the next would follow it.
    flat_prior = lambda x_t, t: torch.zeros(*x_t.shape[:2], K, *SHAPE)  # noqa: E731
    seen = []
    finish(run(lambda x, t: (seen.append(x.clone()), flat_prior(x, t))[1], times=(249, 248, 247)))
    assert (seen[0] == seen[1]).float().mean() < 0.6
    assert (seen[1] == seen[2]).float().mean() < 0.6


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("group", [1, 2, 5])
def test_chains_asked_for_in_groups_are_the_same_to_the_bit(group, clamped):
    options = {"slices": (0, 1), "clamp": clamp_map()} if clamped else {}
    _, whole = visited(chains=range(5), times=(250, 170, 80), **options)
    _, parts = finish(run(chains=range(5), times=(250, 170, 80), group=group, **options))
    assert torch.equal(parts, whole)


def test_the_same_seed_gives_the_same_chain_to_the_bit():
    for a, b in zip(visited(chains=range(3)), visited(chains=range(3)), strict=True):
        assert torch.equal(a, b)


def test_a_chain_is_the_same_to_the_bit_among_three_and_among_eight():
    x_3, p_3 = visited(chains=range(3))
    x_8, p_8 = visited(chains=range(8))
    assert torch.equal(x_3, x_8[:, :, :3])
    assert torch.equal(p_3, p_8[:, :3])
    x_2, p_2 = visited(chains=[2])
    assert torch.equal(x_2[:, :, 0], x_8[:, :, 2])
    assert torch.equal(p_2[:, 0], p_8[:, 2])


def test_a_slice_is_the_same_to_the_bit_whatever_slices_run_beside_it():
    x_all, p_all = visited(slices=range(4), chains=range(2))
    x_one, p_one = visited(slices=[2], chains=range(2))
    assert torch.equal(x_one[:, 0], x_all[:, 2])
    assert torch.equal(p_one[0], p_all[2])


def test_a_sure_prior_ends_at_its_label_whatever_the_noise():
    truth = torch.arange(SHAPE[0] * SHAPE[1]).view(1, *SHAPE) % K
    logits = 1e4 * one_hot(truth, K).unsqueeze(1)
    _, p_0 = finish(run(lambda x_t, t: logits.repeat(1, 3, 1, 1, 1), chains=range(3)))
    assert torch.equal(p_0[0], one_hot(truth, K).expand(3, K, *SHAPE))


@pytest.mark.parametrize("temperature", [1, 2.15])
@pytest.mark.parametrize("times", [(250,), (250, 25), (250, 120, 3)])
def test_the_mean_holds_nothing_of_a_pixel_s_own_draws(times, temperature):
    logits = torch.randn(K, *SHAPE, generator=torch.Generator().manual_seed(4))
    told = (logits / temperature).softmax(0)
    for group in (None, 2):
        mean, p_0 = mean_of(logits, times=times, temperature=temperature, group=group)
        torch.testing.assert_close(mean, told)
        if times[-1] < 250:
            assert (p_0.mean(0) - told).abs().mean() > 0.05


@pytest.mark.parametrize(
    ("times", "start"), [((250, 25), None), ((75, 38), 2), ((75,), 2), ((250, 90, 20), None)]
)
def test_the_mean_is_what_many_chains_come_to(times, start):
    """The law of total expectation, without a temperature."""
    logits = torch.randn(K, 1, 1, generator=torch.Generator().manual_seed(5)).expand(K, *SHAPE)
    if start is not None:
        start = torch.full((1, *SHAPE), start, dtype=torch.uint8)
    ends = [mean_of(logits, times=times, start=start, seed=seed) for seed in range(40)]
    found = torch.stack([p_0 for _, p_0 in ends]).mean((0, 1, 3, 4))
    means = torch.stack([mean for mean, _ in ends])
    torch.testing.assert_close(found, means.mean((0, 2, 3)), atol=0.01, rtol=0)
    if start is not None:
        assert found[2] > logits.softmax(0)[2, 0, 0] + 0.05  # it remembers what it began with


# Corrections


def test_the_mean_is_sure_of_what_is_fixed():
    clamp = clamp_map()[:1]
    mean, _ = mean_of(torch.zeros(K, *SHAPE), clamp=clamp, temperature=1.5)
    fixed = clamp[0] != FREE
    assert torch.equal(mean[:, fixed], one_hot(clamp, K)[0][:, fixed])
    torch.testing.assert_close(mean[:, ~fixed], torch.full_like(mean[:, ~fixed], 1 / K))


def clamp_map():
    clamp = torch.full((2, *SHAPE), FREE, dtype=torch.uint8)
    clamp[0, :4] = 1
    clamp[1, :, 5:9] = 3
    clamp[1, 0, 0] = 0
    return clamp


@pytest.mark.parametrize("times", [(250,), (250, 170, 80), (40, 20), (2, 1)])
def test_fixed_pixels_end_exactly_at_their_value_and_free_ones_do_not(times):
    clamp = clamp_map()
    _, p_0 = finish(run(times=times, slices=(0, 1), chains=range(3), clamp=clamp))
    for b in range(2):
        fixed = clamp[b] != FREE
        expected = one_hot(clamp[b : b + 1], K)[0]
        for of_chain in p_0[b]:
            assert torch.equal(of_chain[:, fixed], expected[:, fixed])
            assert of_chain[:, ~fixed].max() < 1


def test_fixed_pixels_follow_the_forward_process_of_their_value_on_the_way():
    clamp = torch.full((1, *SHAPE), 2, dtype=torch.uint8)
    x_t, _ = visited(times=(250, 150, 60, 20), chains=range(20), clamp=clamp)
    for t, labels in zip((150, 60, 20), x_t, strict=True):
        expected = COSINE.alpha_bar[t] + (1 - COSINE.alpha_bar[t]) / K
        error = (expected * (1 - expected) / labels.numel()) ** 0.5
        assert abs((labels == 2).double().mean().item() - expected) < 4 * error


def test_a_clamp_that_fixes_nothing_changes_nothing():
    free = torch.full((1, *SHAPE), FREE, dtype=torch.uint8)
    for a, b in zip(visited(), visited(clamp=free), strict=True):
        assert torch.equal(a, b)


def test_pixels_of_one_slice_are_not_fixed_by_the_clamp_of_another():
    x_0, _ = visited(slices=(0, 1), clamp=clamp_map())
    x_1, _ = visited(slices=(0, 1), clamp=clamp_map().roll(1, 0))
    assert not torch.equal(x_0[-1], x_1[-1])
    free = torch.full((1, *SHAPE), FREE, dtype=torch.uint8)
    alone, _ = visited(slices=(0,), clamp=clamp_map()[:1])
    beside, _ = visited(slices=(0, 1), clamp=torch.cat([clamp_map()[:1], free]))
    assert torch.equal(alone[:, 0], beside[:, 0])


@pytest.mark.parametrize("t0", [1, 60, 125, 250])
def test_a_restart_begins_at_the_edited_labels_noised_to_t0(t0):
    start = (torch.arange(SHAPE[0] * SHAPE[1]).view(1, *SHAPE) % K).to(torch.uint8)
    x_t, _ = visited(times=step_times(COSINE, 3, t0=t0), chains=range(20), start=start)
    share = (x_t[0] == start).double().mean().item()
    expected = COSINE.alpha_bar[t0] + (1 - COSINE.alpha_bar[t0]) / K
    assert abs(share - expected) < 4 * (expected * (1 - expected) / x_t[0].numel()) ** 0.5 + 1e-9


def test_each_slice_restarts_from_its_own_labels():
    start = torch.stack([torch.zeros(SHAPE), torch.full(SHAPE, 3)]).to(torch.uint8)
    x_t, _ = visited(times=(1,), slices=(0, 1), chains=range(2), start=start)
    assert (x_t[0, 0] == 0).float().mean() > 0.99
    assert (x_t[0, 1] == 3).float().mean() > 0.99


# Devices


@pytest.mark.parametrize("edited", [False, True])
def test_every_tensor_of_a_chain_is_on_the_device_asked_for(edited):
    seen = []

    def prior(x_t, t):
        seen.append(x_t.device.type)
        return torch.zeros(*x_t.shape[:2], K, *SHAPE, device=x_t.device)

    edits = {}
    if edited:
        edits = {name: clamp_map().to("meta") for name in ("start", "clamp")}
    _, p_0 = finish(run(prior, slices=(0, 1), chains=(0, 1), device="meta", **edits))
    assert p_0.device.type == "meta"
    assert set(seen) == {"meta"}


@pytest.mark.cuda
def test_a_chain_on_the_gpu_visits_the_labels_of_the_chain_on_the_cpu():
    truth = torch.arange(SHAPE[0] * SHAPE[1]).view(1, *SHAPE) % K
    logits = (3 * one_hot(truth, K)).unsqueeze(1)
    chains = []
    for device in ("cpu", "cuda"):
        seen = []
        prior = lambda x_t, t, seen=seen: (seen.append(x_t.cpu()), logits.to(x_t.device))[1]  # noqa: E731
        edits = {"clamp": clamp_map()[:1].to(device), "start": clamp_map()[:1].to(device) % K}
        _, p_0 = finish(run(prior, device=device, **edits))
        chains.append((torch.stack(seen), p_0.cpu()))
    assert (chains[0][0] == chains[1][0]).float().mean() > 0.999
    torch.testing.assert_close(chains[0][1], chains[1][1], rtol=1e-4, atol=1e-4)


# A coherent first draw


def test_a_coherent_first_draw_gives_each_pixel_the_law_that_its_own_draw_has():
    chains = range(1500)
    field = noisy_prior()
    seen = []

    def prior(x_t, t):
        seen.append((t, x_t.clone()))
        return field(torch.zeros_like(x_t), t)

    finish(run(prior, chains=chains, coherence_px=6))
    x_t = next(x[0] for t, x in seen if t == 170)
    pi = field(torch.zeros(1, 1, *SHAPE, dtype=torch.uint8), 250)[0, 0].softmax(0)
    expected = COSINE.alpha_bar[170] * pi + (1 - COSINE.alpha_bar[170]) / K
    found = one_hot(x_t, K).mean(0)
    error = (found - expected).abs() / (expected * (1 - expected) / len(chains)).sqrt()
    assert error.max() < 5  # of 1536 shares


def test_chains_of_a_coherent_first_draw_differ_in_regions():
    """Pixels of a chain go together: the share of a class varies from chain to chain."""
    flat = torch.zeros(1, 1, K, *SHAPE)

    def shares(coherence_px):
        seen = []

        def prior(x_t, t):
            seen.append((t, x_t.clone()))
            return flat.expand(1, x_t.shape[1], -1, -1, -1).clone()

        finish(run(prior, chains=range(200), times=(250, 40), coherence_px=coherence_px))
        return (seen[-1][1][0] == 1).float().mean((1, 2)).std()

    assert shares(8) > 4 * shares(0)


@pytest.mark.parametrize("group", [None, 1, 3])
def test_a_coherent_chain_is_the_same_to_the_bit_in_whatever_company(group):
    _, eight = finish(run(chains=range(8), slices=(4, 5), coherence_px=6, group=group))
    _, three = finish(run(chains=(2, 5, 6), slices=(5,), coherence_px=6))
    assert torch.equal(eight[1:, [2, 5, 6]], three)


def test_fixed_pixels_of_a_coherent_chain_end_exactly_at_their_value():
    clamp = torch.full((1, *SHAPE), FREE, dtype=torch.uint8)
    clamp[:, 3:9] = 2
    _, p_0 = finish(run(chains=range(3), clamp=clamp, coherence_px=6))
    assert (p_0[:, :, 2, 3:9] == 1).all()


# Calibration


def test_a_temperature_flattens_the_end_and_changes_neither_a_draw_nor_a_sample():
    (x_1, sharp), (x_3, flat) = (
        (torch.stack([x for t, x in seen if t < 250]), p_0)
        for seen, p_0 in (
            (seen, finish(run(noisy_prior(seen), chains=range(3), temperature=temperature))[1])
            for seen, temperature in (([], 1.0), ([], 3.0))
        )
    )
    assert torch.equal(x_1, x_3)
    assert torch.equal(sharp.argmax(2), flat.argmax(2))
    torch.testing.assert_close((sharp.log() / 3).softmax(2), flat)
