"""The training set: corrected B-scans as cases that the trainer reads, under pseudonyms."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.learn.training_set_panel import TrainingPanel

__getattr__, __all__ = lazily(__name__)
