"""The module ``qt``: PySide6's names as PythonQt has them, less what PythonQt lacks."""

from __future__ import annotations

import tempfile
import types
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .dialogs import dialogs

__all__ = ["QMessageBox", "QSettings", "forget_settings", "make_qt"]

# PythonQt has no way to declare signals, slots or properties; and Qt's threads must not run Python
# in Slicer.
ABSENT = {
    *("Signal", "SignalInstance", "Slot", "Property", "ClassInfo", "QEnum", "QFlag"),
    *("QThread", "QThreadPool", "QRunnable", "QMutex", "QMutexLocker", "QWaitCondition"),
    *("QSemaphore", "QReadWriteLock", "QReadLocker", "QWriteLocker"),
}

_folder: tempfile.TemporaryDirectory[str] | None = None


def _settings_file() -> str:
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="standin-")
    return str(Path(_folder.name) / "Slicer.ini")


def forget_settings() -> None:
    """Empty the settings, so that a test finds none of an earlier one."""
    settings = QSettings()
    settings.clear()
    settings.sync()


class QSettings(QtCore.QSettings):
    """Settings in a temporary .ini file, whatever organisation or file is asked for."""

    def __init__(self, *_: Any) -> None:
        super().__init__(_settings_file(), QtCore.QSettings.Format.IniFormat)


class QFileDialog(QtWidgets.QFileDialog):
    """Asks nobody: answers come from ``standin.dialogs``. As in PythonQt a name is a plain str."""

    @staticmethod
    def getOpenFileName(parent: Any = None, caption: str = "", *_: Any, **__: Any) -> str:
        return dialogs.ask("open file", caption)

    @staticmethod
    def getOpenFileNames(
        parent: Any = None, caption: str = "", *_: Any, **__: Any
    ) -> tuple[str, ...]:
        return dialogs.ask("open files", caption)

    @staticmethod
    def getSaveFileName(parent: Any = None, caption: str = "", *_: Any, **__: Any) -> str:
        return dialogs.ask("save file", caption)

    @staticmethod
    def getExistingDirectory(parent: Any = None, caption: str = "", *_: Any, **__: Any) -> str:
        return dialogs.ask("folder", caption)


class QInputDialog(QtWidgets.QInputDialog):
    """Asks nobody. As in PythonQt a text is a plain str, and empty where the dialog is closed."""

    @staticmethod
    def getText(parent: Any, title: str, label: str, *_: Any, **__: Any) -> str:
        return dialogs.ask("text", label, title)


class QMessageBox(QtWidgets.QMessageBox):
    """Waits for nobody: see ``standin.dialogs``."""

    def exec_(self) -> int:
        return int(dialogs.ask("message box", self.text(), self.windowTitle()))

    exec = exec_


def make_qt() -> types.ModuleType:
    """Build the module ``qt``."""
    qt = types.ModuleType("qt", "PySide6 under PythonQt's names")
    for part in (QtCore, QtGui, QtWidgets):
        for name in dir(part):
            if name[0] == "Q" and name not in ABSENT:
                setattr(qt, name, getattr(part, name))
    qt.QUiLoader = QtUiTools.QUiLoader
    for made in (QSettings, QFileDialog, QInputDialog, QMessageBox):
        setattr(qt, made.__name__, made)
    return qt
