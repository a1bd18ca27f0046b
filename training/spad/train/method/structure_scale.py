"""Adaptation to a structure: a small or fragmented one is perturbed less strongly and less often.

Past the paper (method, section 3), whose SPAD loses on SHRM: noise of one intensity in one of a few
small fragments hides all that there is to see of it. One rule: a structure's *scale* is its
components' size against a reference, as a length, at most 1. It multiplies the intensity, in its
targets and in the band along its contours, and a target is chosen in proportion to it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from spad.checkpoint import IGNORE

__all__ = ["scale_map", "spread_scale", "structure_scales"]


def structure_scales(labels: NDArray[np.uint8], reference: float) -> NDArray[np.float32]:
    """Scale of each structure of a label map: ``min(1, sqrt(size / (reference * frame)))``.

    The size of a structure is the area of the component that one of its pixels lies in, on average
    over its pixels: n equal fragments count as one of them, and specks beside a large component
    count for nothing.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        Class values, 255 ignored.
    reference : float
        Share of the frame's pixels, above 0.

    Returns
    -------
    array of float32, shape (256,)
        By class value; 1 for the background, the ignored, and what does not occur.
    """
    scales = np.ones(256, np.float32)
    for value in np.unique(labels):
        if value not in (0, IGNORE):
            _, _, parts, _ = cv2.connectedComponentsWithStats(
                (labels == value).view(np.uint8), connectivity=8
            )
            areas = parts[1:, cv2.CC_STAT_AREA].astype(np.float64)
            size = np.square(areas).sum() / areas.sum()
            scales[value] = min(1.0, np.sqrt(size / (reference * labels.size)))
    return scales


def scale_map(labels: Tensor, scales: Tensor) -> Tensor:
    """Scale of each pixel's own structure.

    Parameters
    ----------
    labels : Tensor of uint8, shape (B, H, W)
    scales : Tensor of float32, shape (B, 256)
        From :func:`structure_scales`.

    Returns
    -------
    Tensor of float32, shape (B, H, W)
    """
    return scales.gather(1, labels.flatten(1).long()).view(labels.shape)


def spread_scale(scale: Tensor, radius: int) -> Tensor:
    """Smallest scale within ``radius`` rows and columns: that of the band along a contour.

    Where two meet the smaller one wins, so that a large neighbour's band does not reach into a
    small structure at full intensity.

    Parameters
    ----------
    scale : Tensor of float32, shape (B, H, W)
    radius : int
    """
    return -F.max_pool2d(-scale.unsqueeze(1), 2 * radius + 1, stride=1, padding=radius).squeeze(1)
