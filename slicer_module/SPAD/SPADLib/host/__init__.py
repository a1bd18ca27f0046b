"""Slicer as a program: its event loop, its Qt, its console, its scene's events, its GPU.

Nothing here needs the engine.
"""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.host.commands import Overheard, python_program, run_command
    from SPADLib.host.gpus import torch_note
    from SPADLib.host.guard import Guard
    from SPADLib.host.pump import Cancelled, Pump
    from SPADLib.host.qt_dialect import get, ink, set_up_table
    from SPADLib.host.user_files import data_folder
    from SPADLib.host.weak import one_shot_timer, weakly

__getattr__, __all__ = lazily(__name__)
