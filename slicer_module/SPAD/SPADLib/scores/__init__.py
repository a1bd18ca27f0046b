"""The panel Compare: scores of a result against any reference, which follow every edit."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.compare.compare_panel import ComparePanel
    from SPADLib.compare.comparison import Comparison
    from SPADLib.compare.reference import Reference
    from SPADLib.compare.score_nodes import to_csv

__getattr__, __all__ = lazily(__name__)
