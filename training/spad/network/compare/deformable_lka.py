"""D-LKA Net: attention by a large kernel that bends to the structures (kind ``d-lka``).

Azad et al., WACV 2024 (arXiv 2309.00121). Its idea, sections 3.1 and 3.2: the attention map is that
of a 21 x 21 kernel, taken apart (Guo et al., 2023) into a depthwise 5 x 5, a depthwise 7 x 7 at
dilation 3 and a pointwise one, and both depthwise ones are *deformable*: a convolution says for
each pixel where each weight looks. The 2-D block (section 3.3, Fig. 3) is norm, D-LKA attention,
norm and a perceptron with a depthwise convolution, joined to the encoder by concatenation, a linear
layer and patch expanding.

Different here: the paper's 2-D encoder is a MaxViT that has learnt on ImageNet, of which there is
none without torchvision; the encoder is of D-LKA blocks too, as in the paper's 3-D network.
One grey channel, random weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network import Condition, Network
from spad.network.compare.patches import (
    PATCH,
    ChannelNorm,
    Expanding,
    Laying,
    Merging,
    condition,
)

__all__ = ["DeformableConv", "DeformableLka"]


class DeformableLka(Network):
    """Levels at strides 4, 8, 16, ..."""

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        widths, depth = config.widths, config.blocks
        self.lay = Laying(widths[0])
        self.down = nn.ModuleList(Merging(a, b) for a, b in pairwise(widths))
        self.encoder = nn.ModuleList(_stage(width, depth) for width in widths)
        self.up = nn.ModuleList(Expanding(b, a) for a, b in pairwise(widths))
        self.join = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.decoder = nn.ModuleList(_stage(width, depth) for width in widths[:-1])
        self.last = Expanding(widths[0], widths[0], PATCH)
        self.head = nn.Conv2d(widths[0], num_classes, 1)
        self.class_axes = {"head": 0}

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the decoder's features at stride 4."""
        x = self.encoder[0](self.lay(image).permute(0, 3, 1, 2))
        maps = [x]
        for merge, stage in zip(self.down, self.encoder[1:], strict=True):
            x = stage(_last(merge, x))
            maps.append(x)
        x = maps.pop()
        for level in reversed(range(len(self.up))):
            x = self.join[level](torch.cat([_last(self.up[level], x), maps[level]], dim=1))
            x = self.decoder[level](x)
        return condition(self.head(_last(self.last, x)), x)

    def segments(self) -> list[nn.Module]:
        """The blocks."""
        return [m for m in self.modules() if isinstance(m, LkaBlock)]


def _last(module: nn.Module, x: Tensor) -> Tensor:
    """Run a module of patches, channels last, on maps (B, C, h, w)."""
    out: Tensor = module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return out


def _stage(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(LkaBlock(width) for _ in range(depth)))


class LkaBlock(nn.Module):
    """Norm and D-LKA attention, norm and perceptron, both added; (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.norm_1 = ChannelNorm(channels)
        self.before = nn.Conv2d(channels, channels, 1)
        self.near = DeformableConv(channels, 5, 1)
        self.far = DeformableConv(channels, 7, 3)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.after = nn.Conv2d(channels, channels, 1)
        self.norm_2 = ChannelNorm(channels)
        self.widen = nn.Conv2d(channels, wide, 1)
        self.spread = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.narrow = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.before(self.norm_1(x)))
        attention = self.mix(self.far(self.near(inner)))
        x = x + self.after(inner * attention)
        out: Tensor = x + self.narrow(F.gelu(self.spread(self.widen(self.norm_2(x)))))
        return out


class DeformableConv(nn.Module):
    """Depthwise convolution whose weights look where another one says (Dai et al., ICCV 2017).

    The offsets are in pixels, (row, column) for each weight in turn, shared by the channels; beyond
    the map there is 0.
    """

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        self.offsets = nn.Conv2d(
            channels, 2 * kernel**2, kernel, padding=kernel // 2 * dilation, dilation=dilation
        )
        self.weight = nn.Parameter(torch.empty(channels, kernel, kernel))
        nn.init.uniform_(self.weight, -1 / kernel, 1 / kernel)  # torch's own for a convolution

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to the same."""
        k, exact = self.kernel, x.float().contiguous()
        if x.device.type == "cpu":
            # In bfloat16 oneDNN 3.12 reads a part of the gradient from fresh memory: dilated, and
            # channels no multiple of 16. A place a dozen pixels away is not bfloat16's either.
            with torch.autocast("cpu", enabled=False):
                offsets = self.offsets(exact)
        else:
            offsets = self.offsets(x).float()
        offsets = offsets.view(len(x), k, k, 2, *x.shape[2:])
        rows = [self._row(exact, offsets[:, i], i) for i in range(k)]
        return torch.stack(rows).sum(0).to(x.dtype)

    def _row(self, x: Tensor, offsets: Tensor, row: int) -> Tensor:
        """What the weights of one row of the kernel see; ``offsets`` (B, k, 2, h, w)."""
        k, (h, w) = self.kernel, x.shape[-2:]
        away = (torch.arange(k, device=x.device) - k // 2) * self.dilation
        down = torch.arange(h, device=x.device)[:, None] + away[row] + offsets[:, :, 0]
        across = torch.arange(w, device=x.device) + away[:, None, None] + offsets[:, :, 1]
        # grid_sample counts -1..1 from edge to edge of the map.
        grid = torch.stack([(2 * across + 1) / w - 1, (2 * down + 1) / h - 1], dim=-1)
        seen = F.grid_sample(x, grid.flatten(1, 2), align_corners=False)
        seen = seen.view(*x.shape[:2], k, h, w) * self.weight[:, row, :, None, None]
        return seen.sum(2)
