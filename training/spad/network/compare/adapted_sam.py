"""MSA: the image encoder of Segment Anything, with small adapters that learn (kind ``msa``).

Wu et al., "Medical SAM Adapter", Medical Image Analysis 2025 (arXiv 2304.12620). Its idea, section
3.2 and Fig. 2 (b): the encoder (Kirillov et al., ICCV 2023) stays as it is, and in each of its
blocks two bottlenecks learn, one after the attention with its input added, one beside the
perceptron at half its strength. The encoder's code is that of `transformers`.

Different here: SAM's decoder is told by prompts where a structure is; a label map has none, so the
decoder is SAM's two transposed convolutions (its appendix A, "Lightweight mask decoder") and one
output a class. The position embeddings are interpolated to the size of the image, as the method's
own code does. A grey image is seen three times. Without SAM's weights (``sam`` in the
configuration) everything learns.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network import Condition, Network
from spad.network.compare.patches import ChannelNorm, condition, heads_of

try:
    from transformers import SamVisionConfig
    from transformers.models.sam.modeling_sam import SamVisionEncoder
except ImportError as error:
    raise ImportError(
        f'a network of kind "msa" needs {error.name or error}: pip install "napari-spad[compare]"'
    ) from None

__all__ = ["AdaptedSam"]

_HEAD = 64  # channels of an attention head
_SCALE, _SHIFT = 2.212, 0.226  # from [-1, 1] to what SAM has seen, the mean of its three colours


class AdaptedSam(Network):
    """``widths``: of the encoder and of its neck; ``blocks``: of the encoder."""

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        width, neck = config.widths
        often = max(1, config.blocks // 4)
        self.encoder = SamVisionEncoder(
            SamVisionConfig(
                hidden_size=width,
                output_channels=neck,
                num_hidden_layers=config.blocks,
                num_attention_heads=heads_of(width, _HEAD),
                mlp_dim=4 * width,
                # Each other block attends within windows of 14 x 14.
                global_attn_indexes=list(range(often - 1, config.blocks, often)),
            )
        )
        for layer in self.encoder.layers:
            layer.attn = AdaptedAttention(cast(nn.Module, layer.attn), width)
            layer.mlp = AdaptedMlp(cast(nn.Module, layer.mlp), width)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(neck, neck // 4, 2, stride=2),
            ChannelNorm(neck // 4),
            nn.GELU(),
            nn.ConvTranspose2d(neck // 4, neck // 8, 2, stride=2),
            nn.GELU(),
        )
        self.head = nn.Conv2d(neck // 8, num_classes, 1)
        self.class_axes = {"head": 0}

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the features at stride 4."""
        x = (image * _SCALE + _SHIFT).expand(-1, 3, -1, -1)
        x = self.encoder.patch_embed.projection(x).permute(0, 2, 3, 1)
        position = cast(Tensor, self.encoder.pos_embed).permute(0, 3, 1, 2)
        position = F.interpolate(position, x.shape[1:3], mode="bilinear")
        x = x + position.permute(0, 2, 3, 1).to(x.dtype)
        for layer in self.encoder.layers:
            x = layer(x)
        features = self.up(self.encoder.neck(x))
        logits = self.head(features)
        size = image.shape[-2:]
        return condition(F.interpolate(logits, size, mode="bilinear"), features)

    def keep_encoder(self) -> None:
        """Let only the adapters and the decoder learn."""
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_("adapter" in name.split("."))

    def segments(self) -> list[nn.Module]:
        """The encoder's blocks."""
        return list(self.encoder.layers)


class Adapter(nn.Module):
    """Down to a quarter of the channels and up again (Fig. 2 b)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, channels // 4)
        self.up = nn.Linear(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.up(F.gelu(self.down(x)))
        return out


class AdaptedAttention(nn.Module):
    """The attention of a block of SAM, then an adapter, added."""

    def __init__(self, own: nn.Module, channels: int) -> None:
        super().__init__()
        self.own = own
        self.adapter = Adapter(channels)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Any]:
        x, weights = self.own(hidden_states)
        return x + self.adapter(x), weights


class AdaptedMlp(nn.Module):
    """The perceptron of a block of SAM, and beside it an adapter at half its strength."""

    def __init__(self, own: nn.Module, channels: int) -> None:
        super().__init__()
        self.own = own
        self.adapter = Adapter(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.add(self.own(x), self.adapter(x), alpha=0.5)
        return out
