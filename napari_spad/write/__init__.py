"""Label layers out, each with its sidecar: images, volumes, 3D Slicer's segmentations."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.write.image_files import write_png, write_tiff
    from napari_spad.write.label_layer import classes_of, refuse_long_name, sidecar_of

__getattr__, __all__ = lazily(__name__)
