"""SPAD: segmentation of medical images by a conditional categorical diffusion (arXiv 2603.07889).

``spad.load(path)`` opens a model, ``Segmenter.segment(image)`` runs it, ``spad.measure(labels,
...)`` gives the numbers. Importing this package loads neither torch nor any front end; a model
brings torch when it is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spad.inference.segmenter import Segmentation, Segmenter, Step, devices
    from spad.measuring.measures import Measurement, measure
    from spad.remote.by_device import load

__all__ = ["Measurement", "Segmentation", "Segmenter", "Step", "devices", "load", "measure"]

_ROOMS = {"Measurement": "measuring", "load": "remote", "measure": "measuring"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'spad' has no attribute {name!r}")
    room = _ROOMS.get(name, "inference.segmenter")
    return getattr(import_module(f"spad.{room}"), name)
