"""The section Scores: a result against any reference, followed through every edit."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.scores.compare_panel import ComparePanel
    from SPADLib.scores.live_scores import LiveScores
    from SPADLib.scores.reference_on_grid import Reference
    from SPADLib.scores.spreadsheet import to_csv

__getattr__, __all__ = lazily(__name__)
