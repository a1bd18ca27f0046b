"""The second plain U-Net: MONAI's DynUNet in nnU-Net's 2-D configuration.

nnU-Net (Isensee et al., Nature Methods 2021): convolutions of 3 x 3, instance norm with an affine
map, leaky ReLU, transposed convolutions up, deep supervision. Its parts are run here one after the
other, since MONAI's own recursion keeps each weight under two names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spad.checkpoint import NetworkConfig
from spad.network.encoder_decoder import Convolution
from spad.network.interface import Condition, Network, Outputs

try:
    from monai.networks.nets.dynunet import DynUNet as MonaiDynUNet
except ImportError as error:
    raise ImportError(
        f'a network of kind "dynunet" needs {error.name or error}: '
        'pip install "napari-spad[nnunet]"'
    ) from None

__all__ = ["DynUNet"]


class DynUNet(Network):
    """nnU-Net's encoder-decoder; levels at strides 1, 2, 4, ..."""

    diffuses = False

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        levels = len(config.widths)
        # As nnU-Net: the decoder's scales but its coarsest one are trained on.
        coarser = max(0, levels - 3)
        whole = MonaiDynUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=num_classes,
            kernel_size=[3] * levels,
            strides=[1, *[2] * (levels - 1)],
            upsample_kernel_size=[2] * (levels - 1),
            filters=config.widths,
            norm_name=("INSTANCE", {"affine": True}),
            deep_supervision=coarser > 0,
            deep_supr_num=max(1, coarser),
        )
        self.encoder = nn.ModuleList([whole.input_block, *whole.downsamples, whole.bottleneck])
        self.decoder = whole.upsamples
        deep = whole.deep_supervision_heads if coarser else ()
        self.heads = nn.ModuleList([whole.output_block, *deep])
        for module in self.modules():
            if type(module) is nn.Conv2d:  # MONAI's, no quicker to learn than ours
                module.__class__ = Convolution
        self.class_axes = {f"heads.{i}.conv.conv": 0 for i in range(len(self.heads))}

    def encode(self, image: Tensor) -> Condition:
        """Logits, and as context the decoder's features at full resolution."""
        features = self._features(image)[0]
        return Condition(self.heads[0](features).float(), features)

    def forward(self, image: Tensor, x_t: Tensor | None = None, t: Tensor | None = None) -> Outputs:
        """The logits at each scale that is supervised; see :meth:`Network.forward`."""
        scales = zip(self.heads, self._features(image), strict=False)
        return Outputs(tuple(head(features).float() for head, features in scales), None)

    def _features(self, image: Tensor) -> list[Tensor]:
        """The decoder's maps, finest first."""
        x = image.contiguous(memory_format=torch.channels_last)
        maps = [x := stage(x) for stage in self.encoder]
        x, *skips = reversed(maps)
        decoded = [x := up(x, skip) for up, skip in zip(self.decoder, skips, strict=True)]
        return decoded[::-1]

    def segments(self) -> list[nn.Module]:
        """The stages of encoder and decoder."""
        return [*self.encoder, *self.decoder]
