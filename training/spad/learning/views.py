"""What a lesson is shown: parts of the corrected B-scans, turned, scaled, brighter, noisier.

The whole width of a B-scan, and as many rows as the model was trained on: seen in smaller crops,
where a structure lies in the retina is lost, and six points of Dice with it (docs/results.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spad.checkpoint import IGNORE

__all__ = ["Example", "views", "window_of"]

_ROTATION = math.radians(9)
_SCALE = 0.2  # of the logarithm, along each axis by itself
_SHEAR = 0.1
_GAMMA = 0.3  # of the logarithm
_CONTRAST = 0.2  # of the logarithm
_BRIGHTNESS = 0.15
_NOISE = 0.1  # standard deviation, at most
_ON_STRUCTURE = 0.8  # share of the views that are laid around a pixel of a structure
_AROUND = 0.8  # how far from a view's centre that pixel may lie, as a share of its sides


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A corrected B-scan on the network's grid.

    Parameters
    ----------
    image : Tensor of float32, shape (1, 1, h, w)
        In [-1, 1].
    labels : Tensor of uint8, shape (h, w)
        Class values; 255 where nobody said anything.
    before : Tensor of float16, shape (1, K, h, w), optional
        What the old model says: probabilities.
    """

    image: Tensor
    labels: Tensor
    before: Tensor | None = None


def window_of(size: tuple[int, int], stride: int, examples: list[Example]) -> tuple[int, int]:
    """Height and width of the views: the training size, but no larger than the largest example."""
    sides = []
    for axis in (0, 1):
        largest = max(e.labels.shape[axis] for e in examples)
        sides.append(min(-(-size[axis] // stride) * stride, -(-largest // stride) * stride))
    return sides[0], sides[1]


def views(
    examples: list[Example],
    window: tuple[int, int],
    generator: torch.Generator,
    *,
    mirrored: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """One random view of each example, half of them `mirrored`.

    Returns
    -------
    images : Tensor of float32, shape (B, 1, H, W)
        On the CPU.
    labels : Tensor of uint8, shape (B, H, W)
        255 beyond an example's edge.
    before : Tensor of float32, shape (B, K, H, W)
        0 beyond an example's edge; without classes where the old model was not asked.
    """
    images, labels, before = [], [], []
    for example in examples:
        at = _places(example, window, generator, mirrored)
        images.append(
            F.grid_sample(
                example.image, at, mode="bilinear", padding_mode="border", align_corners=False
            )
        )
        # Shifted, so that what lies beyond the edge, which is 0 to the sampler, becomes 255.
        shifted = example.labels[None, None].float() - IGNORE
        seen = F.grid_sample(shifted, at, mode="nearest", padding_mode="zeros", align_corners=False)
        labels.append((seen[0] + IGNORE).round().to(torch.uint8))
        shares = seen[:, :0] if example.before is None else example.before.float()
        before.append(
            F.grid_sample(shares, at, mode="bilinear", padding_mode="zeros", align_corners=False)
        )
    return _toned(torch.cat(images), generator), torch.cat(labels), torch.cat(before)


def _places(
    example: Example, window: tuple[int, int], generator: torch.Generator, mirrored: bool
) -> Tensor:
    """Where a view's pixels lie in the example, in -1..1 as `grid_sample` counts, (1, H, W, 2)."""
    shape = tuple(example.labels.shape)
    turn, wide, high, shear = (
        2 * torch.rand(4, generator=generator, dtype=torch.float32) - 1
    ).tolist()
    turned, on_structure, row, column = torch.rand(
        4, generator=generator, dtype=torch.float32
    ).tolist()
    structure = (example.labels > 0) & (example.labels != IGNORE)
    centre = [row * shape[0], column * shape[1]]
    if on_structure < _ON_STRUCTURE and structure.any():
        found = structure.nonzero()
        pixel = found[int(torch.randint(len(found), (1,), generator=generator))].tolist()
        centre = [
            p + (u - 0.5) * _AROUND * side
            for p, u, side in zip(pixel, (row, column), window, strict=True)
        ]
    centre = [  # within the image, but for a few pixels; in its middle where it is smaller
        min(max(c, w / 2 - 8), s - w / 2 + 8) if s > w - 16 else s / 2
        for c, w, s in zip(centre, window, shape, strict=True)
    ]
    cos, sin = math.cos(_ROTATION * turn), math.sin(_ROTATION * turn)
    flip = -1.0 if mirrored and turned < 0.5 else 1.0
    warp = _floats([[cos, -sin], [sin, cos]]) @ _floats(
        [[flip * math.exp(_SCALE * wide), _SHEAR * shear], [0.0, math.exp(_SCALE * high)]]
    )
    rows, columns = (_floats(range(side)) - (side - 1) / 2 for side in window)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1) @ warp.T
    grid = grid + _floats([centre[1], centre[0]]) + 0.5
    return (grid / _floats([shape[1], shape[0]]) * 2 - 1)[None]


def _floats(numbers: Sequence[Any]) -> Tensor:
    """They are float32, whatever a program has made torch's default."""
    return torch.tensor(numbers, dtype=torch.float32)


def _toned(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast and brightness, and add noise."""
    shape = (len(images), 1, 1, 1)
    gamma, contrast, brightness = (
        2 * torch.rand(shape, generator=generator, dtype=torch.float32) - 1 for _ in range(3)
    )
    x = ((images + 1) / 2).clamp(0, 1) ** torch.exp(_GAMMA * gamma) * 2 - 1
    x = x * torch.exp(_CONTRAST * contrast) + _BRIGHTNESS * brightness
    noise = torch.randn(images.shape, generator=generator, dtype=torch.float32)
    x = x + noise * torch.rand(shape, generator=generator, dtype=torch.float32) * _NOISE
    return x.clamp(-1, 1)
