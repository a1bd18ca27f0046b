"""Layers of the retina as lines over the B-scans: drawn, dragged, snapped to edges, interpolated.

An empty Vectors layer is their place in napari's list: its metadata hold the lines, and its node on
the canvas bears them, as sharp as the screen at any zoom.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.borders.borders_panel import BordersPanel
    from napari_spad.borders.kept_lines import KeptLines, TrackedLines
    from napari_spad.borders.line_layers import add_lines, borders_of
    from napari_spad.borders.line_model import Borders
    from napari_spad.borders.stack_lines import StackLines

__getattr__, __all__ = lazily(__name__)
