"""Leakage: whether the network reads the labels off the noise (docs/method.md, section 5).

The noise of ScD and BcD lies on the label, so that a network can learn to find noise instead of
anatomy. Whether it does shows where the same noise lies at another case's label: one that reads
anatomy scores alike on both, one that reads noise scores well on the first and badly on the second.
That difference is the leakage. The difference to clean images is none by itself, for noise also
hides what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from spad.chain import draws
from spad.learning import soft_dice
from spad.network import Network, autocast
from spad.train.config import Perturbation
from spad.train.method.perturbed_image import Batch, perturb

__all__ = ["leakage", "predict_at_T"]


@torch.no_grad()
def leakage(
    predict: Callable[[Tensor, list[int]], Tensor], config: Perturbation, batch: Batch, *, seed: int
) -> dict[str, float]:
    """Soft Dice of a batch's images: clean, perturbed, and perturbed at the wrong place.

    The intensity and the number of targets are those of the run's start, and every image is
    perturbed, so that figures of different steps and different settings compare.

    Parameters
    ----------
    predict : callable
        Images ``(B, 1, H, W)`` and their sample numbers to probabilities ``(B, K, H, W)``.
    config : Perturbation
    batch : dict of Tensor
        On the device; of two samples or more, since the wrong place is the next sample's label.
    seed : int

    Returns
    -------
    dict of str to float
        ``clean``, ``perturbed``, ``misplaced`` (0..1), and ``gap``, perturbed less misplaced: about
        0 where nothing leaks (method, Eq. 20).

    Raises
    ------
    ValueError
        The batch has fewer than two samples.
    """
    if len(batch["labels"]) < 2:
        raise ValueError(
            "leakage is judged by another sample's label, and the batch has 1 sample; give 2 or "
            "more (optimiser.batch)"
        )
    every = replace(config, clean=0.0, decoys=False)
    next_ones = {k: x.roll(-1, 0) for k, x in batch.items() if k in ("labels", "targets")}
    numbers: list[int] = batch["number"].tolist()
    found = {}
    for name, place in (
        ("clean", None),
        ("perturbed", batch),
        ("misplaced", {**batch, **next_ones}),
    ):
        image = batch["image"]
        if place is not None:
            image = perturb(every, place, seed=seed, progress=0.0, epoch=0.0)
        found[name] = 1 - float(
            soft_dice(predict(image, numbers), batch["labels"], batch.get("judged"))
        )
    return {**found, "gap": found["perturbed"] - found["misplaced"]}


def predict_at_T(network: Network, seed: int) -> Callable[..., Tensor]:
    """Prediction of a network from pure noise, in one pass: whatever its kind, it has that.

    Parameters
    ----------
    network : Network
    seed : int
        Of the noise.
    """

    def predict(image: Tensor, numbers: list[int]) -> Tensor:
        with autocast(image.device):
            condition = network.encode(image)
            if not network.diffuses:
                assert condition.logits is not None  # noqa: S101  (for the type checker)
                return condition.logits.softmax(1)
            keys = draws.keys(seed, numbers, "leakage x_T")
            u = draws.uniform(keys, image.shape[2:], device=image.device)
            x_t = (u * network.num_classes).to(torch.uint8)
            time = torch.ones(len(image), device=image.device)
            logits = network.denoise(x_t.unsqueeze(1), time, condition)
        return logits.squeeze(1).float().softmax(1)

    return predict
