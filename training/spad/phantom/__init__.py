"""Drawn OCT B-scans of three diseases with their exact truth: sample data, tests, training.

A scene in millimetres is cut into B-scans, and each cut is shown as a device would show it.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.phantom.bscans import (
        DISEASES,
        PHANTOM_VERSION,
        Disease,
        Phantom,
        bscan,
        stack,
    )
    from spad.phantom.readings import CLASS_NAMES

__getattr__, __all__ = lazily(__name__)
