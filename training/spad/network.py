"""The networks: a condition encoder, run once per image, and a light denoiser, run at each step.

SPAD, equation 2, asks for separate extractors for the image and for the noisy label. The condition
encoder is a residual U-Net on the image, read in and written out at stride 2 by space-to-depth; its
logits alone are the plain U-Net (``kind = "unet"``), the bar of every comparison. The denoiser
works on the noisy label map at strides 4 to 16, is told the time, the encoder's features and its
logits, and corrects those logits.

The network's output is the *prior* ``pi(x_0 | x_t, image)`` before a pixel's own noisy label is
weighed; Bayes' rule adds that exactly, ``p(x_0 = i) ~ pi_i q(x_t | x_0 = i)``, so that the denoiser
need not carry each pixel of x_t through its bottleneck (our choice).

No BatchNorm: an image's result must not depend on its batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.card import NetworkConfig
from spad.diffusion import one_hot

__all__ = ["Condition", "ConditionEncoder", "Denoiser", "Network", "Outputs", "build", "transfer"]

_STEM = 2  # stride at which the condition encoder reads and writes
_PATCH = 4  # stride at which the denoiser reads and writes


class Condition(NamedTuple):
    """What the denoiser needs of B images, computed once.

    ``logits`` float32 of shape (B, K, H, W): the encoder's own; ``context`` of shape (B, C, H/4,
    W/4).
    """

    logits: Tensor
    context: Tensor


class Outputs(NamedTuple):
    """What a training pass gives the loss.

    ``encoder``: logits told by the image alone, float32 (B, K, H, W), then those of each coarser
    scale that is trained too, (B, K, H/2, W/2), ...; empty for a network without such logits.
    ``denoiser``: logits of the denoiser, float32 (B, n, K, H, W); None for a plain U-Net.
    """

    encoder: tuple[Tensor, ...]
    denoiser: Tensor | None


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
        self.time_width = config.time_width
        self.labels = nn.Conv2d(_PATCH**2 * num_classes, width, 1)
        self.features = nn.Conv2d(config.widths[1], width, 1)
        self.logits = nn.Conv2d(_PATCH**2 * num_classes, width, 1)
        self.time = nn.Sequential(
            nn.Linear(config.time_width, config.time_width),
            nn.SiLU(),
            nn.Linear(config.time_width, config.time_width),
            nn.SiLU(),
        )
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
        time = self.time(_fourier(t, self.time_width))
        time = time.view(b, -1, self.time_width).expand(b, n, -1).flatten(0, 1)
        x = self.unet(x, time)[0]
        out = F.pixel_shuffle(self.head(F.silu(self.norm(x))), _PATCH)
        return out.view(b, n, self.num_classes, h, w)


class Network(nn.Module):
    """Condition encoder and denoiser; without a denoiser it is the plain U-Net.

    Parameters
    ----------
    config : NetworkConfig
    num_classes : int
        K, background included.
    """

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.encoder = ConditionEncoder(config, num_classes)
        self.denoiser = Denoiser(config, num_classes) if config.kind == "cached" else None

    @property
    def diffuses(self) -> bool:
        """Whether there is a denoiser; a plain U-Net has none."""
        return self.denoiser is not None

    def forward(self, image: Tensor, x_t: Tensor | None = None, t: Tensor | None = None) -> Outputs:
        """Run a whole training pass, so that what wraps a module (DDP, compile) sees all of it.

        Parameters
        ----------
        image : Tensor, shape (B, 1, H, W)
        x_t, t : Tensor
            As of :meth:`denoise`; a plain U-Net is given neither.
        """
        condition = self.encode(image)
        if x_t is None or t is None:
            return Outputs((condition.logits,), None)
        return Outputs((condition.logits,), self.denoise(x_t, t, condition))

    def encode(self, image: Tensor) -> Condition:
        """Run the condition encoder: image (B, 1, H, W) in [-1, 1] to a :class:`Condition`."""
        logits, features = self.encoder(image.contiguous(memory_format=torch.channels_last))
        context = features if self.denoiser is None else self.denoiser.context(logits, features)
        return Condition(logits.float(), context)

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits of the prior pi(x_0 | x_t, image), float32 (B, n, K, H, W); see Denoiser."""
        if self.denoiser is None:
            raise ValueError("a plain U-Net has no denoiser; take the logits of its condition")
        correction: Tensor = self.denoiser(x_t, t, condition.context)
        return condition.logits.unsqueeze(1) + correction.float()


def build(config: NetworkConfig, num_classes: int, tensors: Mapping[str, Tensor] | None) -> Network:
    """Build a network, with the weights of a checkpoint if given.

    The network is laid out on the ``meta`` device first, which takes no memory, so that names and
    shapes are compared before anything is allocated.

    Parameters
    ----------
    config : NetworkConfig
    num_classes : int
    tensors : mapping of str to Tensor, optional
        All weights, by name. None: freshly initialised.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        The tensors do not fit the configuration: which ones, and how.
    """
    if tensors is None:
        return _channels_last(Network(config, num_classes))
    with torch.device("meta"):
        network = Network(config, num_classes)
    wanted = {name: tuple(p.shape) for name, p in network.state_dict().items()}
    given = {name: tuple(p.shape) for name, p in tensors.items()}
    faults = [f"{n} is missing" for n in wanted.keys() - given.keys()]
    faults += [f"{n} is unknown" for n in given.keys() - wanted.keys()]
    faults += [
        f"{n} has shape {given[n]}, not {wanted[n]}"
        for n in wanted.keys() & given.keys()
        if wanted[n] != given[n]
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(
            f"the weights do not fit the network that the card describes: "
            f"{'; '.join(sorted(faults)[:5])}{more}. The file was altered or put together by hand."
        )
    network.load_state_dict(dict(tensors), assign=True)
    return _channels_last(network)


def transfer(
    tensors: Mapping[str, Tensor],
    names: Sequence[str],
    network: Network,
    network_names: Sequence[str],
) -> dict[str, Tensor]:
    """Weights of one model for a network with other classes, matched by name.

    Layers that read or write classes keep ``stride**2`` neighbouring channels for each class; those
    of a class that both models have are taken over, the others stay the network's own.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the model.
    names, network_names : sequence of str
        Classes of the model and of the network, background first.
    network : Network

    Returns
    -------
    dict of str to Tensor
        For ``network.load_state_dict(..., strict=False)``: what fits, by name.
    """
    axes = {"encoder.head": 0, "denoiser.head": 0, "denoiser.labels": 1, "denoiser.logits": 1}
    both = [(network_names.index(n), names.index(n)) for n in network_names if n in names]
    out = {}
    for name, own in network.state_dict().items():
        if (given := tensors.get(name)) is None:
            continue
        axis = axes.get(name.rsplit(".", 1)[0], own.ndim)
        if axis < own.ndim:  # one block of neighbouring channels for each class
            mine = list(own.clone().chunk(len(network_names), axis))
            theirs = given.chunk(len(names), axis)
            if both and mine[0].shape == theirs[0].shape:
                for to, source in both:
                    mine[to] = theirs[source]
                out[name] = torch.cat(mine, axis)
        elif given.shape == own.shape:
            out[name] = given
    return out


def _channels_last(network: Network) -> Network:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _fourier(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of the time t / T at frequencies 1 to 1000, (..., width)."""
    half = width // 2
    frequencies = torch.exp(
        torch.arange(half, device=t.device, dtype=torch.float32) * (math.log(1000.0) / (half - 1))
    )
    angles = t.float().unsqueeze(-1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
