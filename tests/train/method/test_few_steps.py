"""Training for few steps: jumps of the chain, recycling, a frozen encoder."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spad import checkpoint
from spad.chain import draws
from spad.chain.diffusion import one_hot, posterior, q_sample
from spad.chain.noise_schedule import cosine_schedule
from spad.chain.sampler import step_times
from spad.checkpoint.card import NetworkConfig
from spad.network import Network, Outputs, build
from spad.network.interface import Condition
from spad.train.config import ConfigError, Loss, load_config
from spad.train.loop import loop
from spad.train.loop.loop import train
from spad.train.loop.update import visited_times
from spad.train.method import loss as loss_module
from spad.train.method import recycling
from spad.train.method.loss import loss_terms
from spad.train.method.perturbed_image import Batch
from spad.train.method.recycling import from_noise, visited_jumps

K, SEED = 6, 3
SHAPE = (64, 96)
SCHEDULE = cosine_schedule()
VISITED = step_times(SCHEDULE, 3)
CPU = torch.device("cpu")
NEXT_TO_NONE = 1e-9  # the jumps of the chain, and no sample recycled
ONLY_KL = {"kl": 1, "cross_entropy": 0, "dice": 0, "encoder_cross_entropy": 0, "encoder_dice": 0}


def network_of(seed: int = 1) -> Network:
    torch.manual_seed(seed)
    network = build(
        NetworkConfig(widths=(8, 16, 16), blocks=1, denoiser_widths=(8, 16), time_width=16), K, None
    )
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn_like(p) / math.sqrt(max(1, p[0].numel())))
    return network


class Sure(Network):
    """A network that says one prior everywhere, or one label map for certain."""

    diffuses = True

    def __init__(self, logits: Tensor) -> None:
        super().__init__(NetworkConfig(), logits.shape[-3])
        self.said = logits
        self.asked: list[tuple[Tensor, Tensor]] = []

    def encode(self, image: Tensor) -> Condition:
        return Condition(None, image)

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.asked.append((x_t, t * SCHEDULE.steps))
        return self.said.expand(len(x_t), 1, *self.said.shape[-3:])


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the network in float32, whatever this machine computes fastest."""
    for module in (loss_module, recycling):
        monkeypatch.setattr(module, "autocast", lambda device: nullcontext())


@pytest.fixture
def every_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every sample take a jump of the chain."""
    monkeypatch.setattr(recycling, "AT_VISITED", 1.0)


def terms_of(network: Network, batch: Batch, config: Loss, **more: Any) -> dict[str, Tensor]:
    return loss_terms(
        network, SCHEDULE, config, batch["image"], batch["labels"],
        seed=SEED, numbers=batch["number"].tolist(), **{"visited": VISITED, **more},
    )  # fmt: skip


# --- which samples, which jumps


def test_samples_take_the_jumps_of_the_chain_as_often_as_asked_for() -> None:
    n = 6000
    jumps, recycled = visited_jumps(0.3, VISITED, 250, SEED, list(range(n)))
    assert len(jumps) / n == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / n))
    grid = [*VISITED, 0]
    assert set(jumps.values()) == set(itertools.pairwise(grid))
    for t in VISITED:
        count = sum(one[0] == t for one in jumps.values())
        assert count == pytest.approx(len(jumps) / 3, abs=4 * math.sqrt(len(jumps) * 2 / 9))
    below = [place for place, (t, _) in jumps.items() if t < SCHEDULE.steps]
    assert set(recycled) <= set(below)  # x_T has nothing to be drawn from
    assert len(recycled) / len(below) == pytest.approx(0.3, abs=4 * math.sqrt(0.25 / 3000))


def test_the_choice_depends_on_seed_and_number_alone() -> None:
    jumps, recycled = visited_jumps(0.3, VISITED, 250, SEED, list(range(20)))
    alone = [visited_jumps(0.3, VISITED, 250, SEED, [n]) for n in range(20)]
    assert {n: one[0][0] for n, one in enumerate(alone) if one[0]} == jumps
    assert [n for n, one in enumerate(alone) if one[1]] == recycled
    assert visited_jumps(0.3, VISITED, 250, SEED + 1, list(range(20)))[0] != jumps


def test_without_recycling_nothing_changes_by_a_bit(batch_of: Callable[..., Batch]) -> None:
    network, batch = network_of(), batch_of(3)
    plain = terms_of(network, batch, Loss(), visited=())
    given = terms_of(network, batch, Loss())
    assert plain.keys() == given.keys()
    assert all(torch.equal(plain[name], given[name]) for name in plain)


# --- the jump-wise loss


@pytest.mark.usefixtures("exact", "every_jump")
def test_the_loss_is_the_kl_of_the_chains_own_jumps_by_brute_force(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch = network_of(), batch_of(6)
    terms = terms_of(network, batch, Loss(**ONLY_KL, recycled=NEXT_TO_NONE))
    x_0, numbers = batch["labels"].long(), batch["number"].tolist()
    jumps, recycled = visited_jumps(NEXT_TO_NONE, VISITED, 250, SEED, numbers)
    assert not recycled
    assert len(set(jumps.values())) == 3
    u = draws.uniform(draws.keys(SEED, numbers, "x_t"), SHAPE)
    by_hand = 0.0
    for place, (t, s) in jumps.items():
        jump = SCHEDULE.jump(t, s, dtype=torch.float64)
        alpha_bar = SCHEDULE.jump(t, s).alpha_bar_t.squeeze(1)
        x_t = q_sample(x_0[place : place + 1], alpha_bar, K, u[place : place + 1])
        with torch.no_grad():
            condition = network.encode(batch["image"][place : place + 1])
            logits = network.denoise(x_t[:, None], torch.tensor([t / 250]), condition)
        q = posterior(x_t, one_hot(x_0[place : place + 1], K, torch.float64), jump)
        p = posterior(x_t, logits.squeeze(1).double().softmax(1), jump)
        by_hand += float((torch.xlogy(q, q) - torch.xlogy(q, p)).sum(1).mean()) / 6
    assert terms["kl"].item() == pytest.approx(by_hand, rel=1e-4)


# --- label maps that the network draws itself


def test_a_jump_from_noise_is_distributed_as_the_prediction_noised_to_that_time() -> None:
    pi = torch.tensor([0.5, 0.3, 0.2])
    network = Sure(pi.log().view(3, 1, 1).expand(3, 150, 200))
    x_t = from_noise(
        network, lambda x, t: network.denoise(x, t, Condition(None, x)), SCHEDULE, [60, 125],
        (150, 200), seed=0, numbers=[4, 5], device=CPU,
    )  # fmt: skip
    for one, t in zip(x_t, (60, 125), strict=True):
        expected = SCHEDULE.alpha_bar[t] * pi + (1 - SCHEDULE.alpha_bar[t]) / 3
        found = torch.bincount(one.flatten().long(), minlength=3) / one.numel()
        assert (found - expected).abs().max() < 4 * math.sqrt(0.25 / one.numel())
    assert network.asked[0][1].tolist() == [250, 250]


@pytest.mark.usefixtures("exact", "every_jump")
@pytest.mark.parametrize("wrapped", [False, True])
def test_recycling_draws_x_t_from_the_networks_prediction_and_keeps_the_truth(
    batch_of: Callable[..., Batch], wrapped: bool
) -> None:
    network, batch, calls = network_of(), batch_of(8), []

    def forward(*given: Tensor) -> Outputs:
        out: Outputs = network(*given)
        calls.append((given, out))
        return out

    config = Loss(recycled=0.5)
    jumps, places = visited_jumps(0.5, VISITED, 250, SEED, list(range(8)))
    assert 0 < len(places) < sum(t < 250 for t, _ in jumps.values())
    terms_of(network, batch, Loss(recycled=NEXT_TO_NONE), forward=forward)
    terms = terms_of(network, batch, config, forward=forward if wrapped else None)
    if not wrapped:
        again = terms_of(network, batch, config, forward=forward)
        assert all(torch.equal(terms[name], again[name]) for name in terms)
    (truths, _), (first, guess), (own, out) = calls
    # The first pass: those samples alone, pure noise at T, and nothing to go back through.
    assert torch.equal(first[0], batch["image"][places])
    assert first[2].tolist() == [1.0] * len(places)
    assert not guess.denoiser.requires_grad
    assert out.denoiser.requires_grad
    for place in range(8):
        assert torch.equal(own[1][place], truths[1][place]) == (place not in places)
    # Of what the network says of them, and not of the truth.
    times = [jumps[p][0] for p in places]
    drawn = from_noise(
        network, lambda *_: guess.denoiser, SCHEDULE, times, SHAPE,
        seed=SEED, numbers=places, device=CPU,
    )  # fmt: skip
    assert torch.equal(own[1][places, 0], drawn)


@pytest.mark.usefixtures("exact", "every_jump")
def test_where_the_encoder_stands_in_at_T_recycling_draws_from_its_logits(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch, calls = network_of(), batch_of(8), []

    def forward(*given: Tensor) -> Outputs:
        out: Outputs = network(*given)
        calls.append((given, out))
        return out

    below = VISITED[1:]
    config = Loss(recycled=0.5)
    jumps, places = visited_jumps(0.5, below, 250, SEED, list(range(8)))
    assert places
    assert {t for t, _ in jumps.values()} == set(below)
    terms_of(network, batch, config, visited=below, forward=forward)
    (first, guess), (own, _) = calls
    assert len(first) == 1  # the image alone
    drawn = from_noise(
        network, lambda *_: guess.encoder[0].unsqueeze(1), SCHEDULE, [jumps[p][0] for p in places],
        SHAPE, seed=SEED, numbers=places, device=CPU,
    )  # fmt: skip
    assert torch.equal(own[1][places, 0], drawn)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [167, 83]),
        (["sampling.first=denoiser"], [250, 167, 83]),
        (["network.kind=concat", "network.widths=[8,16]"], [250, 167, 83]),
    ],
)
def test_the_visited_times_are_those_at_which_the_denoiser_is_asked(
    shared_tiny: Path, words: list[str], expected: list[int]
) -> None:
    assert visited_times(load_config(shared_tiny, words), SCHEDULE) == expected


@pytest.mark.usefixtures("exact")
def test_a_batch_costs_the_mean_of_its_samples(batch_of: Callable[..., Batch]) -> None:
    network, batch, config = network_of(), batch_of(6), Loss(recycled=0.4)
    whole = terms_of(network, batch, config)
    alone = [
        terms_of(network, {name: x[i : i + 1] for name, x in batch.items()}, config)
        for i in range(6)
    ]
    for name in ("kl", "cross_entropy"):
        mean = np.mean([one[name].item() for one in alone])
        assert whole[name].item() == pytest.approx(mean, rel=1e-3)


# --- runs

WORDS = ["optimiser.freeze_encoder=true", "loss.recycled=0.4", "optimiser.batch=4"]


@pytest.fixture(scope="module")
def init(whole: Path) -> str:
    return f"init={whole / 'best.safetensors'}"


def run(config: Path, out: Path, *words: str, resume: bool = False) -> Path:
    return train(load_config(config, words), out, resume=resume, device="cpu")


@pytest.mark.filterwarnings("ignore:started from")
def test_a_frozen_encoder_stays_to_the_bit_and_the_denoiser_learns(
    shared_tiny: Path, tmp_path: Path, init: str
) -> None:
    _, before = checkpoint.load(Path(init.partition("=")[2]))
    best = run(shared_tiny, tmp_path, init, *WORDS)
    state = torch.load(tmp_path / "latest.pt", weights_only=True)
    _, mean = checkpoint.load(best.with_name("latest.safetensors"))
    for name, was in before.items():
        if name.startswith("encoder."):
            assert torch.equal(mean[name], was)
            assert torch.equal(state["network"][name], was)
    moved = [n for n, was in before.items() if not torch.equal(state["network"][n], was)]
    assert {n for n in before if n.startswith("denoiser.")} == set(moved)


@pytest.mark.filterwarnings("ignore:started from")
def test_a_killed_run_goes_on_bit_for_bit_even_if_the_file_it_began_with_has_changed(
    shared_tiny: Path, tmp_path: Path, init: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "first.safetensors"
    shutil.copy(init.partition("=")[2], file)
    words = [f"init={file}", *WORDS, "optimiser.accumulate=2"]
    run(shared_tiny, tmp_path / "whole", *words)

    update = loop.update

    def dying(run: Any, *args: Any) -> Any:
        if run.step == 5:
            raise RuntimeError("killed")
        return update(run, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", dying)
        with pytest.raises(RuntimeError, match="killed"):
            run(shared_tiny, tmp_path / "run", *words)
    card, tensors = checkpoint.load(file)
    checkpoint.save(file, card, {name: x + 0.1 for name, x in tensors.items()})
    run(shared_tiny, tmp_path / "run", *words, resume=True)
    for name in ("latest", "best"):
        one, two = (
            checkpoint.load(tmp_path / d / f"{name}.safetensors")[1] for d in ("whole", "run")
        )
        assert all(torch.equal(one[n], two[n]) for n in one)


# --- refusals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loss.recycled=1", "sampling.steps=1"], "set it to 2 or more"),
        (["loss.recycled=1", "method=unet"], "a network of kind 'unet' lacks"),
        (["optimiser.freeze_encoder=true"], "a checkpoint in init"),
        (["optimiser.freeze_encoder=true", "method=unet", "init=x"], "not 'unet'"),
    ],
)
def test_settings_that_train_nothing_are_refused(
    shared_tiny: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(shared_tiny, words)
    assert said in str(caught.value)
