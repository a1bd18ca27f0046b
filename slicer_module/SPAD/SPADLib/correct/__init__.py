"""The tab Correct: Segment Editor, the next doubtful B-scan, the model's help there."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.correct.correct_panel import CorrectPanel
    from SPADLib.correct.edit_panel import EditPanel
    from SPADLib.correct.learn_panel import LearnPanel
    from SPADLib.correct.review_panel import ReviewPanel

__getattr__, __all__ = lazily(__name__)
