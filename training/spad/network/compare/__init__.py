"""The other systems of SPAD's Table 1, each method's own idea in one file; none of them diffuses.

==========  =======================================================  ===================
kind        what it is                                               file
==========  =======================================================  ===================
swin-unet   windowed attention up and down (Cao et al.)              swin_unet
trans-unet  ResNet, a ViT on its last map, decoder (Chen et al.)     trans_unet
msa         SAM's image encoder with adapters (Wu et al.)            adapted_sam
d-lka       deformable large-kernel attention (Azad et al.)          deformable_lka
dsc-amp     dynamic strips as a plug-in of the U-Net (Hu et al.)     dynamic_strips
==========  =======================================================  ===================

As everywhere here, BatchNorm became GroupNorm, and dropout and stochastic depth are left out: an
image's result must not depend on its batch, and a run goes on bit for bit.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.network.compare.adapted_sam import AdaptedSam
    from spad.network.compare.deformable_lka import DeformableLka
    from spad.network.compare.dynamic_strips import StripUNet
    from spad.network.compare.sam_weights import load_sam
    from spad.network.compare.swin_unet import SwinUNet
    from spad.network.compare.trans_unet import TransUNet

__getattr__, __all__ = lazily(__name__)
