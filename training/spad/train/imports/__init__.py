"""Reading other people's data sets: their layouts become case folders (`spad import`)."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.imports import amd_sd, cxrs, duke, oct5k, retouch
    from spad.train.imports.overlap_order import STATED

__getattr__, __all__ = lazily(__name__)
