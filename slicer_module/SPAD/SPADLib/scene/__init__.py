"""The MRML scene: volumes and segmentations as arrays and back, and results as nodes. No Qt."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.scene.grid import BINARY, inner_source
    from SPADLib.scene.image_source import (
        Source,
        dicom_modality,
        guessed_layout,
        note_order,
        open_image,
        open_source,
        refuse_replaced,
        turn_back,
        whereabouts,
    )
    from SPADLib.scene.result import Result, results
    from SPADLib.scene.result_nodes import (
        EYE,
        FOVEA,
        MAP,
        PERCENT,
        REVIEW,
        companions,
        eye_of,
        fovea_of,
        make_nodes,
        place_fovea,
        recovered,
        refusal,
    )
    from SPADLib.scene.segments import (
        Segments,
        labels_of_volume,
        read_segments,
        refuse_unwritable,
        replace_labels,
        write_segments,
    )
    from SPADLib.scene.structures import (
        add_structure,
        as_called,
        class_segments,
        kept,
        segment_id,
        structures_of,
        tag_of,
    )
    from SPADLib.scene.terminology import register
    from SPADLib.scene.uncertainty_colours import one_colour_table
    from SPADLib.scene.versions import Change
    from SPADLib.scene.volumes import (
        array_of,
        directions_of,
        from_world,
        ijk_to_ras,
        into_study,
        keep_scale,
        kept_scale,
        known_mm,
        nodes_of,
        put_where,
        referenced,
        scale_of,
        shape_of,
        spacing_is_default,
        spacing_of,
        to_world,
    )
    from SPADLib.scene.watch import Watch

__getattr__, __all__ = lazily(__name__)
