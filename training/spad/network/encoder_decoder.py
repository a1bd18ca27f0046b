"""The residual encoder-decoder that condition encoder and denoiser are both made of."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block", "EncoderDecoder", "Norm"]


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
    """Encoder-decoder of :class:`Block` over the given widths, each level on half the grid."""

    def __init__(self, widths: tuple[int, ...], blocks: int, time_width: int = 0) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        self.encoder = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level, width in enumerate(widths):
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
        for level in reversed(range(len(self.up))):
            upper = F.interpolate(self.up[level](maps[level + 1]), scale_factor=2.0, mode="nearest")
            maps[level] = self.decoder[level](torch.cat([maps[level], upper], dim=1), time)
        return maps
