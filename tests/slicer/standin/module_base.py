"""``slicer.ScriptedLoadableModule`` and ``slicer.i18n``."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtWidgets import QVBoxLayout

from .mrml_widgets import qMRMLWidget

__all__ = ["ModuleParent", "make_i18n", "make_module_base"]


class ModuleParent:
    """What Slicer hands to a module's class: title, categories and so on are set on it."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.hidden = False
        self.icon: Any = None


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = parent.helpText = parent.acknowledgementText = ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return f"<p>Documentation of {docPage or self.moduleName}.</p>"

    def runTest(self, msec: int = 100, **options: Any) -> None:
        tests = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        tests.messageDelay = msec
        tests.runTest(**options)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue(
            "Developer/DeveloperMode", False, converter=slicer.util.toBool
        )
        self.parent = parent
        if parent is None:
            self.parent = qMRMLWidget()
            QVBoxLayout(self.parent)
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()

    def resourcePath(self, name: str) -> str:
        path = getattr(slicer.modules, self.moduleName.lower()).path
        return str(Path(path).parent / "Resources" / name)

    def setup(self) -> None:
        pass

    def enter(self) -> None:
        pass

    def exit(self) -> None:
        pass

    def cleanup(self) -> None:
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [n for n in nodes if n.GetAttribute("ModuleName") == self.moduleName]

    def getParameterNode(self) -> Any:
        if self.isSingletonParameterNode:
            found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if found is not None:
                # Closing a scene takes the attribute away.
                if found.GetAttribute("ModuleName") != self.moduleName:
                    found.SetAttribute("ModuleName", self.moduleName)
                return found
        elif nodes := self.getAllParameterNodes():
            return nodes[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def createParameterNode(self) -> Any:
        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    messageDelay = 0

    def delayDisplay(self, message: str, *_: Any, **__: Any) -> None:
        slicer.app.processEvents()

    def runTest(self) -> None:
        pass


def make_module_base() -> types.ModuleType:
    """Build the module ``slicer.ScriptedLoadableModule``."""
    out = types.ModuleType("slicer.ScriptedLoadableModule", "base classes of scripted modules")
    classes = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    out.__all__ = [made.__name__ for made in classes]
    for made in classes:
        setattr(out, made.__name__, made)
    return out


def make_i18n() -> types.ModuleType:
    """Build the module ``slicer.i18n``: English stays as it is."""
    out = types.ModuleType("slicer.i18n", "translations")
    out.tr = lambda text: text
    out.translate = lambda context, text: text
    return out
