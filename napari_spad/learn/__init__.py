"""The tab Train: a training set of corrected B-scans, fine-tuning as a process, batches."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.learn.train_panel import TrainingPanel

__getattr__, __all__ = lazily(__name__)
