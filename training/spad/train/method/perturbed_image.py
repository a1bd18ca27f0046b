"""The image that is trained on: ScD and BcD merged (SPAD, section 4.5), decoys, clean samples.

``x~ = x + sigma eps (M_ScP or M_BcP [or decoys])``: one noise, an overlap is perturbed once, no
clipping. All of it runs on the device, vectorised over the batch; draws are keyed by (seed, sample
number).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spad.chain import draws, sent
from spad.train.config import Perturbation
from spad.train.method.bcd import boundary_band
from spad.train.method.pas import intensity, target_count
from spad.train.method.scd import MAX_TARGETS, semantic_perturbation

__all__ = ["Batch", "perturb", "perturbed_pixels"]

Batch = dict[str, Tensor]
"""``number`` int64 (B,); ``image`` float32 (B, 1, H, W) in [-1, 1]; ``labels``, ``targets`` uint8
(B, H, W); with decoys also another case's ``decoy_labels``, ``decoy_targets``; ``judged`` bool
(B, K), which classes were looked for, where that is not all of them in every training case."""


def perturbed_pixels(
    config: Perturbation,
    labels: Tensor,
    targets: Tensor,
    count: int,
    *,
    seed: int,
    numbers: list[int],
    of: str,
) -> Tensor:
    """Union of M_ScP and M_BcP of label maps.

    Parameters
    ----------
    config : Perturbation
    labels, targets : Tensor of uint8, shape (B, H, W)
    count : int
        K_e.
    seed : int
    numbers : list of int
        Sample numbers.
    of : str
        Whose label maps these are, for the draws.

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    out = torch.zeros_like(labels, dtype=torch.bool)
    if config.semantic:
        device = labels.device
        out |= semantic_perturbation(
            targets,
            count,
            config.anchors,
            draws.uniform(
                draws.keys(seed, numbers, f"{of} targets"), (MAX_TARGETS + 1,), device=device
            ),
            draws.uniform(
                draws.keys(seed, numbers, f"{of} anchors"), labels.shape[1:], device=device
            ),
        )
    if config.boundary:
        out |= boundary_band(labels, config.radius)
    return out


def perturb(
    config: Perturbation, batch: Batch, *, seed: int, progress: float, epoch: float
) -> Tensor:
    """Perturb the images of a batch.

    Parameters
    ----------
    config : Perturbation
    batch : dict of Tensor
        On the device.
    seed : int
    progress, epoch : float
        Step / total steps, and epochs done.

    Returns
    -------
    Tensor of float32, shape (B, 1, H, W)
        The batch's own images, to the bit, where nothing is switched on or the intensity is 0.
    """
    image = batch["image"]
    sigma = intensity(config, progress, epoch)
    if sigma == 0 or not (config.semantic or config.boundary):
        return image
    numbers: list[int] = batch["number"].tolist()
    count = target_count(config, progress, epoch)
    rows = np.arange(len(numbers))
    if config.clean:  # decided on the host, which then has nothing computed for a clean sample
        u = draws.uniform(draws.keys(seed, numbers, "clean"), (1,))
        rows = np.flatnonzero(u.numpy()[:, 0] >= config.clean)
    if len(rows) == len(numbers):
        return _noisy(config, batch, sigma, count, seed, numbers)
    if not len(rows):
        return image
    # Made on the CPU: on the device, torch.tensor would wait for it.
    index = sent(torch.from_numpy(rows), image.device)
    part = {name: x[index] for name, x in batch.items() if name != "number"}
    noisy = _noisy(config, part, sigma, count, seed, [numbers[row] for row in rows])
    return image.index_copy(0, index, noisy)


def _noisy(
    config: Perturbation, batch: Batch, sigma: float, count: int, seed: int, numbers: list[int]
) -> Tensor:
    """Images (B, 1, H, W) of which none is clean (SPAD, section 4.5; method, Eq. 21)."""
    image = batch["image"]
    where = torch.zeros_like(batch["labels"], dtype=torch.bool)
    for of, prefix in (("own", ""), ("decoy", "decoy_"))[: 1 + config.decoys]:
        where |= perturbed_pixels(
            config,
            batch[f"{prefix}labels"],
            batch[f"{prefix}targets"],
            count,
            seed=seed,
            numbers=numbers,
            of=of,
        )
    keys = draws.keys(seed, numbers, "perturbation")
    noise = draws.normal(keys, image.shape[1:], device=image.device).mul_(sigma)
    return torch.where(where.unsqueeze(1), noise.add_(image), image)
