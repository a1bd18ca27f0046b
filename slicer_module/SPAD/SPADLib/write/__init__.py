"""The panel Save: a result as files for other programs, each with its sidecar, and as DICOM SEG."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.write.save_panel import SavePanel
    from SPADLib.write.volume_files import save, save_volume

__getattr__, __all__ = lazily(__name__)
