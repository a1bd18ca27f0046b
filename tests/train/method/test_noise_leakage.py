"""Leakage is judged by what noise at the wrong place does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spad.checkpoint.card import NetworkConfig
from spad.network import build
from spad.train.config import Perturbation
from spad.train.method.noise_leakage import leakage, predict_at_T
from spad.train.method.perturbed_image import Batch

Batches = Callable[..., Batch]


def reader_of(noise: bool, batch: Batch) -> Callable[[Tensor, list[int]], Tensor]:
    """A reader of noise, which calls changed pixels a structure, or of the image it knows."""

    def predict(image: Tensor, _: list[int]) -> Tensor:
        seen = image != batch["image"] if noise else batch["labels"][:, None] > 0
        p = seen.float()
        return torch.cat([1 - p, p], 1)

    return predict


def test_a_reader_of_noise_leaks_and_a_reader_of_anatomy_does_not(batch_of: Batches) -> None:
    batch = batch_of(4)
    batch["labels"] = (batch["labels"] > 0).to(torch.uint8)
    batch["targets"] = batch["labels"]
    noise = leakage(reader_of(True, batch), Perturbation(), batch, seed=1)
    assert noise["perturbed"] > 0.5 > noise["misplaced"]
    assert noise["gap"] == noise["perturbed"] - noise["misplaced"] > 0.2
    anatomy = leakage(reader_of(False, batch), Perturbation(), batch, seed=1)
    assert anatomy["clean"] == anatomy["perturbed"] == anatomy["misplaced"] == pytest.approx(1)
    assert anatomy["gap"] == 0


@pytest.mark.parametrize("kind", ["cached", "unet"])
def test_a_networks_prediction_from_pure_noise_is_judged(batch_of: Batches, kind: str) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(
        kind=kind, widths=(8, 16, 16), blocks=1, denoiser_widths=(8, 16), time_width=16
    )
    network = build(config, 6, None)
    found = leakage(predict_at_T(network, 1), Perturbation(), batch_of(3), seed=1)
    assert found.keys() == {"clean", "perturbed", "misplaced", "gap"}
    assert all(0 < found[name] < 1 for name in ("clean", "perturbed", "misplaced"))
    assert not any(p.grad is not None for p in network.parameters())


def test_one_sample_has_no_other_whose_label_could_mislead(batch_of: Batches) -> None:
    batch = batch_of(1)
    with pytest.raises(ValueError, match=r"1 sample; give 2 or more \(optimiser\.batch\)"):
        leakage(reader_of(True, batch), Perturbation(), batch, seed=1)
