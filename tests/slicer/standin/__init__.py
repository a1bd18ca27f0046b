"""A stand-in for Slicer's Qt world over PySide6, around the real MRML core of slicer-core.

After ``install(scene)`` these can be imported: ``qt``, ``ctk``, ``slicer.ScriptedLoadableModule``,
``slicer.parameterNodeWrapper``, ``slicer.i18n``; and ``slicer.app``, ``slicer.qMRMLNodeComboBox``,
``slicer.util.loadUI`` and so on are there. With a checkout of Slicer's source in the environment as
SLICER_SOURCE, the ``slicer.*`` modules are Slicer's own (``genuine``).

Nothing waits for a user: what would be shown is in ``standin.dialogs``. For tests of the module's
own widgets; not a second Slicer.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

# Before the first QApplication; a virtual display (pytest-xvfb) sets DISPLAY.
if sys.platform.startswith("linux") and not (
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
import slicer

pytest.importorskip("PySide6", reason="the stand-in for Slicer's Qt is made of PySide6")

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from .application import Application, SegmentEditor
from .ctk_widgets import make_ctk
from .dialogs import Shown, dialogs
from .genuine import genuine_modules
from .module_base import ModuleParent, make_i18n, make_module_base
from .mrml_widgets import qMRMLWidget
from .observers import forget_observers
from .parameters import make_wrapper_module
from .qt_names import forget_settings, make_qt
from .ui import CUSTOM, childWidgetVariables, loadUI

__all__ = [
    "Shown",
    "close_module",
    "dialogs",
    "install",
    "open_module",
    "process_events",
    "remove",
    "screenshot",
    "selected",
]

selected: list[str] = []  # modules that were switched to, the last one last
_open: dict[str, Any] = {}
_before: list[tuple[Any, str, Any]] = []
_ABSENT = object()
_app: QApplication | None = None


class _Representation:
    """An entry of ``slicer.modules``."""

    def __init__(self, name: str, widget: Any, path: str = "") -> None:
        self.name, self.path, self._widget = name, path, widget

    def widgetRepresentation(self) -> Any:
        return self

    def self(self) -> Any:
        return self._widget

    def logic(self) -> Any:
        return getattr(self._widget, "logic", None)


def _put(owner: Any, name: str, value: Any) -> None:
    get = owner.get if isinstance(owner, dict) else lambda key, other: getattr(owner, key, other)
    _before.append((owner, name, get(name, _ABSENT)))
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _module_widget(module: Any) -> Any:
    name = module if isinstance(module, str) else module.name
    if name == "SegmentEditor" and not hasattr(slicer.modules, "segmenteditor"):
        slicer.modules.segmenteditor = _Representation(name, SegmentEditor())
    found = getattr(slicer.modules, name.lower(), None)
    if not isinstance(found, _Representation):
        raise RuntimeError(f"Could not find module with name '{name}'")
    return found.self()


def _select_module(module: Any) -> None:
    name = module if isinstance(module, str) else module.name
    if selected and (left := _open.get(selected[-1])) is not None:
        left.exit()
    selected.append(name)
    if (entered := _open.get(name)) is not None:
        entered.enter()


def _recorded(kind: str) -> Any:
    def show(text: str, windowTitle: str | None = None, parent: Any = None, **more: Any) -> None:
        dialogs.tell(kind, text, windowTitle, **more)

    return show


def _asked(kind: str) -> Any:
    def ask(text: str, windowTitle: str | None = None, parent: Any = None, **more: Any) -> bool:
        return bool(dialogs.ask(kind, text, windowTitle, **more))

    return ask


def _status(message: str, duration: int = 0) -> bool:
    dialogs.tell("status", message)
    return True


def install(scene: Any) -> Application:
    """Put the stand-in in place for a scene of ``scene.new_scene()``; again for another scene."""
    global _app
    _app = QApplication.instance() or QApplication(["standin"])
    if _before:
        remove()
    qt, ctk = make_qt(), make_ctk()
    for name, module in (("qt", qt), ("ctk", ctk)):
        _put(sys.modules, name, module)
    application = Application(scene, slicer.modules.volumes.logic().GetMRMLApplicationLogic())
    _put(slicer, "app", application)
    _put(slicer, "mrmlScene", scene)
    _put(slicer, "qSlicerScriptedLoadableModule", _Representation)
    _put(slicer, "qSlicerScriptedLoadableModuleWidget", _Representation)
    for name, made in CUSTOM.items():
        if name.startswith("qMRML"):
            _put(slicer, name, made)
    for name, function in (
        ("loadUI", loadUI),
        ("childWidgetVariables", childWidgetVariables),
        ("selectModule", _select_module),
        ("selectedModule", lambda: selected[-1] if selected else ""),
        ("getModuleWidget", _module_widget),
        ("mainWindow", lambda: None),
        ("showStatusMessage", _status),
        ("infoDisplay", _recorded("info")),
        ("warningDisplay", _recorded("warning")),
        ("errorDisplay", _recorded("error")),
        ("delayDisplay", lambda message, *_, **__: dialogs.tell("info", message)),
        ("confirmYesNoDisplay", _asked("yes/no")),
        ("confirmOkCancelDisplay", _asked("ok/cancel")),
        ("confirmRetryCloseDisplay", _asked("retry/close")),
        ("messageBox", lambda text, parent=None, **more: dialogs.ask("message box", text, **more)),
    ):
        _put(slicer.util, name, function)
    for name, module in _python_layer().items():
        _put(sys.modules, name, module)
        if name.startswith("slicer."):
            _put(slicer, name.partition(".")[2], module)
    dialogs.clear()
    selected.clear()
    forget_settings()
    return application


def _python_layer() -> dict[str, Any]:
    """Slicer's genuine Python modules where SLICER_SOURCE says so, else the stand-in's own."""
    if source := os.environ.get("SLICER_SOURCE"):
        return dict(genuine_modules(source))
    own = (make_module_base(), make_wrapper_module(), make_i18n())
    return {module.__name__: module for module in own}


def remove() -> None:
    """Put everything back as it was before ``install``; open modules are closed."""
    for name in list(_open):
        close_module(name)
    forget_observers()
    while _before:
        owner, name, value = _before.pop()
        if isinstance(owner, dict):
            if value is _ABSENT:
                owner.pop(name, None)
            else:
                owner[name] = value
        elif value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)


def open_module(source: Any) -> Any:
    """Open a scripted module as Slicer does: ``open_module(SPAD)`` for ``import SPAD``.

    Makes the module's object and its widget in a parent, calls ``setup``, hands on the scene and
    selects it (which calls ``enter``). Returns the widget's object.
    """
    name = source.__name__
    parent = qMRMLWidget()
    QVBoxLayout(parent)
    representation = _Representation(name, None, str(Path(source.__file__)))
    setattr(slicer.modules, name.lower(), representation)
    getattr(source, name)(ModuleParent(source.__file__))
    widget = getattr(source, f"{name}Widget")(parent)
    representation._widget = widget
    widget.setup()
    parent.setMRMLScene(slicer.mrmlScene)
    _open[name] = widget
    slicer.util.selectModule(name)
    return widget


def close_module(name: str) -> None:
    """Leave an open module, clean it up and delete its widgets."""
    widget = _open.pop(name)
    if selected and selected[-1] == name:
        widget.exit()
        selected.append("")
    widget.cleanup()
    widget.parent.deleteLater()
    process_events()


def process_events(seconds: float = 0.0) -> None:
    """Let Qt work: once, or for so many seconds; what was to be deleted later is deleted."""
    end = time.monotonic() + seconds
    while True:
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(0.005, left))


def screenshot(widget: QWidget, path: str | Path) -> Path:
    """Save a picture (.png) of a widget; one that was never shown is shown for it."""
    widget.show()
    process_events()
    if not widget.grab().save(str(path), "PNG"):
        raise ValueError(f"no picture could be written to “{path}”: is there its folder?")
    return Path(path)
