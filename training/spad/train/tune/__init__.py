"""The choice of a model's sampling: measured image by image, searched, decided (`spad tune`)."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.tune.choice import some
    from spad.train.tune.measurements import Bench, scans_of
    from spad.train.tune.search import Tuning, named_settings, say

__getattr__, __all__ = lazily(__name__)
