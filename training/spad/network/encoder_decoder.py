"""What condition encoder and denoiser are both made of: residual blocks, told the time or not."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.chain import few_launches
from spad.network.device import learns_by_planes

__all__ = [
    "Block",
    "Convolution",
    "EncoderDecoder",
    "GroupNorm",
    "Norm",
    "Pointwise",
    "TimeEmbedding",
    "doubled",
]


class Convolution(nn.Conv2d):
    """Convolution; where its weights learn from large maps on a CPU of AVX2, of planes.

    For the gradient of the weights oneDNN takes four times as long there if channels come last, as
    they do in all else, which is quicker so.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, h, w) to (N, outputs, h', w')."""
        if not (self.weight.requires_grad and learns_by_planes(x)):
            return super().forward(x)
        planes = self.weight.clone(memory_format=torch.contiguous_format)
        out: Tensor = self._conv_forward(x.contiguous(), planes, self.bias)
        return out


class Pointwise(Convolution):
    """Convolution of 1 x 1; on a GPU a matrix product, which adds the bias in the same launch."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, h, w) to (N, outputs, h, w)."""
        if not few_launches(x):
            return super().forward(x)
        n, c, h, w = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, c)  # no copy where channels come last
        out = F.linear(pixels, self.weight.flatten(1), self.bias)
        return out.view(n, h, w, -1).permute(0, 3, 1, 2)


class GroupNorm(nn.GroupNorm):
    """As torch's, but on a GPU in the maps' own precision (the statistics are float32 in any).

    Autocast would make float32 of maps in bfloat16, and the next convolution bfloat16 of these.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Norm maps (N, C, h, w)."""
        return self._normed(x, self.weight, self.bias)

    def _normed(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if not few_launches(x):
            return F.group_norm(x, self.num_groups, weight, bias, self.eps)
        n, c, h, w = x.shape
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        return torch.native_group_norm(  # what lies below autocast, and takes planes alone
            x.contiguous(), weight, bias, n, c, h * w, self.num_groups, self.eps
        )[0]


class Norm(GroupNorm):
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
            weight, bias = self.weight * (gain := 1 + scale[0]), self.bias * gain + shift[0]
            return self._normed(x, weight, bias)
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
        self.conv_1 = Convolution(inputs, outputs, 3, padding=1)
        self.conv_2 = Convolution(outputs, outputs, 3, padding=1)
        self.skip = Pointwise(inputs, outputs) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Maps (N, inputs, h, w), and the times' embedding, to (N, outputs, h, w)."""
        if self.time is None or time is None:
            h = self.norm(x)
        else:
            told = self.time(time).to(self.norm.weight.dtype)
            h = self.norm(x, *told.chunk(2, dim=1))
        h = F.silu(self.conv_1(h), inplace=not torch.is_grad_enabled())
        h = self.conv_2(h)
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
                self.down.append(Convolution(widths[level - 1], width, 3, stride=2, padding=1))
            self.encoder.append(
                nn.ModuleList(Block(width, width, time_width) for _ in range(blocks))
            )
        for fine, coarse in itertools.pairwise(widths):
            self.up.append(Pointwise(coarse, fine))
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
            upper = doubled(self.up[level](maps[level + 1]))
            maps[level] = self.decoder[level](torch.cat([maps[level], upper], dim=1), time)
        return maps


def doubled(x: Tensor) -> Tensor:
    """Maps (N, C, h, w) on twice the grid, by nearest neighbours."""
    if not few_launches(x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    # Copied, channels last: autocast would make float32 of bfloat16 to interpolate.
    n, c, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1)[:, :, None, :, None]
    return pixels.expand(n, h, 2, w, 2, c).reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


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
