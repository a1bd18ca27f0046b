"""What the processes of a run share: their group (torchrun), signals that stop them, file locks."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.processes.file_lock import Busy, alone_in, locked
    from spad.train.processes.group import ALONE, Agreement, Group, join, restarted
    from spad.train.processes.signals import Stop, stop_signals

__getattr__, __all__ = lazily(__name__)
