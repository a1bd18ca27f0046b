"""Tools for areas, as functions of arrays: fill to the edge, a brush that keeps to one side of it.

Also what tidies a structure up: grown or shrunk by a pixel, rid of specks, its holes filled.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.areas.edge_brush import EdgeBrush
    from spad.areas.flood import flooded, to_the_edge
    from spad.areas.tidy import (
        SPECK_MM2,
        SPECK_PX,
        changed_by,
        drop_doubtful,
        filled,
        grown,
        shrunk,
        speck_px,
        without_specks,
    )

__getattr__, __all__ = lazily(__name__)
