"""BcD, boundary-centralized diffusion (SPAD, section 4.3): a band along the label's contours.

The paper takes contours by Canny. On a label map Canny with high thresholds finds the edge of each
class's mask; here that edge is computed as morphology on the device, for all classes and the whole
batch at once, after augmentation. Class numbers do not matter to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spad.labels import IGNORE

__all__ = ["boundary_band", "contour"]


def contour(labels: Tensor) -> Tensor:
    """Pixels of structures that touch another class (8 neighbours); a frame is no contour.

    Parameters
    ----------
    labels : Tensor of uint8, shape (B, H, W)
        Ignored pixels (255) neither have a contour nor make one.

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    edge = torch.zeros_like(labels, dtype=torch.bool)
    known = labels != IGNORE
    h, w = labels.shape[1:]
    # Each pair of neighbours once: right, down and both diagonals; a differing pair marks both.
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = (slice(None), slice(0, h - down), slice(max(0, -right), w - max(0, right)))
        two = (slice(None), slice(down, h), slice(max(0, right), w + min(0, right)))
        differ = (labels[one] != labels[two]) & known[one] & known[two]
        edge[one] |= differ
        edge[two] |= differ
    return edge & known & (labels > 0)


def boundary_band(labels: Tensor, radius: int) -> Tensor:
    """M_BcP: all pixels within ``radius`` of a contour, a band of total width ``2 radius + 1``.

    Parameters
    ----------
    labels : Tensor of uint8, shape (B, H, W)
    radius : int
        In pixels, 0 or more.

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    band = contour(labels)
    for axis in (1, 2):  # a square is grown side by side
        grown = band.clone()
        for shift in range(1, min(radius, band.shape[axis] - 1) + 1):
            length = band.shape[axis] - shift
            grown.narrow(axis, shift, length).logical_or_(band.narrow(axis, 0, length))
            grown.narrow(axis, 0, length).logical_or_(band.narrow(axis, shift, length))
        band = grown
    return band
