"""Swin-Unet: a U-Net whose every block is attention within shifted windows (kind ``swin-unet``).

Cao et al., ECCV Workshops 2022 (arXiv 2105.05537). Its idea, section 3.1 and Fig. 1: Swin's encoder
by patch merging, and a mirrored decoder by *patch expanding* (section 3.4), joined by concatenation
and a linear layer (section 3.5); the last expanding is fourfold. The block is Swin's (Liu et al.,
ICCV 2021, section 3.2): windows of 7 x 7 patches with a relative position bias, every
second one shifted by half a window. As in Swin's own code for detection, maps are padded to whole
windows, so that any size goes.

Different here: one grey channel; random weights where the paper starts from ImageNet's; no
stochastic depth.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network import Condition, Network
from spad.network.compare.patches import PATCH, Expanding, Laying, Merging, condition, heads_of

__all__ = ["SwinBlock", "SwinUNet"]

_WINDOW = 7
_HEAD = 32  # channels of an attention head
_APART = -100.0  # logit between patches that only the shift made neighbours


class SwinUNet(Network):
    """Levels at strides 4, 8, 16, ..., each twice as wide as the one before."""

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        widths, depth = config.widths, config.blocks
        self.lay = Laying(widths[0])
        self.down = nn.ModuleList(Merging(a, b) for a, b in pairwise(widths))
        self.encoder = nn.ModuleList(_stage(width, depth) for width in widths)
        self.middle = nn.LayerNorm(widths[-1])
        self.up = nn.ModuleList(Expanding(b, a) for a, b in pairwise(widths))
        self.join = nn.ModuleList(nn.Linear(2 * width, width) for width in widths[:-1])
        self.decoder = nn.ModuleList(_stage(width, depth) for width in widths[:-1])
        self.norm = nn.LayerNorm(widths[0])
        self.last = Expanding(widths[0], widths[0], PATCH)
        self.head = nn.Conv2d(widths[0], num_classes, 1, bias=False)
        self.class_axes = {"head": 0}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the decoder's features at stride 4."""
        x = self.lay(image)
        maps: list[Tensor] = []
        for level, stage in enumerate(self.encoder):
            x = stage(self.down[level - 1](x) if level else x)
            maps.append(x)
        x = self.middle(maps.pop())
        for level in reversed(range(len(self.up))):
            x = self.join[level](torch.cat([self.up[level](x), maps[level]], dim=3))
            x = self.decoder[level](x)
        x = self.norm(x)
        return condition(self.head(self.last(x).permute(0, 3, 1, 2)), x.permute(0, 3, 1, 2))

    def segments(self) -> list[nn.Module]:
        """The blocks of attention."""
        return [m for m in self.modules() if isinstance(m, SwinBlock)]


def _stage(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(SwinBlock(width, _WINDOW // 2 * (i % 2)) for i in range(depth)))


class SwinBlock(nn.Module):
    """Attention within windows, shifted or not, and a perceptron; both added (Swin, equation 3)."""

    def __init__(self, channels: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm_1 = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels)
        self.norm_2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, h, w, C) to the same."""
        x = x + self._attend(self.norm_1(x))
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        rows, columns = (-(-size // _WINDOW) for size in (h, w))
        x = F.pad(x, (0, 0, 0, columns * _WINDOW - w, 0, rows * _WINDOW - h))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        x = x.view(b, rows, _WINDOW, columns, _WINDOW, -1).transpose(2, 3).flatten(3, 4)
        x = self.attention(x.flatten(1, 2), self._apart(rows, columns, x.device))
        x = x.view(b, rows, columns, _WINDOW, _WINDOW, -1).transpose(2, 3)
        x = x.flatten(3, 4).flatten(1, 2)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :h, :w]

    def _apart(self, rows: int, columns: int, device: torch.device) -> Tensor | None:
        """Logits that keep apart what the shift brought together, (windows, 1, 49, 49)."""
        if not self.shift:
            return None

        def parts(count: int) -> Tensor:
            place = torch.arange(count * _WINDOW, device=device) - (count - 1) * _WINDOW
            return (place >= 0).long() + (place >= _WINDOW - self.shift)

        part = 3 * parts(rows)[:, None] + parts(columns)
        part = part.view(rows, _WINDOW, columns, _WINDOW).transpose(1, 2).reshape(-1, _WINDOW**2)
        return torch.where(part[:, None, :, None] != part[:, None, None, :], _APART, 0.0)


class WindowAttention(nn.Module):
    """Self-attention within windows with a relative position bias (Swin, equation 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = heads_of(channels, _HEAD)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(self.heads, 2 * _WINDOW - 1, 2 * _WINDOW - 1))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor, apart: Tensor | None) -> Tensor:
        """Windows (B, windows, 49, C) to the same; ``apart`` is added to the logits."""
        place = torch.arange(_WINDOW, device=x.device)
        away = place[:, None] - place + _WINDOW - 1  # of a query from a key
        bias = self.bias[:, away[:, None, :, None], away[None, :, None, :]].flatten(3, 4)
        bias = bias.flatten(1, 2)
        if apart is not None:
            bias = bias + apart
        qkv = self.qkv(x).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        q, k, v = qkv.unbind(0)  # (B, windows, heads, 49, channels of a head)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        out: Tensor = self.out(h.transpose(2, 3).flatten(3))
        return out
