"""Files into the scene, without a window and no file beside them; and the phantom sample."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.read.phantom_sample import make_phantom, register_sample
    from SPADLib.read.volume_files import (
        IMAGES,
        LABELS,
        added,
        load_segmentation,
        load_volume,
        name_values,
    )

__getattr__, __all__ = lazily(__name__)
