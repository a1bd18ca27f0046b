"""CCDM's network: one U-Net on noisy label map and image, run whole at each step.

CCDM (Zbinden et al., ICCV 2023, section 4), which takes the U-Net of guided diffusion (Dhariwal and
Nichol, NeurIPS 2021): two residual blocks a level, self-attention at strides 8, 16 and 32 with 32
channels a head, strided convolutions down, nearest neighbours and a convolution up. The time enters
each block as scale and shift, as in guided diffusion (CCDM's code leaves them at a shift). Its
softmax is ``p(x_0 | x_t, image)``.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.chain import one_hot
from spad.checkpoint import NetworkConfig
from spad.network.encoder_decoder import Convolution, GroupNorm, TimeEmbedding, doubled
from spad.network.interface import Condition, Network

__all__ = ["Concat"]

_ATTENTION_STRIDES = (8, 16, 32)
_HEAD = 32  # channels of an attention head


class Concat(Network):
    """U-Net on [one-hot x_t, image] at full resolution; levels at strides 1, 2, 4, ..."""

    diffuses = True
    predicts = "x_0"

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        first, blocks = config.widths[0], config.blocks
        # One convolution on [x_t, image], written as a sum: the image's part is done once for all
        # chains and steps.
        self.labels = Convolution(num_classes, first, 3, padding=1)
        self.image = Convolution(1, first, 3, padding=1, bias=False)
        bound = 1 / math.sqrt(9 * (num_classes + 1))  # torch's own, for the whole
        for part in (self.labels.weight, self.labels.bias, self.image.weight):
            nn.init.uniform_(part, -bound, bound)  # type: ignore[arg-type]
        self.time = TimeEmbedding(config.time_width)
        self.encoder, self.down = nn.ModuleList(), nn.ModuleList()
        self.decoder, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = first, [first]

        def stages(level: int, inputs: list[int]) -> nn.ModuleList:
            attends = 2**level in _ATTENTION_STRIDES
            return nn.ModuleList(
                Stage(i, config.widths[level], config.time_width, attends) for i in inputs
            )

        for level, wider in enumerate(config.widths):
            if level:
                self.down.append(Convolution(width, width, 3, stride=2, padding=1))
                skips.append(width)
            self.encoder.append(stages(level, [width, *[wider] * (blocks - 1)]))
            skips += [wider] * blocks
            width = wider
        self.middle = nn.ModuleList(
            Stage(width, width, config.time_width, attends) for attends in (True, False)
        )
        for level, narrower in reversed(list(enumerate(config.widths))):
            below = [width, *[narrower] * blocks]
            self.decoder.append(stages(level, [i + skips.pop() for i in below]))
            width = narrower
            if level:
                self.up.append(Convolution(width, width, 3, padding=1))
        self.norm = _norm(first)
        self.head = _zeros(Convolution(first, num_classes, 3, padding=1))
        self.class_axes = {"labels": 1, "head": 0}

    def encode(self, image: Tensor) -> Condition:
        """No logits; as context the image's part of the first convolution."""
        return Condition(None, self.image(image.contiguous(memory_format=torch.channels_last)))

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits of p(x_0 | x_t, image); see :meth:`Network.denoise`."""
        b, n = x_t.shape[:2]
        x = self.labels(one_hot(x_t.flatten(0, 1), self.num_classes, condition.context.dtype))
        x = (x.unflatten(0, (b, n)) + condition.context.unsqueeze(1)).flatten(0, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        time = self.time.chains(t, b, n)
        maps = [x]
        for level, stages in enumerate(self.encoder):
            if level:
                x = self.down[level - 1](x)
                maps.append(x)
            for stage in stages:  # type: ignore[attr-defined]
                x = stage(x, time)
                maps.append(x)
        for stage in self.middle:
            x = stage(x, time)
        for stages, up in itertools.zip_longest(self.decoder, self.up):
            for stage in stages:  # type: ignore[union-attr]
                x = stage(torch.cat([x, maps.pop()], dim=1), time)
            if up is not None:
                x = up(doubled(x))
        out: Tensor = self.head(F.silu(self.norm(x))).unflatten(0, (b, n))
        return out.float()

    def segments(self) -> list[nn.Module]:
        """The stages: a residual block each, with its attention."""
        return [m for m in self.modules() if isinstance(m, Stage)]


class Stage(nn.Module):
    """Residual block, told the time by scale and shift; then self-attention, where asked for."""

    def __init__(self, inputs: int, outputs: int, time_width: int, attends: bool) -> None:
        super().__init__()
        self.norm_1 = _norm(inputs)
        self.conv_1 = Convolution(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * outputs)
        self.norm_2 = _norm(outputs)
        self.conv_2 = _zeros(Convolution(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = self.time(time)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm_2(h), 1 + scale)
        out: Tensor = self.attention(self.skip(x) + self.conv_2(F.silu(h)))
        return out


class Attention(nn.Module):
    """Self-attention of all pixels, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = 1 if channels % _HEAD else channels // _HEAD
        self.norm = _norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeros(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        q, k, v = qkv.transpose(-1, -2).unbind(1)  # (B, heads, pixels, channels of a head)
        h = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(x.shape)
        out: Tensor = x + self.out(h)
        return out


def _norm(channels: int) -> GroupNorm:
    """GroupNorm in 32 groups, as guided diffusion has it, or as many as divide the channels."""
    return GroupNorm(math.gcd(32, channels), channels)


def _zeros(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution, starting at zero, so that a fresh block adds nothing."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
