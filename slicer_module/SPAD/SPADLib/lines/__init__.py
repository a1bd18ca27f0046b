"""The section Lines: layers of the retina as lines, pulled as curves, kept with the scene."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.lines.line_set import LineSet, line_sets, lines_of
    from SPADLib.lines.lines_panel import LinesPanel

__getattr__, __all__ = lazily(__name__)
