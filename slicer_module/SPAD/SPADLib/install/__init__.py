"""Getting the engine into Slicer's Python without breaking what Slicer ships."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.install.install import SlicerHost, missing, version_refusal
    from SPADLib.install.install_panel import InstallPanel

__getattr__, __all__ = lazily(__name__)
