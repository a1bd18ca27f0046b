"""TransUNet: a ResNet, a transformer on its last map, a cascaded decoder (kind ``trans-unet``).

Chen et al., arXiv 2102.04306. Its idea, section 3.2 and Fig. 1: the patches of a ViT (section 3.1)
are taken from the last map of a CNN instead of the image, and a *cascaded upsampler* brings what it
says back to full resolution, joined at each stride by the CNN's maps. "R50-ViT-B/16" is a
ResNet-50 of three stages with weight standardisation and GroupNorm (Kolesnikov et al., ECCV 2020)
and 12 layers of width 768.

Different here: the decoder's BatchNorm is GroupNorm; one grey channel; random weights where the
paper starts from ImageNet's; the position embedding, 14 x 14 as at the paper's 224 pixels, is
interpolated to any size; no dropout.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network import Condition, Network
from spad.network.compare.patches import condition, heads_of

__all__ = ["TransUNet"]

_BLOCKS = (3, 4, 9)  # of the ResNet's stages
_GRID = 14  # of the position embedding
_HEAD = 64  # channels of an attention head


class TransUNet(Network):
    """``widths``: the ResNet's stem at stride 2, its stages at 4, 8, ..., then the transformer's.

    ``blocks`` are the transformer's layers, at the stride of the last stage.
    """

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        *resnet, width = config.widths
        self.stem = nn.Sequential(_StandardConv(1, resnet[0], 7, 2), _norm(resnet[0]), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Bottleneck(before if i == 0 else after, after, 2 if i == 0 and stage else 1)
                    for i in range(blocks)
                )
            )
            for stage, (blocks, (before, after)) in enumerate(
                zip(_BLOCKS, pairwise(resnet), strict=False)
            )
        )
        self.patches = nn.Conv2d(resnet[-1], width, 1)
        self.position = nn.Parameter(torch.zeros(1, width, _GRID, _GRID))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads_of(width, _HEAD), 4 * width, dropout=0.0, activation="gelu",
                layer_norm_eps=1e-6, batch_first=True, norm_first=True,
            )
            for _ in range(config.blocks)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width, eps=1e-6)
        x = resnet[-1] // 2
        self.more = _conv(width, x)
        self.decoder = nn.ModuleList()
        for skip in (*reversed(resnet[:-1]), 0):
            # The paper's 256, 128, 64 and 16 beside its skips of 512, 256, 64 and none.
            wide = (skip // 2 if skip > 64 else skip) or max(8, resnet[0] // 4)
            self.decoder.append(nn.Sequential(_conv(x + skip, wide), _conv(wide, wide)))
            x = wide
        self.head = nn.Conv2d(x, num_classes, 3, padding=1)
        self.class_axes = {"head": 0}

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the decoder's features at full resolution."""
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        maps = [x]
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        x = self.more(self._attend(maps.pop()))
        for convolutions in self.decoder:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = convolutions(torch.cat([x, maps.pop()], dim=1) if maps else x)
        return condition(self.head(x), x)

    def _attend(self, x: Tensor) -> Tensor:
        """The transformer, on every pixel of the ResNet's last map."""
        x = self.patches(x)
        grid = x.shape[-2:]
        x = x + F.interpolate(self.position, grid, mode="bilinear").to(x.dtype)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x).transpose(1, 2).unflatten(2, grid)
        return out

    def segments(self) -> list[nn.Module]:
        """The ResNet's blocks and the transformer's layers."""
        return [*(m for m in self.modules() if isinstance(m, Bottleneck)), *self.layers]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, standardised and normed; the input is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.convolutions = nn.Sequential(
            _StandardConv(inputs, inner, 1), _norm(inner), nn.ReLU(),
            _StandardConv(inner, inner, 3, stride), _norm(inner), nn.ReLU(),
            _StandardConv(inner, outputs, 1), _norm(outputs),
        )  # fmt: skip
        same = inputs == outputs and stride == 1
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(_StandardConv(inputs, outputs, 1, stride), _norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.convolutions(x))


class _StandardConv(nn.Conv2d):
    """Convolution whose weights have mean 0 and variance 1 for each output channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * (variance + 1e-5).rsqrt()
        return F.conv2d(x, weight, None, self.stride, self.padding)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), _norm(outputs), nn.ReLU()
    )
