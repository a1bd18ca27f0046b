"""ScD and BcD merged: what is perturbed, how strongly, how often, and what stays to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from spad.chain import draws
from spad.train.config import Perturbation
from spad.train.method.bcd import boundary_band
from spad.train.method.pas import intensity, target_count
from spad.train.method.perturbed_image import Batch, perturb, perturbed_pixels
from spad.train.method.scd import choose

Batches = Callable[..., Batch]
SEED = 5
START = {"seed": SEED, "progress": 0.0, "epoch": 0.0}
PLAIN = {"clean": 0.0, "decoys": False}
"""ScD and BcD as the paper has them: no sample stays clean, and there are no decoys."""


def changed(config: Perturbation, batch: Batch, **when: Any) -> Tensor:
    """Pixels (B, H, W) that differ from the batch's own image."""
    return (perturb(config, batch, **{**START, **when}) != batch["image"]).squeeze(1)


def pixels_of(config: Perturbation, batch: Batch, prefix: str = "", count: int = 3) -> Tensor:
    """Union of M_ScP and M_BcP of the batch's label maps, or of its decoys."""
    return perturbed_pixels(
        config,
        batch[f"{prefix}labels"],
        batch[f"{prefix}targets"],
        count,
        seed=SEED,
        numbers=batch["number"].tolist(),
        of="decoy" if prefix else "own",
    )


def noise_of(batch: Batch) -> Tensor:
    numbers = batch["number"].tolist()
    return draws.normal(draws.keys(SEED, numbers, "perturbation"), batch["image"].shape[1:])


# --- what stays the batch's own, to the bit


@pytest.mark.parametrize(
    "off",
    [
        {"semantic": False, "boundary": False},
        {"semantic": False, "boundary": False, "progressive": False, "decoys": True},
        {"sigma_0": 0.0},
        {"sigma_0": 0.0, "progressive": False},
        {"clean": 1.0},
    ],
)
@pytest.mark.parametrize("progress", [0.0, 0.4])
def test_with_nothing_on_the_images_are_the_batchs_own(
    batch_of: Batches, off: dict[str, Any], progress: float
) -> None:
    batch = batch_of(4)
    before = batch["image"].clone()
    out = perturb(Perturbation(**off), batch, **{**START, "progress": progress})
    assert torch.equal(out, before)
    assert torch.equal(batch["image"], before)


def test_the_default_ends_unperturbed(batch_of: Batches) -> None:
    batch = batch_of(2)
    assert perturb(Perturbation(), batch, seed=SEED, progress=1.0, epoch=50) is batch["image"]
    assert changed(Perturbation(), batch_of(8), progress=0.9, epoch=45).any()


def test_the_batch_is_left_as_it_was(batch_of: Batches) -> None:
    batch = batch_of(3)
    before = {name: x.clone() for name, x in batch.items()}
    perturb(Perturbation(), batch, **START)
    assert all(torch.equal(batch[name], x) for name, x in before.items())


@pytest.mark.parametrize("progress", [0.0, 0.3])
@pytest.mark.parametrize("words", [{}, PLAIN, {"radius": 3, "anchors": 0.6}, {"boundary": False}])
def test_with_the_switches_past_the_paper_off_it_is_the_formula_to_the_bit(
    batch_of: Batches, words: dict[str, Any], progress: float
) -> None:
    """The whole batch at once, clean samples included, with draws and masks put together here."""
    batch, config = batch_of(8), Perturbation(**words)
    count = target_count(config, progress, 0)
    numbers = list(range(8))
    where = torch.zeros(batch["labels"].shape, dtype=torch.bool)
    for of, prefix in (("own", ""), ("decoy", "decoy_"))[: 1 + config.decoys]:
        u = draws.uniform(draws.keys(SEED, numbers, f"{of} targets"), (256,))
        anchors = draws.uniform(draws.keys(SEED, numbers, f"{of} anchors"), where.shape[1:])
        where |= choose(batch[f"{prefix}targets"], count, u) & (anchors >= config.anchors)
        if config.boundary:
            where |= boundary_band(batch[f"{prefix}labels"], config.radius)
    where &= draws.uniform(draws.keys(SEED, numbers, "clean"), (1, 1)) >= config.clean
    noisy = batch["image"] + intensity(config, progress, 0) * noise_of(batch)
    expected = torch.where(where[:, None], noisy, batch["image"])
    out = perturb(config, batch, seed=SEED, progress=progress, epoch=0)
    assert torch.equal(out, expected)


# --- what is perturbed


def test_scd_alone_perturbs_chosen_targets_but_for_their_anchors(batch_of: Batches) -> None:
    batch = batch_of(8)
    config = Perturbation(boundary=False, **PLAIN)
    u = draws.uniform(draws.keys(SEED, range(8), "own targets"), (256,))
    inside = choose(batch["targets"], 3, u)
    there = changed(config, batch)
    assert not (there & ~inside).any()
    n = int(inside.sum())
    anchors = float((inside & ~there).sum()) / n
    assert anchors == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / n))


def test_bcd_alone_perturbs_the_whole_band_and_nothing_else(batch_of: Batches) -> None:
    batch = batch_of(4)
    config = Perturbation(semantic=False, radius=2, **PLAIN)
    assert torch.equal(changed(config, batch), boundary_band(batch["labels"], 2))


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_the_perturbed_pixels_are_the_union_of_scd_and_bcd(batch_of: Batches, radius: int) -> None:
    batch = batch_of(4)
    both = Perturbation(radius=radius, **PLAIN)
    scd = pixels_of(Perturbation(boundary=False), batch)
    bcd = pixels_of(Perturbation(semantic=False, radius=radius), batch)
    assert (scd & bcd).any()
    assert (bcd & ~scd).any()
    assert (scd & ~bcd).any() == (radius < 1)  # at this size a band of 3 px fills the structures
    assert torch.equal(changed(both, batch), scd | bcd)


@pytest.mark.parametrize("decoys", [False, True])
def test_one_noise_of_the_intensity_is_added_once_and_not_clipped(
    batch_of: Batches, decoys: bool
) -> None:
    batch = batch_of(4)
    config = Perturbation(clean=0, decoys=decoys, sigma_0=0.8, alpha=0.01)
    sigma = intensity(config, 0.3, 7)
    count = target_count(config, 0.3, 7)
    out = perturb(config, batch, seed=SEED, progress=0.3, epoch=7)
    where = pixels_of(config, batch, count=count)
    if decoys:
        where |= pixels_of(config, batch, "decoy_", count)
    expected = torch.where(where[:, None], batch["image"] + sigma * noise_of(batch), batch["image"])
    assert 0 < sigma < 0.8
    assert torch.equal(out, expected)
    assert out.abs().max() > 1.2


def test_the_noise_is_standard_normal_and_independent_of_the_image(batch_of: Batches) -> None:
    batch = batch_of(8)
    config = Perturbation(radius=8, sigma_0=2.0, **PLAIN)
    there = changed(config, batch)
    z = ((perturb(config, batch, **START) - batch["image"]) / 2).squeeze(1)[there]
    n = len(z)
    assert n > 10_000
    assert z.mean().item() == pytest.approx(0, abs=4 / math.sqrt(n))
    assert z.var().item() == pytest.approx(1, abs=4 * math.sqrt(2 / n))
    assert torch.corrcoef(torch.stack([z, batch["image"].squeeze(1)[there]]))[0, 1].abs() < 0.04


@pytest.mark.parametrize(("progress", "count"), [(0.0, 3), (0.05, 2), (0.5, 1)])
def test_the_number_of_targets_falls_with_progress(
    batch_of: Batches, progress: float, count: int
) -> None:
    batch = batch_of(8, kind="structures")
    there = changed(
        Perturbation(boundary=False, anchors=0, **PLAIN, targets="structures"),
        batch,
        progress=progress,
    )
    for labels, own in zip(batch["labels"], there, strict=True):
        present = set(labels.unique().tolist()) - {0}
        assert len(set(labels[own].tolist())) == min(count, len(present))


def test_ignored_pixels_are_no_targets_and_make_no_band(batch_of: Batches) -> None:
    batch = batch_of(2)
    batch["labels"] = torch.full_like(batch["labels"], 255)
    batch["targets"] = torch.zeros_like(batch["targets"])
    assert not changed(Perturbation(**PLAIN), batch).any()


def test_the_noise_is_finite_whatever_the_bits(
    batch_of: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(1)
    config = Perturbation(semantic=False, **PLAIN)
    for bits in (-1, 0, 0x7FFFFFFF, -(2**31)):
        monkeypatch.setattr(draws, "_mix", lambda x, bits=bits: torch.full_like(x, bits))
        assert perturb(config, batch, **START).isfinite().all()


# --- clean samples


@pytest.mark.parametrize("decoys", [False, True])
def test_a_clean_sample_is_untouched_and_the_others_are_as_without_clean_ones(
    batch_of: Batches, decoys: bool
) -> None:
    batch = batch_of(64)
    u = draws.uniform(draws.keys(SEED, range(64), "clean"), (1,)).squeeze(1)
    clean = u < 0.25
    assert 0 < clean.sum() < 64
    out = perturb(Perturbation(clean=0.25, decoys=decoys), batch, **START)
    every = perturb(Perturbation(clean=0.0, decoys=decoys), batch, **START)
    assert torch.equal(out[clean], batch["image"][clean])
    assert torch.equal(out[~clean], every[~clean])
    assert (every != batch["image"]).flatten(1).any(1).all()


def test_the_share_of_clean_samples_is_as_asked_for() -> None:
    n = 4000
    labels = torch.zeros(n, 4, 4, dtype=torch.uint8)
    labels[:, :, 2:] = 1
    batch = {
        "number": torch.arange(n),
        "image": torch.zeros(n, 1, 4, 4),
        "labels": labels,
        "targets": labels,
    }
    config = Perturbation(semantic=False, clean=0.25, decoys=False)
    share = 1 - changed(config, batch).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / n))


# --- decoys


def test_decoys_are_perturbed_where_another_case_has_its_targets(batch_of: Batches) -> None:
    batch = batch_of(4)
    config = Perturbation(clean=0.0, decoys=True)
    own, decoy = pixels_of(config, batch), pixels_of(config, batch, "decoy_")
    there = changed(config, batch)
    assert torch.equal(there, own | decoy)
    assert (decoy & ~own).flatten(1).any(1).all()


@pytest.mark.parametrize(("anchors", "count"), [(0.0, 1), (0.3, 255)], ids=["targets", "anchors"])
def test_decoys_draw_targets_and_anchors_of_their_own(
    batch_of: Batches, anchors: float, count: int
) -> None:
    """Without anchors only the choice of targets can differ; with all targets only the anchors."""
    batch = batch_of(4)
    batch["decoy_labels"], batch["decoy_targets"] = batch["labels"], batch["targets"]
    config = Perturbation(boundary=False, anchors=anchors)
    own, decoy = (pixels_of(config, batch, prefix, count) for prefix in ("", "decoy_"))
    assert not torch.equal(own, decoy)


def test_decoys_do_not_move_the_draws_of_the_targets(batch_of: Batches) -> None:
    batch = batch_of(4)
    plain = perturb(Perturbation(clean=0, decoys=False), batch, **START)
    with_decoys = perturb(Perturbation(clean=0, decoys=True), batch, **START)
    there = plain != batch["image"]
    assert torch.equal(with_decoys[there], plain[there])


# --- draws


def test_a_batch_split_in_two_gives_the_same_bits(batch_of: Batches) -> None:
    batch = batch_of(8)
    whole = perturb(Perturbation(), batch, **START)
    halves = [{k: x[s] for k, x in batch.items()} for s in (slice(0, 3), slice(3, 8))]
    parts = torch.cat([perturb(Perturbation(), half, **START) for half in halves])
    assert torch.equal(whole, parts)


def test_seed_and_number_decide_on_all_draws(batch_of: Batches) -> None:
    config = Perturbation(clean=0)
    batch = batch_of(2)
    renumbered = {**batch, "number": batch["number"] + 8}
    first = perturb(config, batch, **START)
    assert torch.equal(first, perturb(config, batch, **START))
    for other in (
        perturb(config, renumbered, **START),
        perturb(config, batch, **{**START, "seed": 6}),
    ):
        assert (first != other).flatten(1).any(1).all()
