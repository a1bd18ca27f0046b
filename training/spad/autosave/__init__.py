"""Autosave's files: a label map on the disk, B-scan by B-scan, in folders that outlive a crash.

Which layers or segmentations are saved, and how they come back, is the hosts'.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.autosave.autosaved_layer import AutosavedLayer, Loaded, ModelPart
    from spad.autosave.packed_samples import Packed
    from spad.autosave.sessions import (
        KEPT_BYTES,
        KEPT_DAYS,
        Kept,
        Session,
        kept_layers,
        move,
        prune,
        throw_away,
    )

__getattr__, __all__ = lazily(__name__)
