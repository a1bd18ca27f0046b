"""ScD, semantic-concentrated diffusion (SPAD, section 4.2): which targets, which anchors.

Inside a few randomly chosen targets of an image every pixel is perturbed, but for a share of
anchors that stay clean.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MAX_TARGETS", "choose", "semantic_perturbation", "target_map"]

MAX_TARGETS = 255
"""An image's targets beyond the largest 255 are left alone."""


def target_map(labels: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Number the targets of a label map.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        Class values, 255 ignored.
    kind : {"structures", "components"}
        A target is a structure (the paper's choice), or a connected component of one (ours for
        OCT, where most images hold one structure and a choice among structures is no choice).

    Returns
    -------
    array of uint8, shape (H, W)
        0 outside all targets, else the target's number, 1 to 255.
    """
    structures = np.where(labels == 255, 0, labels)
    if kind == "structures":
        return structures
    numbered = np.zeros(labels.shape, np.int32)
    count = 0
    for value in np.unique(structures):
        if value:
            n, parts = cv2.connectedComponents((structures == value).view(np.uint8), connectivity=8)
            np.copyto(numbered, parts + count, where=parts > 0)
            count += n - 1
    if count > MAX_TARGETS:
        sizes = np.bincount(numbered.ravel())[1:]
        table = np.zeros(count + 1, np.int32)
        table[1 + np.argsort(-sizes, kind="stable")[:MAX_TARGETS]] = np.arange(1, MAX_TARGETS + 1)
        numbered = table[numbered]
    return numbered.astype(np.uint8)


def choose(targets: Tensor, count: int, u: Tensor) -> Tensor:
    """Choose ``count`` of each image's targets at random, all if there are fewer.

    Parameters
    ----------
    targets : Tensor of uint8, shape (B, H, W)
        From :func:`target_map`.
    count : int
        K_e.
    u : Tensor, shape (B, 256)
        Uniform in (0, 1); the present targets with the smallest numbers are chosen.

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    numbers = targets.flatten(1).long()
    absent = torch.ones_like(u, dtype=torch.bool).scatter_(1, numbers, value=False)
    absent[:, 0] = True
    first = u.masked_fill(absent, torch.inf).argsort(1)[:, :count]
    chosen = torch.zeros_like(absent).scatter_(1, first, value=True) & ~absent
    return chosen.gather(1, numbers).view(targets.shape)


def semantic_perturbation(
    targets: Tensor, count: int, anchor_share: float, u_targets: Tensor, u_pixels: Tensor
) -> Tensor:
    """M_ScP: the pixels of the chosen targets that are no anchors (method, Eq. 16).

    Parameters
    ----------
    targets : Tensor of uint8, shape (B, H, W)
    count : int
        K_e.
    anchor_share : float
        Chance of a pixel to be an anchor, 0..1.
    u_targets : Tensor, shape (B, 256)
    u_pixels : Tensor, shape (B, H, W)
        Uniform in (0, 1).

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    return choose(targets, count, u_targets) & (u_pixels >= anchor_share)
