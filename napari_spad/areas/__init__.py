"""Area tools on the labels, in the tab Correct: fill to the edge, grow, shrink, tidy, and a brush.

What they do to the layer, the brush that keeps to its side of an edge, the section with its keys.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.areas.areas_panel import AreasPanel

__getattr__, __all__ = lazily(__name__)
