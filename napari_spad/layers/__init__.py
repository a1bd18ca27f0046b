"""Label layers and image layers: classes, what was painted by hand, locks, visibility, sources.

No Qt in here.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.layers.by_hand import Edit, Hand
    from napari_spad.layers.classes import (
        class_features,
        colormap,
        is_label_map,
        leading_index,
        level_0,
        placement,
        segmented,
        spacing_mm,
        structure_names,
    )
    from napari_spad.layers.image_source import Part, Source, open_source, part_at
    from napari_spad.layers.packed_samples import Packed
    from napari_spad.layers.reference_layer import outline, reference_settings
    from napari_spad.layers.structures import Structures

__getattr__, __all__ = lazily(__name__)
