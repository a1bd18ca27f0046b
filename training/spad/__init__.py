"""SPAD: segmentation of medical images by a conditional categorical diffusion (arXiv 2603.07889).

``spad.load(path)`` opens a model, ``Segmenter.segment(image)`` runs it. Importing this package
loads neither torch nor any front end; a model brings torch when it is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spad.inference.segmenter import Segmentation, Segmenter, Step, devices, load

__all__ = ["Segmentation", "Segmenter", "Step", "devices", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'spad' has no attribute {name!r}")
    from spad.inference import segmenter

    return getattr(segmenter, name)
