"""The panel Segment: which volume, which way its B-scans lie, which model, and the run."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.segment.segment_panel import SegmentPanel

__getattr__, __all__ = lazily(__name__)
