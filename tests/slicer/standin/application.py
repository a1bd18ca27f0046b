"""``slicer.app``: application, layout manager and the Segment Editor, on real MRML nodes."""

from __future__ import annotations

import tempfile
import types
from typing import Any

import slicer
import vtk
from PySide6.QtWidgets import QApplication

from .qt_names import QSettings
from .segment_editor import qMRMLSegmentEditorWidget

__all__ = ["Application", "SegmentEditor"]

VIEWS = ("Red", "Green", "Yellow")


class SliceWidget:
    """A slice view without a window: its nodes and its logic are real."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()


class LayoutManager:
    """Three slice views, no 3D view. ``layout`` is the number that was set last."""

    threeDViewCount = 0
    layout = 3  # vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def __init__(self, scene: Any, application_logic: Any) -> None:
        self._logics = vtk.vtkCollection()
        self._widgets: dict[str, SliceWidget] = {}
        for name in VIEWS:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(application_logic)
            logic.SetMRMLScene(scene)
            logic.AddSliceNode(name)
            self._logics.AddItem(logic)
            self._widgets[name] = SliceWidget(logic)
        application_logic.SetSliceLogics(self._logics)
        for name, orientation in zip(VIEWS, ("Axial", "Coronal", "Sagittal"), strict=True):
            self._widgets[name].mrmlSliceNode().SetOrientation(orientation)

    def sliceViewNames(self) -> tuple[str, ...]:
        return VIEWS

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def threeDWidget(self, _: int) -> None:
        return None

    def setLayout(self, layout: int) -> None:
        self.layout = layout

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        pass


class SegmentEditor:
    """What ``slicer.util.getModuleWidget("SegmentEditor")`` gives."""

    def __init__(self) -> None:
        self.parameterSetNode: Any = None
        self.editor = qMRMLSegmentEditorWidget()
        self.selectParameterNode()
        self.editor.setMRMLScene(slicer.mrmlScene)

    def selectParameterNode(self) -> None:
        found = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if found is None:
            found = slicer.vtkMRMLSegmentEditorNode()
            found.SetSingletonTag("SegmentEditor")
            found = slicer.mrmlScene.AddNode(found)
        self.parameterSetNode = found
        self.editor.setMRMLSegmentEditorNode(found)


class ModuleManager:
    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def connect(self, *_: Any) -> None:
        pass

    disconnect = connect


class Application:
    """``slicer.app``. Set ``testing = True`` for what Slicer's own self-tests see."""

    applicationName = "Slicer"
    majorVersion, minorVersion, applicationVersion = 5, 12, "5.12.3"
    revision = repositoryRevision = "34045"
    documentationBaseUrl = ""

    def __init__(self, scene: Any, application_logic: Any) -> None:
        self.testing = False
        self.restarts = 0
        self.temporaryPath = tempfile.gettempdir()
        self._logic, self._scene = application_logic, scene
        self._layout_manager = LayoutManager(scene, application_logic)
        self._modules = ModuleManager()

    def testingEnabled(self) -> bool:
        return self.testing

    def commandOptions(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(testingEnabled=self.testing, noMainWindow=True)

    def userSettings(self) -> QSettings:
        return QSettings()

    settings = revisionUserSettings = userSettings

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._scene

    def layoutManager(self) -> LayoutManager:
        return self._layout_manager

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def processEvents(self) -> None:
        QApplication.processEvents()

    def setOverrideCursor(self, cursor: Any) -> None:
        QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        QApplication.restoreOverrideCursor()

    def topLevelWidgets(self) -> list[Any]:
        return QApplication.topLevelWidgets()

    def translate(self, _: str, text: str) -> str:
        return text

    def restart(self) -> None:
        self.restarts += 1
