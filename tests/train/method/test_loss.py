"""The loss: plain categorical diffusion when perturbation is off, and what must cost nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spad.chain import draws
from spad.chain.diffusion import kl, likelihood, one_hot, posterior, q_sample
from spad.chain.noise_schedule import cosine_schedule
from spad.checkpoint.card import NetworkConfig
from spad.network import Network, Outputs, build
from spad.network.device import autocast
from spad.train.config import Loss, Perturbation
from spad.train.method import loss as loss_module
from spad.train.method.loss import diffusion_times, loss_terms, soft_dice
from spad.train.method.perturbed_image import Batch, perturb

K = 6
SEED = 3
SCHEDULE = cosine_schedule()
ONLY_KL = Loss(kl=1, cross_entropy=0, dice=0, encoder_cross_entropy=0, encoder_dice=0, at_T=0)
TERMS = ("kl", "cross_entropy", "dice", "encoder_cross_entropy", "encoder_dice")


def network_of(kind: str = "cached", *, scale: float = 0.3) -> Network:
    """A tiny network whose weights all matter: freshly built, some layers are zeros."""
    torch.manual_seed(1)
    widths = (8, 16, 16, 16) if kind == "dynunet" else (8, 16, 16)
    config = NetworkConfig(
        kind=kind, widths=widths, blocks=1, denoiser_widths=(8, 16), time_width=16
    )
    network = build(config, K, None)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(scale * torch.randn_like(p) / math.sqrt(max(1, p[0].numel())))
    return network


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the network in float32, whatever this machine computes fastest."""
    monkeypatch.setattr(loss_module, "autocast", lambda device: nullcontext())


def terms_of(
    network: Network, batch: Batch, config: Loss | None = None, image: Tensor | None = None
) -> dict[str, Tensor]:
    return loss_terms(
        network,
        SCHEDULE,
        config or Loss(),
        batch["image"] if image is None else image,
        batch["labels"],
        seed=SEED,
        numbers=batch["number"].tolist(),
    )


def part(batch: Batch, which: slice) -> Batch:
    return {name: x[which] for name, x in batch.items()}


# --- the baseline


@pytest.mark.parametrize("how", ["switched off", "at the end", "clean"])
def test_with_perturbation_off_it_is_plain_categorical_diffusion_to_the_last_bit(
    batch_of: Callable[..., Batch], how: str
) -> None:
    network, batch = network_of(), batch_of(3)
    config, progress = {
        "switched off": (Perturbation(semantic=False, boundary=False), 0.0),
        "at the end": (Perturbation(), 1.0),
        "clean": (Perturbation(clean=1.0), 0.0),
    }[how]
    image = perturb(config, batch, seed=SEED, progress=progress, epoch=0)
    terms = terms_of(network, batch, ONLY_KL, image)

    # CCDM, written down from its definition.
    x_0, numbers = batch["labels"].long(), [0, 1, 2]
    u_t = draws.uniform(draws.keys(SEED, numbers, "time"), (2,))[:, 1].double()
    t = [int(one) for one in 1 + (u_t * 250).floor()]
    jump = SCHEDULE.jump(t, [one - 1 for one in t])
    u = draws.uniform(draws.keys(SEED, numbers, "x_t"), x_0.shape[1:])
    x_t = q_sample(x_0, jump.alpha_bar_t.squeeze(1), K, u)
    with autocast(torch.device("cpu")):
        logits = network.denoise(
            x_t[:, None], torch.tensor(t) / 250, network.encode(batch["image"])
        )
    expected = kl(x_t, x_0, logits.squeeze(1).log_softmax(1), jump).sum() / x_0.numel()
    assert list(terms) == ["kl"]
    assert torch.equal(terms["kl"], expected)

    terms["kl"].backward()
    ours = [p.grad for p in network.parameters()]
    network.zero_grad(set_to_none=True)
    expected.backward()
    for mine, theirs in zip(ours, (p.grad for p in network.parameters()), strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)


@pytest.mark.usefixtures("exact")
def test_kl_and_cross_entropy_are_those_of_the_posterior_by_its_definition(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch = network_of(), batch_of(4)
    terms = terms_of(network, batch, Loss(kl=1, cross_entropy=2, at_T=0.0))
    x_0 = batch["labels"].long()
    t = diffusion_times(SCHEDULE, 0.0, SEED, [0, 1, 2, 3])
    u = draws.uniform(draws.keys(SEED, [0, 1, 2, 3], "x_t"), x_0.shape[1:])
    jump = SCHEDULE.jump(t, [one - 1 for one in t], dtype=torch.float64)
    end = SCHEDULE.jump(t, [0] * 4, dtype=torch.float64)
    x_t = q_sample(x_0, jump.alpha_bar_t.float().squeeze(1), K, u)
    with torch.no_grad():
        logits = network.denoise(
            x_t[:, None], torch.tensor(t) / 250, network.encode(batch["image"])
        )
    pi = logits.squeeze(1).double().softmax(1)
    q = posterior(x_t, one_hot(x_0, K, torch.float64), jump)
    p = posterior(x_t, pi, jump)
    by_hand = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(1).mean()
    p_0 = pi * likelihood(x_t, end, K)
    ce = -(p_0 / p_0.sum(1, keepdim=True)).gather(1, x_0[:, None]).log().mean()
    assert terms["kl"].item() == pytest.approx(by_hand.item(), rel=1e-4)
    assert terms["cross_entropy"].item() == pytest.approx(2 * ce.item(), rel=1e-4)


@pytest.mark.usefixtures("exact")
def test_the_encoders_terms_are_those_of_its_own_logits(batch_of: Callable[..., Batch]) -> None:
    network, batch = network_of(), batch_of(3)
    terms = terms_of(network, batch, Loss(encoder_cross_entropy=3, encoder_dice=5))
    with torch.no_grad():
        logits = network.encode(batch["image"]).logits
    ce = F.cross_entropy(logits, batch["labels"].long())
    assert terms["encoder_cross_entropy"].item() == pytest.approx(3 * ce.item(), rel=1e-5)
    dice = soft_dice(logits.softmax(1), batch["labels"])
    assert terms["encoder_dice"].item() == pytest.approx(5 * dice.item(), rel=1e-5)


def test_the_plain_unet_has_the_encoders_terms_alone(batch_of: Callable[..., Batch]) -> None:
    terms = terms_of(network_of("unet"), batch_of(2))
    assert set(terms) == {"encoder_cross_entropy", "encoder_dice"}


@pytest.mark.usefixtures("exact")
def test_a_network_that_predicts_x_0_is_trained_on_its_posterior_by_d3pms_mixture(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch = network_of("concat"), batch_of(3)
    terms = terms_of(network, batch, Loss(kl=1, cross_entropy=2, dice=0, at_T=0.0))
    assert list(terms) == ["kl", "cross_entropy"]  # no encoder, no terms of it
    x_0 = batch["labels"].long()
    t = diffusion_times(SCHEDULE, 0.0, SEED, [0, 1, 2])
    u = draws.uniform(draws.keys(SEED, [0, 1, 2], "x_t"), x_0.shape[1:])
    jump = SCHEDULE.jump(t, [one - 1 for one in t], dtype=torch.float64)
    x_t = q_sample(x_0, jump.alpha_bar_t.float().squeeze(1), K, u)
    with torch.no_grad():
        out = network(batch["image"], x_t[:, None], torch.tensor(t) / 250).denoiser
    p_0 = out.squeeze(1).double().softmax(1)  # CCDM's softmax
    q = posterior(x_t, one_hot(x_0, K, torch.float64), jump)
    p = sum(
        p_0[:, i : i + 1] * posterior(x_t, one_hot(torch.full_like(x_0, i), K, q.dtype), jump)
        for i in range(K)
    )
    by_hand = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(1).mean()
    ce = -p_0.gather(1, x_0[:, None]).log().mean()
    assert terms["kl"].item() == pytest.approx(by_hand.item(), rel=1e-4)
    assert terms["cross_entropy"].item() == pytest.approx(2 * ce.item(), rel=1e-4)


@pytest.mark.usefixtures("exact")
def test_the_coarser_scales_of_a_dynunet_weigh_a_half_a_quarter(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch = network_of("dynunet"), batch_of(2)
    batch["labels"][:, 20:40] = 255
    terms = terms_of(network, batch, Loss(encoder_cross_entropy=3, encoder_dice=5))
    assert set(terms) == {"encoder_cross_entropy", "encoder_dice"}
    with torch.no_grad():
        scales = network(batch["image"]).encoder
    assert len(scales) == 2
    ce = dice = 0.0
    for share, stride, logits in zip((2 / 3, 1 / 3), (1, 2), scales, strict=True):
        labels = batch["labels"][:, ::stride, ::stride]
        ce += share * F.cross_entropy(logits, labels.long(), ignore_index=255).item()
        dice += share * soft_dice(logits.softmax(1), labels).item()
    assert terms["encoder_cross_entropy"].item() == pytest.approx(3 * ce, rel=1e-4)
    assert terms["encoder_dice"].item() == pytest.approx(5 * dice, rel=1e-4)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_0_is_left_out(batch_of: Callable[..., Batch], term: str) -> None:
    terms = terms_of(network_of(), batch_of(2), Loss(**{term: 0.0}))
    assert set(terms) == set(TERMS) - {term}


@pytest.mark.parametrize("kind", ["cached", "unet"])
def test_the_network_is_run_once_through_what_wraps_it(
    batch_of: Callable[..., Batch], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DDP and compile see what passes through forward, and nothing else."""
    network, batch, calls = network_of(kind), batch_of(2), []

    def wrapped(*given: Tensor) -> Outputs:
        calls.append(given)
        out: Outputs = network(*given)
        monkeypatch.setattr(network, "forward", lambda *_: 1 / 0)
        return out

    expected = terms_of(network, batch)
    terms = loss_terms(
        network, SCHEDULE, Loss(), batch["image"], batch["labels"], seed=SEED, numbers=[0, 1],
        forward=wrapped,
    )  # fmt: skip
    assert len(calls) == 1
    assert {n: x.item() for n, x in terms.items()} == {n: x.item() for n, x in expected.items()}


# --- ignored pixels


@pytest.mark.usefixtures("exact")
def test_ignored_pixels_cost_nothing_and_have_no_gradient(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "diffusion_times", lambda *_: [1, 100])
    batch = batch_of(2)
    batch["labels"][:, 20:40] = 255
    seen: list[Tensor] = []

    class Stub(torch.nn.Module):
        """Logits of its own, so that the gradient arrives pixel by pixel."""

        diffuses = True
        predicts = "prior"
        num_classes = K

        def forward(self, image: Tensor, x_t: Tensor, t: Tensor) -> Outputs:
            seen.append(x_t)
            generator = torch.Generator().manual_seed(0)
            self.logits = torch.randn(2, K, 64, 96, generator=generator, requires_grad=True)
            self.prior = torch.randn(2, K, 64, 96, generator=generator, requires_grad=True)
            return Outputs((self.logits,), self.prior[:, None])

    stub = Stub()
    terms = terms_of(stub, batch)  # type: ignore[arg-type]
    assert set(terms) == set(TERMS)
    torch.stack(list(terms.values())).sum().backward()
    for logits in (stub.logits, stub.prior):
        assert logits.grad is not None
        assert not logits.grad[:, :, 20:40].any()
        assert logits.grad[:, :, :20].any()
    # What lies under the ignored label tells nothing: x_t is uniform noise there.
    counts = torch.bincount(seen[0][:, 0, 20:40].flatten().long(), minlength=K)
    assert counts.numel() == K
    n = int(counts.sum())
    assert ((counts / n - 1 / K).abs() < 4 * math.sqrt(1 / K * (1 - 1 / K) / n)).all()


def test_a_batch_of_ignored_pixels_costs_nothing_and_stays_finite(
    batch_of: Callable[..., Batch],
) -> None:
    network, batch = network_of(), batch_of(2)
    batch["labels"] = torch.full_like(batch["labels"], 255)
    terms = terms_of(network, batch)
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.item() == 0 for term in terms.values())
    assert not any(p.grad.any() for p in network.parameters() if p.grad is not None)


# --- draws


@pytest.mark.usefixtures("exact")
def test_a_batch_costs_the_mean_of_its_samples(batch_of: Callable[..., Batch]) -> None:
    network, batch = network_of(), batch_of(4)
    whole = terms_of(network, batch)
    alone = [terms_of(network, part(batch, slice(i, i + 1))) for i in range(4)]
    for name in ("kl", "cross_entropy", "encoder_cross_entropy"):
        mean = np.mean([one[name].item() for one in alone])
        assert whole[name].item() == pytest.approx(mean, rel=1e-4)


def test_times_are_t_for_the_share_asked_for_and_else_uniform() -> None:
    n, share = 8000, 0.25
    schedule = cosine_schedule(20)
    times = np.array(diffusion_times(schedule, share, SEED, list(range(n))))
    assert set(times.tolist()) == set(range(1, 21))
    at_end = share + (1 - share) / 20
    counts = np.bincount(times, minlength=21)[1:] / n
    for count, p in zip(counts, [*[(1 - share) / 20] * 19, at_end], strict=True):
        assert count == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))
    assert diffusion_times(schedule, 1.0, SEED, [1, 2, 3]) == [20, 20, 20]


def test_times_depend_on_seed_and_number_alone() -> None:
    times = diffusion_times(SCHEDULE, 0.25, SEED, list(range(20)))
    assert [diffusion_times(SCHEDULE, 0.25, SEED, [n])[0] for n in range(20)] == times
    assert diffusion_times(SCHEDULE, 0.25, SEED + 1, list(range(20))) != times


def test_times_stay_in_1_to_t_whatever_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    for bits, expected in ((-1, 250), (0, 1)):
        monkeypatch.setattr(draws, "_mix", lambda x, bits=bits: torch.full_like(x, bits))
        assert diffusion_times(SCHEDULE, 0.0, SEED, [0]) == [expected]


# --- Dice


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_soft_dice_is_pooled_over_the_batch_and_averaged_over_the_structures_present(
    ignored: float,
) -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice(np.array([0, 0, 1, 3], np.uint8), (3, 9, 7))  # 2 is absent
    labels[rng.random(labels.shape) < ignored] = 255
    p = rng.dirichlet(np.ones(4), (3, 9, 7)).transpose(0, 3, 1, 2)
    losses = []
    for structure in (1, 3):
        both = predicted = pixels = 0.0
        for index in np.ndindex(labels.shape):
            if labels[index] != 255:
                share = p[index[0], structure, index[1], index[2]]
                predicted += share
                pixels += labels[index] == structure
                both += share * (labels[index] == structure)
        losses.append(1 - (2 * both + 1) / (predicted + pixels + 1))
    ours = soft_dice(torch.from_numpy(p), torch.from_numpy(labels))
    assert ours.item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_soft_dice_is_0_for_the_truth_and_for_an_image_without_structures() -> None:
    labels = torch.tensor([[[0, 1, 2, 255]]], dtype=torch.uint8)
    assert soft_dice(one_hot(labels, 3), labels).item() == pytest.approx(0, abs=1e-6)
    assert soft_dice(torch.full((1, 3, 1, 2), 1 / 3), labels[..., :1].repeat(1, 1, 2)).item() == 0


# --- numbers


@pytest.mark.parametrize("t", [1, 2, 250])
@pytest.mark.parametrize("scale", [0.3, 30.0])
def test_the_loss_is_finite_and_has_a_gradient_at_every_end_of_time(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch, t: int, scale: float
) -> None:
    monkeypatch.setattr(loss_module, "diffusion_times", lambda *_: [t, t])
    network = network_of(scale=scale)
    terms = terms_of(network, batch_of(2), Loss(kl=1, cross_entropy=1))
    assert set(terms) == set(TERMS)
    assert all(math.isfinite(x.item()) and x.item() >= -1e-6 for x in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    assert any(grad.any() for grad in grads)
