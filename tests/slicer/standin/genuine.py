"""Slicer's genuine Python layer, out of a checkout of its source, over this stand-in's widgets.

Of Slicer's own code run: ``slicer.i18n``, ``slicer.ScriptedLoadableModule``,
``slicer.parameterNodeWrapper`` and ``SampleData``. Only the connection of a parameter to a widget
is the stand-in's: Slicer's reads PythonQt's properties. None of the source is kept here.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import slicer

from .connectors import connector_of

__all__ = ["genuine_modules"]

_PYTHON = Path("Base", "Python", "slicer")
_SAMPLES = Path("Modules", "Scripted", "SampleData")
_NAMES = ("slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.parameterNodeWrapper")
_loaded: dict[Path, dict[str, types.ModuleType]] = {}


def genuine_modules(source: str | Path) -> dict[str, types.ModuleType]:
    """Load Slicer's modules; ``qt``, ``ctk`` and ``slicer.app`` of the stand-in are in place.

    Parameters
    ----------
    source : path
        A checkout of Slicer's source at a release tag.

    Returns
    -------
    dict of str to module
        By the name that ``import`` knows them by.

    Raises
    ------
    FileNotFoundError
        It is no checkout of Slicer.
    """
    source = Path(source).resolve()
    if not (source / _PYTHON / "parameterNodeWrapper").is_dir():
        raise FileNotFoundError(
            f"“{source}” is no checkout of Slicer's source ({_PYTHON} is not in it): check out a "
            "release tag of github.com/Slicer/Slicer and give its folder as SLICER_SOURCE"
        )
    if source not in _loaded:
        folders = (slicer.__path__, str(source / _PYTHON)), (sys.path, str(source / _SAMPLES))
        for paths, folder in folders:
            paths.append(folder)
        ctk = sys.modules["ctk"]
        ctk.__getattr__ = slicer.__getattr__ = _named_only  # type: ignore[attr-defined]
        try:
            _loaded[source] = {
                name: importlib.import_module(name) for name in (*_NAMES, "SampleData")
            }
        finally:
            del ctk.__getattr__, slicer.__getattr__  # type: ignore[attr-defined]
            for paths, folder in folders:
                paths.remove(folder)
        _connect_by_ours(sys.modules["slicer.parameterNodeWrapper.guiConnectors"])
    return _loaded[source]


def _named_only(name: str) -> type:
    """A widget that the source names, and that the stand-in does not have."""
    if not name.startswith(("ctk", "qMRML", "qSlicer")):
        raise AttributeError(name)
    return type(name, (), {})


def _connect_by_ours(connectors: Any) -> None:
    class Ours(connectors.GuiConnector):  # type: ignore[misc]
        """A parameter's connection to a widget of PySide6."""

        def __init__(self, widget: Any, datatype: Any) -> None:
            super().__init__()
            self._ours = connector_of(widget, datatype)

        canRepresent = staticmethod(lambda widget, datatype: True)

        @classmethod
        def create(cls, widget: Any, datatype: Any) -> Any:
            return cls(widget, datatype)

        def _connect(self) -> None:
            self._ours.onChanged(self.changed)

        def _disconnect(self) -> None:
            self._ours.onChanged(None)

        def widget(self) -> Any:
            return self._ours.widget()

        def read(self) -> Any:
            return self._ours.read()

        def write(self, value: Any) -> None:
            self._ours.write(value)

    connectors._registeredGuiConnectors.insert(0, Ours)
