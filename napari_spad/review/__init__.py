"""The tab Review: which B-scan to look at next, what became of the others, anatomical checks."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.review.records import Reviews
    from napari_spad.review.review_panel import ReviewPanel

__getattr__, __all__ = lazily(__name__)
