"""Learning from corrections, in the tab Correct: a lesson in another process, then new drafts.

What teaches, the run, the models that have learnt, and the section that the person sees.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.lessons.lessons_panel import LessonsPanel

__getattr__, __all__ = lazily(__name__)
