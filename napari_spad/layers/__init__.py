"""Label layers and image layers: structures, what was painted by hand, locks, visibility, inputs.

No Qt in here.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.layers.by_hand import Edit, Hand
    from napari_spad.layers.colour_planes import as_bscans, as_colours, may_be_colours
    from napari_spad.layers.geometry import (
        FROM_LAYER,
        are_square,
        bscan_sizes,
        is_straight,
        leading_index,
        lengths_mm,
        level_0,
        placement,
        spacing_mm,
        turned_view,
    )
    from napari_spad.layers.image_source import Part, Source, open_source, part_at
    from napari_spad.layers.numbering import FIRST, numbered
    from napari_spad.layers.proposals import Exchange, with_run
    from napari_spad.layers.reference_layer import outline, reference_settings
    from napari_spad.layers.result_layers import (
        by_hand_layer,
        hand_colormap,
        hidden_aids,
        result_names,
        segmentation_layer,
        uncertainty_layer,
    )
    from napari_spad.layers.structure_controls import StructureControls
    from napari_spad.layers.structures import (
        class_features,
        colormap,
        give_classes,
        is_image,
        is_label_map,
        noted,
        segmented,
        structure_names,
    )

__getattr__, __all__ = lazily(__name__)
