"""The networks behind one interface: encode an image once, denoise its label maps step by step.

==========  ============================================================  ================
kind        what it is                                                    module
==========  ============================================================  ================
`cached`    condition encoder, once an image; light denoiser, each step   `cached`
`concat`    CCDM's U-Net on label map and image, each step                `concat`
`unet`      the condition encoder alone: the plain U-Net                  `cached`
`dynunet`   nnU-Net's 2-D U-Net, from MONAI: a second plain U-Net         `dynunet`
==========  ============================================================  ================

No BatchNorm in any: an image's result must not depend on its batch. `tiled` runs any of them in
tiles, for grids too large for one pass.
"""

from spad.network.build import build, transfer
from spad.network.interface import Condition, Network, Outputs
from spad.network.tiled import Tiled

__all__ = ["Condition", "Network", "Outputs", "Tiled", "build", "transfer"]
