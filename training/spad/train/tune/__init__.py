"""The choice of a model's sampling: measured image by image, searched, decided (`spad tune`)."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.tune.bench import Bench
    from spad.train.tune.choice import some
    from spad.train.tune.measurements import scans_of
    from spad.train.tune.progress_and_tables import say
    from spad.train.tune.search import Tuning
    from spad.train.tune.settings import named_settings

__getattr__, __all__ = lazily(__name__)
