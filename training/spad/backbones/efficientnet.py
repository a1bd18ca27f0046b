"""EfficientNet-Lite as a pyramid of features, without BatchNorm (our own network).

EfficientNet (Tan & Le, ICML 2019, https://arxiv.org/abs/1905.11946) is a stem and 16 inverted
residual blocks, or more and wider ones; its *Lite* variants (TensorFlow, 2020) have neither
squeeze-and-excite nor swish, but ReLU6. What TensorFlow trained pads as TensorFlow does, so this
network does too. BatchNorm is folded into the convolutions (:func:`fold`): in evaluation it is a
scale and a shift, and a network that learns on must not let an image's result depend on its batch.
The image is grey; a network trained on colours sees it three times, which is one convolution whose
weights are summed.

Nothing here needs trained weights: those of ImageNet come from the trainer
(:mod:`spad.train.loop.pretrained_encoder`), and a checkpoint holds what was made of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EfficientNet", "InvertedResidual", "SameConv2d", "fold", "same_padding"]

_STEM = 32  # of every Lite variant
_STAGES = (
    # expansion, outputs, blocks, stride of the first, kernel (Table 1 of the paper)
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_SCALES = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite2": (1.1, 1.2)}  # width, depth
_EPSILON = 1e-3  # of its BatchNorm


def _stages(variant: str) -> list[tuple[int, int, int, int, int]]:
    """Stages of a variant, by the paper's scaling (Section 3.3): widths are multiples of 8.

    The first and the last stage of a Lite network are no deeper than those of Lite0.
    """
    width, depth = _SCALES[variant]
    out = []
    for i, (expansion, outputs, count, stride, kernel) in enumerate(_STAGES):
        deeper = count if i in (0, len(_STAGES) - 1) else math.ceil(count * depth)
        out.append((expansion, int(outputs * width + 4) // 8 * 8, deeper, stride, kernel))
    return out


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding of an axis, before and after it: the output has size / stride.

    Rounded up; of an odd number of pixels the greater half comes after. At stride 2 and an even
    size that is k - 2 pixels, where PyTorch's ``padding=k // 2`` would shift the map by one.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, see :func:`same_padding`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0  # symmetric then, so the convolution can do it
        super().__init__(
            inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=True
        )
        # Of these a CPU takes three to eight times as long for the gradient in bfloat16.
        self._slow = groups > 1 and (kernel > 3 or stride > 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride), rounded up."""
        if self.stride[0] > 1:
            (top, bottom), (left, right) = (
                same_padding(size, self.kernel_size[0], self.stride[0]) for size in x.shape[-2:]
            )
            x = F.pad(x, (left, right, top, bottom))
        if self._slow and x.device.type == "cpu" and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float()).to(x.dtype)
        return super().forward(x)


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, depthwise one, 1x1 to few; the input is added if it fits.

    The last one is linear (Sandler et al., CVPR 2018).
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride), rounded up."""
        h = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        h = F.relu6(self.depthwise(h), inplace=True)
        out: Tensor = self.project(h)
        return out.add_(x) if self.adds else out


class EfficientNet(nn.Module):
    """An EfficientNet-Lite without its head.

    Parameters
    ----------
    variant : {"efficientnet-lite0", "efficientnet-lite2"}
    levels : int
        How many maps are wanted, 1 to 5; blocks beyond the last of them are not there.

    Attributes
    ----------
    channels : tuple of int
        Of the maps at strides 2, 4, 8, ...: the last block's at each.
    """

    def __init__(self, variant: str, levels: int = 5) -> None:
        super().__init__()
        stages = _stages(variant)
        self.stem = SameConv2d(1, _STEM, 3, 2)
        self.blocks = nn.ModuleList()
        self._ends: list[int] = []  # last block of each level
        ended: list[int] = []
        outputs = [_STEM, *(stage[1] for stage in stages)]
        for (expansion, _, count, stride, kernel), (before, width) in zip(
            stages, pairwise(outputs), strict=True
        ):
            if stride > 1:
                self._ends.append(len(self.blocks) - 1)
                ended.append(before)
                if len(self._ends) == levels:
                    break
            for i in range(count):
                first = i == 0
                self.blocks.append(
                    InvertedResidual(
                        before if first else width, width, expansion, kernel, stride if first else 1
                    )
                )
        else:
            self._ends.append(len(self.blocks) - 1)
            ended.append(outputs[-1])
        self.channels: tuple[int, ...] = tuple(ended)
        self._start_at_random()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps of an image.

        Parameters
        ----------
        image : Tensor, shape (B, 1, H, W)
            In [-1, 1], which is also how the Lite networks were trained.

        Returns
        -------
        list of Tensor
            (B, C, H/2, W/2), (B, C, H/4, W/4), ... with C from ``channels``; sizes are
            rounded up.
        """
        maps = []
        x = F.relu6(self.stem(image), inplace=True)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self._ends:
                maps.append(x)
        return maps

    def _start_at_random(self) -> None:
        """He et al. (2015): a signal's size is kept, though no norm is here to mend it."""
        for name, module in self.named_modules():
            if isinstance(module, SameConv2d) and module.bias is not None:
                linear = name.endswith("project")
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear" if linear else "relu")
                nn.init.zeros_(module.bias)


def fold(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an EfficientNet with BatchNorm, as published, to those of :class:`EfficientNet`.

    ``BN(w * x) = (w g) * x + (b - m g)`` with ``g = gamma / sqrt(var + 1e-3)``.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Keys ``_conv_stem``, ``_bn0``, ``_blocks.N._{expand,depthwise,project}_conv``,
        ``_blocks.N._bn{0,1,2}``; the head's are not asked for.

    Returns
    -------
    dict of str to Tensor
        All float32, the stem for one grey channel.

    Raises
    ------
    KeyError
        One is missing.
    """
    out: dict[str, Tensor] = {}

    def conv(name: str, source: str, norm: str) -> None:
        weight = tensors[f"{source}.weight"].double()
        gamma, beta, mean, var = (
            tensors[f"{norm}.{part}"].double()
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gamma / torch.sqrt(var + _EPSILON)
        out[f"{name}.weight"] = (weight * gain.view(-1, 1, 1, 1)).float()
        out[f"{name}.bias"] = (beta - mean * gain).float()

    conv("stem", "_conv_stem", "_bn0")
    out["stem.weight"] = out["stem.weight"].sum(1, keepdim=True)
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("_blocks.")}
    for block in range(max(blocks, default=-1) + 1):
        theirs, ours = f"_blocks.{block}.", f"blocks.{block}."
        for norm, part in enumerate(("expand", "depthwise", "project")):
            if part != "expand" or f"{theirs}_expand_conv.weight" in tensors:
                conv(f"{ours}{part}", f"{theirs}_{part}_conv", f"{theirs}_bn{norm}")
    return out
