"""The tab Correct: sample anew around edits, flip through alternatives, carry to neighbours."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.correct.correct_panel import CorrectPanel

__getattr__, __all__ = lazily(__name__)
