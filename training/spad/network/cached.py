"""A condition encoder, run once per image, and a light denoiser, run at each step (our choice).

SPAD, equation 2, asks for separate extractors for the image and for the noisy label. The condition
encoder is a residual U-Net on the image, read in and written out at stride 2 by space-to-depth; its
logits alone are the plain U-Net (``kind = "unet"``), the bar of every comparison. The denoiser
works on the noisy label map at strides 4 to 16, is told the time, the encoder's features and its
logits, and corrects those logits.

The network's output is the *prior* ``pi(x_0 | x_t, image)`` before a pixel's own noisy label is
weighed; Bayes' rule adds that exactly, ``p(x_0 = i) ~ pi_i q(x_t | x_0 = i)``, so that the denoiser
need not carry each pixel of x_t through its bottleneck.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.card import NetworkConfig
from spad.diffusion import one_hot
from spad.network.interface import Condition, Network
from spad.network.time import TimeEmbedding

__all__ = ["Cached", "PlainUNet"]

_STEM = 2  # stride at which the condition encoder reads and writes
_PATCH = 4  # stride at which the denoiser reads and writes


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 8, channels)


class Block(nn.Module):
    """Residual block: norm, scale and shift by the time, convolution, SiLU, convolution.

    One norm and one SiLU to two convolutions: on a CPU with bfloat16 units the convolutions are the
    cheap part.
    """

    def __init__(self, inputs: int, outputs: int, time_width: int = 0) -> None:
        super().__init__()
        self.norm = _norm(inputs)
        self.time = nn.Linear(time_width, 2 * inputs) if time_width else None
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.norm(x)
        if self.time is not None and time is not None:
            scale, shift = self.time(time)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
            h = torch.addcmul(shift, h, 1 + scale)
        h = self.conv_2(F.silu(self.conv_1(h)))
        out: Tensor = self.skip(x) + h
        return out


class _UNet(nn.Module):
    """Encoder-decoder of :class:`Block` over the given widths, each level on half the grid.

    Returns the decoder's maps, finest first, one a level.
    """

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


class ConditionEncoder(nn.Module):
    """The image ``(B, 1, H, W)`` to logits and features; H, W multiples of ``config.stride``."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        widths = config.widths
        self.stem = nn.Conv2d(_STEM**2, widths[0], 3, padding=1)
        self.unet = _UNet(widths, config.blocks)
        self.norm = _norm(widths[0])
        self.head = nn.Conv2d(widths[0], _STEM**2 * num_classes, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K, H, W) and the decoder's features at stride 4, (B, widths[1], H/4, W/4)."""
        maps = self.unet(self.stem(F.pixel_unshuffle(image, _STEM)))
        logits = F.pixel_shuffle(self.head(F.silu(self.norm(maps[0]))), _STEM)
        return logits, maps[min(1, len(maps) - 1)]


class Denoiser(nn.Module):
    """The noisy label maps of n chains for each of B images to a correction of the logits."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        width = config.denoiser_widths[0]
        self.num_classes = num_classes
        self.labels = nn.Conv2d(_PATCH**2 * num_classes, width, 1)
        self.features = nn.Conv2d(config.widths[1], width, 1)
        self.logits = nn.Conv2d(_PATCH**2 * num_classes, width, 1)
        self.time = TimeEmbedding(config.time_width)
        self.unet = _UNet(config.denoiser_widths, config.denoiser_blocks, config.time_width)
        self.norm = _norm(width)
        self.head = nn.Conv2d(width, _PATCH**2 * num_classes, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def context(self, logits: Tensor, features: Tensor) -> Tensor:
        """What the image says, once for all chains and steps: (B, C, H/4, W/4)."""
        probabilities = F.pixel_unshuffle(logits.softmax(dim=1), _PATCH)
        out: Tensor = self.features(features) + self.logits(probabilities)
        return out

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Correction of the logits, (B, n, K, H, W).

        Parameters
        ----------
        x_t : Tensor of integers, shape (B, n, H, W)
        t : Tensor of float32, shape (B,) or (B, n)
            t / T in 0..1.
        context : Tensor, shape (B, C, H/4, W/4)
        """
        b, n, h, w = x_t.shape
        x = one_hot(x_t.flatten(0, 1), self.num_classes, context.dtype)
        x = self.labels(F.pixel_unshuffle(x, _PATCH)).unflatten(0, (b, n)) + context.unsqueeze(1)
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.unet(x, self.time.chains(t, b, n))[0]
        out = F.pixel_shuffle(self.head(F.silu(self.norm(x))), _PATCH)
        return out.view(b, n, self.num_classes, h, w)


class PlainUNet(Network):
    """The condition encoder alone: the plain U-Net of every comparison."""

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self.encoder = ConditionEncoder(config, num_classes)
        self.class_axes = {"encoder.head": 0}

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the decoder's features at stride 4."""
        logits, features = self.encoder(image.contiguous(memory_format=torch.channels_last))
        return Condition(logits.float(), features)

    def segments(self) -> list[nn.Module]:
        """The residual blocks."""
        return [m for m in self.modules() if isinstance(m, Block)]


class Cached(PlainUNet):
    """Condition encoder and denoiser."""

    diffuses = True

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self.denoiser = Denoiser(config, num_classes)
        own = {"denoiser.head": 0, "denoiser.labels": 1, "denoiser.logits": 1}
        self.class_axes = {**self.class_axes, **own}

    def encode(self, image: Tensor) -> Condition:
        """The encoder's logits; as context what it tells the denoiser, (B, C, H/4, W/4)."""
        logits, features = self.encoder(image.contiguous(memory_format=torch.channels_last))
        return Condition(logits.float(), self.denoiser.context(logits, features))

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits of the prior pi(x_0 | x_t, image); see :meth:`Network.denoise`."""
        if condition.logits is None:
            raise ValueError("the condition is another network's; encode the image with this one")
        correction: Tensor = self.denoiser(x_t, t, condition.context)
        return condition.logits.unsqueeze(1) + correction.float()
