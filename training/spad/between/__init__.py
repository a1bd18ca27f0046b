"""What lies between two B-scans that are right: gaps, alignment, shapes, and a model's help.

Pure functions of arrays; which model is asked, and where, is the host's choice.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.between.alignment import Alignment, align
    from spad.between.gap import Gap, gaps, nothing_between
    from spad.between.proposal import Neighbour, mixed, shapes_between
    from spad.between.shapes import Shapes, interpolated

__getattr__, __all__ = lazily(__name__)
