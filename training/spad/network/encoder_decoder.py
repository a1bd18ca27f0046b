"""What condition encoder and denoiser are both made of: residual blocks, told the time or not."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block", "EncoderDecoder", "Norm", "TimeEmbedding"]


class Norm(nn.GroupNorm):
    """Group norm, then a scale and a shift by the time: (1, C) for all maps, or (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 8, channels)

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """Norm maps (N, C, h, w)."""
        if scale is None or shift is None:
            return super().forward(x)
        if len(scale) == 1:  # they become the norm's own
            weight, bias = self.weight * (1 + scale[0]), self.bias * (1 + scale[0]) + shift[0]
            return F.group_norm(x, self.num_groups, weight, bias, self.eps)
        h = super().forward(x)
        scale, shift = (v[:, :, None, None].to(h.dtype) for v in (scale, shift))
        return torch.addcmul(shift, h, 1 + scale)


class Block(nn.Module):
    """Residual block: norm, scale and shift by the time, convolution, SiLU, convolution.

    One norm and one SiLU to two convolutions: on a CPU with bfloat16 units the convolutions are the
    cheap part.
    """

    def __init__(self, inputs: int, outputs: int, time_width: int = 0) -> None:
        super().__init__()
        self.norm = Norm(inputs)
        self.time = nn.Linear(time_width, 2 * inputs) if time_width else None
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Maps (N, inputs, h, w), and the times' embedding, to (N, outputs, h, w)."""
        if self.time is None or time is None:
            h = self.norm(x)
        else:
            h = self.norm(x, *self.time(time).float().chunk(2, dim=1))
        h = self.conv_2(F.silu(self.conv_1(h)))
        out: Tensor = h.add_(self.skip(x))
        return out


class EncoderDecoder(nn.Module):
    """Encoder-decoder of :class:`Block` over the given widths, each level on half the grid.

    Without ``blocks`` it is the decoder alone, of maps that come from elsewhere.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int, time_width: int = 0) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        self.encoder = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level, width in enumerate(widths if blocks else ()):
            if level:
                self.down.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
            self.encoder.append(
                nn.ModuleList(Block(width, width, time_width) for _ in range(blocks))
            )
        for fine, coarse in itertools.pairwise(widths):
            self.up.append(nn.Conv2d(coarse, fine, 1))
            self.decoder.append(Block(2 * fine, fine, time_width))

    def forward(self, x: Tensor, time: Tensor | None = None) -> list[Tensor]:
        """The decoder's maps, finest first, one a level."""
        maps: list[Tensor] = []
        for level, blocks in enumerate(self.encoder):
            if level:
                x = self.down[level - 1](x)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, time)
            maps.append(x)
        return self.decode(maps, time)

    def decode(self, maps: list[Tensor], time: Tensor | None = None) -> list[Tensor]:
        """Bring what the coarser maps know to the finer ones, in place."""
        for level in reversed(range(len(self.up))):
            upper = F.interpolate(self.up[level](maps[level + 1]), scale_factor=2.0, mode="nearest")
            maps[level] = self.decoder[level](torch.cat([maps[level], upper], dim=1), time)
        return maps


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
