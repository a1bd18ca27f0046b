"""Image files in and out: PNG, TIFF, JPEG and BMP, small makers' scans, exported label maps.

The only room of the engine that opens image files. Pillow and its like are loaded with the first.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.pictures import image_files
    from spad.pictures.bare_pixels import CubeSize, UnknownSize, fitting
    from spad.pictures.image_files import SUFFIXES
    from spad.pictures.label_files import LABELS, label_stem, read_labels, told_names
    from spad.pictures.limits import (
        LARGEST_IMAGE,
        Refused,
        refuse_bomb,
        refuse_header,
        refuse_large,
    )
    from spad.pictures.packed_files import (
        refuse_cut_gzip,
        refuse_cut_metaimage,
        refuse_cut_nrrd,
    )
    from spad.pictures.scan_files import SCANS, read_scan
    from spad.pictures.scans import Scan, day, parsing

__getattr__, __all__ = lazily(__name__)
