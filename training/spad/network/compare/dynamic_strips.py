"""DSC-AMP: dynamic strip convolution and adaptive morphology perception, kind ``dsc-amp``.

Hu et al., IEEE Transactions on Medical Imaging 44:2541, 2025. A plug-in for elongated structures
such as ribs: *dynamic strip convolution* (DSC), long and thin kernels that depend on the image, and
*adaptive morphology perception* (AMP), which weighs for each place the kernels whose shape fits the
anatomy there. Here it stands at the end of each level of the plain U-Net's encoder, so that
``dsc-amp`` less ``unet`` is what it brings.

**Guessed**, since the code is not public and no more than this description was at hand: the length
of the strips (11 pixels), the number of kernels (4) and their mixing by a softmax of the pooled map
(as Chen et al., CVPR 2020, "Dynamic convolution"), the shapes that AMP chooses from (a point, a
3 x 3 square, a lying and a standing strip) by a softmax a pixel, and the place in the network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network import Block, Norm, PlainUNet

__all__ = ["DynamicStrips", "StripUNet"]

_LONG = 11  # pixels of a strip
_KERNELS = 4  # that an image's own is mixed from


class StripUNet(PlainUNet):
    """The plain U-Net with the plug-in at the end of each level of its encoder."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        for width, blocks in zip(config.widths, self.encoder.unet.encoder, strict=True):
            assert isinstance(blocks, nn.ModuleList)  # noqa: S101  (for the type checker)
            blocks.append(DynamicStrips(width))

    def segments(self) -> list[nn.Module]:
        """The residual blocks and the plug-ins."""
        return [m for m in self.modules() if isinstance(m, Block | DynamicStrips)]


class DynamicStrips(nn.Module):
    """DSC in both directions, and AMP, which chooses among them; added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.lying = DynamicStrip(channels, lying=True)
        self.standing = DynamicStrip(channels, lying=False)
        self.square = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.shapes = nn.Conv2d(channels, 4, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Maps (B, C, h, w) to the same; called as a block of the U-Net, which may know a time."""
        h = F.silu(self.norm(x))
        seen = torch.stack([h, self.square(h), self.lying(h), self.standing(h)], dim=1)
        share = self.shapes(h).softmax(1).unsqueeze(2)
        out: Tensor = x + self.out((seen * share).sum(1))
        return out


class DynamicStrip(nn.Module):
    """Depthwise strip whose kernel is mixed, for each image, from a few learnt ones."""

    def __init__(self, channels: int, *, lying: bool) -> None:
        super().__init__()
        self.shape = (1, _LONG) if lying else (_LONG, 1)
        self.mixing = nn.Linear(channels, _KERNELS)
        self.weight = nn.Parameter(torch.empty(_KERNELS, channels, _LONG))
        nn.init.uniform_(self.weight, -(_LONG**-0.5), _LONG**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        b, channels = x.shape[:2]
        share = self.mixing(x.mean((2, 3))).softmax(1)
        kernels = torch.einsum("bn,ncl->bcl", share.float(), self.weight)
        kernels = kernels.view(b * channels, 1, *self.shape)
        # Each image with its own kernel: the batch lies beside the channels.
        flat = x.reshape(1, b * channels, *x.shape[2:])
        out = F.conv2d(flat, kernels.to(x.dtype), padding="same", groups=b * channels)
        return out.view(x.shape)
