"""A run: prepared, started, trained step by step, validated, saved, and resumed bit for bit."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.loop.loop import train
    from spad.train.loop.preparation import Tabled, prepare
    from spad.train.loop.state import changed_values

__getattr__, __all__ = lazily(__name__)
