"""SPAD in napari: segment OCT B-scans, correct them by hand, watch the scores while you paint.

Widgets, layers, sample data and writers, all thin over the engine `spad`. Importing this package
loads neither Qt nor torch; napari finds its parts through ``napari.yaml``.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("napari-spad")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0.1.0"
