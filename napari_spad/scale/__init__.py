"""The row above the tabs: how large a pixel is and who says so, true or stretched B-scans.

And what else is known of an image beside its pixels, its eye and its fovea; kept for the next time.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.scale.image_facts import PROPOSED, Facts, scale_of, source_of
    from napari_spad.scale.kept_facts import FILE, KeptFacts
    from napari_spad.scale.known_facts import KnownFacts
    from napari_spad.scale.row import ScaleRow

__getattr__, __all__ = lazily(__name__)
