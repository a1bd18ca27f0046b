"""The condition encoder: a residual U-Net on the image, run once per image.

SPAD, equation 2, asks for separate extractors for the image and for the noisy label. This one is
read in and written out at stride 2 by space-to-depth; its logits alone are the plain U-Net
(:mod:`spad.network.unet`), its features and logits are told to the denoiser
(:mod:`spad.network.denoiser`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.backbones import pyramid
from spad.checkpoint import NetworkConfig
from spad.network.encoder_decoder import Convolution, EncoderDecoder, Norm, Pointwise

__all__ = ["ConditionEncoder"]

_STEM = 2  # stride at which the condition encoder reads and writes


class ConditionEncoder(nn.Module):
    """The image ``(B, 1, H, W)`` to logits and features; H, W multiples of ``config.stride``.

    With a pre-trained ``backbone`` its maps take the place of the U-Net's own encoder; the stem
    adds what a first layer at stride 2 that learnt on photographs does not tell.
    """

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        widths = config.widths
        self.stem = Convolution(_STEM**2, widths[0], 3, padding=1)
        own = config.encoder == "own"
        self.backbone = None if own else pyramid(config.encoder, len(widths))
        channels: tuple[int, ...] = () if self.backbone is None else self.backbone.channels
        self.lateral = nn.ModuleList(
            Pointwise(seen, width) for seen, width in zip(channels, widths, strict=False) if seen
        )
        self.unet = EncoderDecoder(widths, config.blocks if own else 0)
        self.norm = Norm(widths[0])
        self.head = Pointwise(widths[0], _STEM**2 * num_classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K, H, W) and the decoder's features at stride 4, (B, widths[1], H/4, W/4)."""
        stem = self.stem(F.pixel_unshuffle(image, _STEM))
        if self.backbone is None:
            maps = self.unet(stem)
        else:
            seen = zip(self.lateral, self._seen(image), strict=True)
            maps = [lateral(x) for lateral, x in seen]
            if self.backbone.channels[0]:
                maps[0] = maps[0] + stem
            else:  # it begins at stride 4
                maps.insert(0, stem)
            maps = self.unet.decode(maps)
        logits = F.pixel_shuffle(self.head(F.silu(self.norm(maps[0]))), _STEM)
        return logits, maps[min(1, len(maps) - 1)]

    def _seen(self, image: Tensor) -> list[Tensor]:
        """The backbone's maps, without a graph where it is frozen: a lesson's step is shorter."""
        assert self.backbone is not None  # noqa: S101
        learns = image.requires_grad or any(p.requires_grad for p in self.backbone.parameters())
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            maps: list[Tensor] = self.backbone(image)
        return maps
