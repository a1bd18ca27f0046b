"""The panel under the tabs: live scores of each structure, which also act; annotators compared."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.scores.live_scores import LiveScores
    from napari_spad.scores.scores_panel import ScoresPanel

__getattr__, __all__ = lazily(__name__)
