"""Autosave: the result at work on the disk as it is edited, and back into the scene after a crash.

The files are the engine's (`spad.autosave`), the same as napari's.
"""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.keep.keep_panel import KeepPanel

__getattr__, __all__ = lazily(__name__)
