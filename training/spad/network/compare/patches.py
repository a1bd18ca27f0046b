"""Maps of patches, channels last: laid, merged and expanded (Swin-Unet, Fig. 1; D-LKA Net, Fig. 3).

All are (B, h, w, C); an image becomes one at stride 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spad.network import Condition

__all__ = ["PATCH", "ChannelNorm", "Expanding", "Laying", "Merging", "condition", "heads_of"]

PATCH = 4  # pixels on a side


class Laying(nn.Module):
    """An image (B, 1, H, W) to patches (B, H/4, W/4, C), normed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(1, channels, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Lay the patches."""
        out: Tensor = self.norm(self.project(image).permute(0, 2, 3, 1))
        return out


class Merging(nn.Module):
    """Two by two patches become one of other channels: (B, h, w, C) to (B, h/2, w/2, C')."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * inputs)
        self.reduce = nn.Linear(4 * inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge them; h and w are even."""
        b, h, w, c = x.shape
        x = x.view(b, h // 2, 2, w // 2, 2, c).transpose(2, 3).flatten(3)
        out: Tensor = self.reduce(self.norm(x))
        return out


class Expanding(nn.Module):
    """A patch becomes ``times`` by ``times``: (B, h, w, C) to (B, times h, times w, C'), normed."""

    def __init__(self, inputs: int, outputs: int, times: int = 2) -> None:
        super().__init__()
        self.times = times
        self.expand = nn.Linear(inputs, times**2 * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Expand them."""
        n = self.times
        x = self.expand(x).unflatten(3, (n, n, -1)).transpose(2, 3)
        out: Tensor = self.norm(x.flatten(3, 4).flatten(1, 2))
        return out


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (B, C, h, w), pixel by pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Norm maps."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def heads_of(channels: int, each: int) -> int:
    """Number of attention heads, of ``each`` channels or the next more that divide evenly."""
    return next(n for n in range(max(1, channels // each), 0, -1) if channels % n == 0)


def condition(logits: Tensor, features: Tensor) -> Condition:
    """What a network without a denoiser gives: logits in float32, one plane a class."""
    planes = logits.to(torch.float32, memory_format=torch.contiguous_format)
    return Condition(planes, features)
