"""The plain U-Net, the bar of every comparison: the condition encoder by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spad.backbones import InvertedResidual
from spad.checkpoint import NetworkConfig
from spad.network.condition_encoder import ConditionEncoder
from spad.network.encoder_decoder import Block
from spad.network.interface import Condition, Network

__all__ = ["PlainUNet", "planes"]


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
        return Condition(planes(logits), features)

    def segments(self) -> list[nn.Module]:
        """The residual blocks."""
        return [m for m in self.modules() if isinstance(m, Block | InvertedResidual)]


def planes(logits: Tensor) -> Tensor:
    """Float32, one plane a class, which the pixel-wise sums over classes walk best."""
    return logits.to(torch.float32, memory_format=torch.contiguous_format)
