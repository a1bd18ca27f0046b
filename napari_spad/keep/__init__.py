"""The tab Keep: autosave and recovery, copies that are kept, export, the annotation log."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from napari_spad.keep.annotation_log import dice_of
    from napari_spad.keep.keep_panel import KeepPanel

__getattr__, __all__ = lazily(__name__)
