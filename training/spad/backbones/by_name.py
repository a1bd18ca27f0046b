"""A pre-trained encoder by the name that a card gives it."""

from __future__ import annotations

from spad.backbones.efficientnet import EfficientNet
from spad.backbones.timm_features import TimmFeatures

__all__ = ["pyramid"]


def pyramid(encoder: str, levels: int) -> EfficientNet | TimmFeatures:
    """The network, with random weights.

    Parameters
    ----------
    encoder : str
        As ``network.encoder``, not "own".
    levels : int
        How many maps are wanted, at strides 2, 4, 8, ...

    Returns
    -------
    EfficientNet or TimmFeatures
        From images (B, 1, H, W) in [-1, 1] to a list of maps; ``channels`` tells those of each
        level, 0 where the network has no map.

    Raises
    ------
    ImportError, ValueError
        As of :class:`spad.backbones.TimmFeatures`.
    """
    name = encoder.removeprefix("timm/")
    return EfficientNet(name, levels) if name == encoder else TimmFeatures(name, levels)
