"""The panel Save: files for other programs, DICOM SEG, and the training set."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.save.files import save
    from SPADLib.save.save_panel import SavePanel

__getattr__, __all__ = lazily(__name__)
