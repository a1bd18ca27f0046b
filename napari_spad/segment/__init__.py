"""The tab Segment: what to segment with what, and how far the run is."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.segment.bug_report import ReportButton
    from napari_spad.segment.progress_footer import Footer
    from napari_spad.segment.segment_panel import SegmentPanel
    from napari_spad.segment.segmenting import Segmenting

__getattr__, __all__ = lazily(__name__)
