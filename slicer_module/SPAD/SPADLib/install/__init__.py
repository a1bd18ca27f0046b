"""Getting the engine into Slicer's Python without breaking what Slicer ships."""

from typing import TYPE_CHECKING

from SPADLib.lazy import lazily

if TYPE_CHECKING:
    from SPADLib.install.bug_report import add_report_button
    from SPADLib.install.install_panel import InstallPanel
    from SPADLib.install.requirements import missing, version_refusal
    from SPADLib.install.slicer_host import SlicerHost

__getattr__, __all__ = lazily(__name__)
