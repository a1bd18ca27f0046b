"""BcD, boundary-centralized diffusion (SPAD, section 4.3): a band along the label's contours.

The paper takes contours by Canny. On a label map Canny with high thresholds finds the edge of each
class's mask; here that edge is computed as morphology on the device, for all classes and the whole
batch at once, after augmentation. Class numbers do not matter to it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
    # The largest and the smallest known value around a pixel; 255 is made the smallest for the one
    # (it wraps) and is the largest for the other, so that an ignored pixel never counts.
    # SPAD, section 4.3; method, Eq. 17
    raised = labels + 1
    edge = _around(raised, torch.maximum) != raised
    edge |= _around(labels, torch.minimum) != labels
    return edge.logical_and_(raised.bool()).logical_and_(labels.bool())


def boundary_band(labels: Tensor, radius: int) -> Tensor:
    """M_BcP: all pixels within a radius of a contour, a band of total width ``2 radius + 1``.

    It fills a structure that is thinner than it, the limitation that the paper names. A band that
    narrows there was tried and lost Dice (docs/results.md, Past the paper).

    Parameters
    ----------
    labels : Tensor of uint8, shape (B, H, W)
    radius : int
        In pixels, 0 or more.

    Returns
    -------
    Tensor of bool, shape (B, H, W)
    """
    # SPAD, section 4.3; method, Eq. 18
    return _grown(contour(labels), radius)


def _grown(mask: Tensor, radius: int) -> Tensor:
    """All pixels within ``radius`` rows and columns of a mask (B, H, W)."""
    for axis in (1, 2):  # a square is grown side by side
        grown = mask.clone()
        for shift in range(1, min(radius, mask.shape[axis] - 1) + 1):
            length = mask.shape[axis] - shift
            grown.narrow(axis, shift, length).logical_or_(mask.narrow(axis, 0, length))
            grown.narrow(axis, 0, length).logical_or_(mask.narrow(axis, shift, length))
        mask = grown
    return mask


def _around(values: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    """Extreme of each pixel and its 8 neighbours inside the frame; (B, H, W)."""
    for axis in (1, 2):
        length = values.shape[axis] - 1
        out = values.clone()
        for start, neighbour in ((0, 1), (1, 0)):
            part = out.narrow(axis, start, length)
            extreme(part, values.narrow(axis, neighbour, length), out=part)
        values = out
    return values
