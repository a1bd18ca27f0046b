"""Any feature extractor of timm as a pyramid, for whoever has a GPU and wants a bigger encoder.

timm (PyTorch Image Models) is an extra, as it needs a torchvision that fits torch. A checkpoint
holds the weights, so whoever uses one needs timm but no download.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TimmFeatures"]

_MEAN, _STD = 0.449, 0.226  # of ImageNet, mean of the colours, which a grey image is


class TimmFeatures(nn.Module):
    """Maps of a convolutional network of timm at strides 2, 4, 8, ...

    Its norms over the batch stay as they came, in training too: an image's result must not depend
    on its batch.

    Parameters
    ----------
    name : str
        As timm calls it, such as "convnext_tiny.fb_in22k".
    levels : int
        How many strides are wanted, from 2 on.
    pretrained : bool, optional
        Fetch its weights, by timm's own way, from a network.

    Raises
    ------
    ImportError
        timm is missing.
    ValueError
        It knows no such network, or none whose maps lie at these strides.
    """

    def __init__(self, name: str, levels: int = 5, *, pretrained: bool = False) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                f"network.encoder 'timm/{name}' needs timm, which is missing ({error}): pip "
                'install "napari-spad[timm]", with a torchvision that fits torch'
            ) from None
        wanted = [2 ** (i + 1) for i in range(levels)]
        try:
            with torch.device("meta"):  # to look at
                strides = timm.create_model(name, features_only=True).feature_info.reduction()
            at = {stride: i for i, stride in enumerate(strides) if stride in wanted}
            missing = set(wanted[1:]) - at.keys()
            if missing:
                raise ValueError(f"it has no maps at strides {sorted(missing)}")
            self.net = timm.create_model(
                name,
                features_only=True,
                in_chans=1,
                out_indices=tuple(at.values()),
                pretrained=pretrained,
            )
        except (RuntimeError, ValueError, AttributeError, TypeError, KeyError) as error:
            raise ValueError(
                f"network.encoder 'timm/{name}' cannot be used: {error}. Take one with maps at "
                f"strides {wanted[1:]}; timm.list_models() has the names"
            ) from None
        channels = dict(zip(at, self.net.feature_info.channels(), strict=True))
        self.channels = tuple(channels.get(stride, 0) for stride in wanted)
        self.net = timm.layers.freeze_batch_norm_2d(self.net)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 1, H, W) in [-1, 1] to the maps of the levels that it has, finest first."""
        maps: list[Tensor] = self.net(((image + 1) / 2 - _MEAN) / _STD)
        return [x.contiguous(memory_format=torch.channels_last) for x in maps]
