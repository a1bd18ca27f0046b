"""The image that is trained on: ScD and BcD merged (SPAD, section 4.5), decoys, clean samples.

``x~ = x + sigma eps (M_ScP or M_BcP [or decoys])``: one noise, an overlap is perturbed once, no
clipping. All of it runs on the device, vectorised over the batch; draws are keyed by (seed, sample
number).
"""

from __future__ import annotations

import torch
from torch import Tensor

from spad import draws
from spad.train.boundary import boundary_band
from spad.train.config import Perturbation
from spad.train.dataset import Batch
from spad.train.progress import intensity, target_count
from spad.train.semantic import MAX_TARGETS, semantic_perturbation

__all__ = ["perturb", "perturbed_pixels"]


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
    where = perturbed_pixels(
        config, batch["labels"], batch["targets"], count, seed=seed, numbers=numbers, of="own"
    )
    if config.decoys:
        where |= perturbed_pixels(
            config,
            batch["decoy_labels"],
            batch["decoy_targets"],
            count,
            seed=seed,
            numbers=numbers,
            of="decoy",
        )
    device = image.device
    if config.clean:
        u = draws.uniform(draws.keys(seed, numbers, "clean"), (1, 1), device=device)
        where &= u >= config.clean
    noise = draws.normal(draws.keys(seed, numbers, "perturbation"), image.shape[1:], device=device)
    return torch.where(where.unsqueeze(1), image + sigma * noise, image)
