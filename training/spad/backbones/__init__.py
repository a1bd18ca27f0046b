"""What others have taught to see: pre-trained encoders as pyramids of maps, by name.

The decoder, the denoiser and all that classes need are ours (:mod:`spad.network`).
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.backbones.by_name import pyramid
    from spad.backbones.efficientnet import EfficientNet, InvertedResidual, fold
    from spad.backbones.timm_features import TimmFeatures

__getattr__, __all__ = lazily(__name__)
