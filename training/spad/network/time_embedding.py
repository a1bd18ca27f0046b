"""The embedding of the time t, told to each residual block of a denoiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["TimeEmbedding"]


class TimeEmbedding(nn.Sequential):
    """Sines and cosines of t / T, and two layers; (B,) or (B, n) to (..., width)."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.width = width

    def forward(self, t: Tensor) -> Tensor:
        """Embed the times."""
        out: Tensor = super().forward(_fourier(t, self.width))  # type: ignore[no-untyped-call]
        return out

    def chains(self, t: Tensor, b: int, n: int) -> Tensor:
        """Embed the times of n chains of B images, (B n, width); or one of all, (1, width)."""
        if t.numel() == 1:
            return self(t).view(1, self.width)  # type: ignore[no-any-return]
        return self(t).view(b, -1, self.width).expand(b, n, -1).flatten(0, 1)  # type: ignore[no-any-return]


def _fourier(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of the time t / T at frequencies 1 to 1000, (..., width)."""
    half = width // 2
    frequencies = torch.exp(
        torch.arange(half, device=t.device, dtype=torch.float32) * (math.log(1000.0) / (half - 1))
    )
    angles = t.float().unsqueeze(-1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
