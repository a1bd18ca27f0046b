"""The networks behind one interface: encode an image once, denoise its label maps step by step.

========  ============================================================  ===========
kind      what it is                                                    file
========  ============================================================  ===========
cached    condition encoder, once an image; light denoiser, each step   denoiser
concat    CCDM's U-Net on label map and image, each step                ccdm
unet      the condition encoder alone: the plain U-Net                  unet
dynunet   nnU-Net's 2-D U-Net, from MONAI: a second plain U-Net         dynunet
others    what SPAD is compared with, a room of its own                 compare
========  ============================================================  ===========

No BatchNorm in any: an image's result must not depend on its batch. `tiles` runs any of them in
tiles, for grids too large for one pass.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.network.device import autocast, devices, fastest_ways, gpus, pick_device, uncast
    from spad.network.encoder_decoder import Block, Norm
    from spad.network.from_card import build, transfer
    from spad.network.interface import Condition, Network, Outputs
    from spad.network.tiles import Tiled
    from spad.network.unet import PlainUNet

__getattr__, __all__ = lazily(__name__)
