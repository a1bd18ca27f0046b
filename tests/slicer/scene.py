"""A real MRML scene in pytest: Slicer's own nodes and logics, without the application."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

__all__ = ["Module", "add_volume", "new_scene", "phantom_volume", "save_scene"]

SEGMENTATION_MODULES = {
    "colors": "vtkSlicerColorLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "tables": "vtkSlicerTablesLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "markups": "vtkSlicerMarkupsLogic",
}


class Module:
    """What ``slicer.modules.X`` is to our code: something with a logic."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


def new_scene() -> tuple[Any, types.SimpleNamespace, Any]:
    """Make a scene with the logics of Slicer's modules; ``slicer.mrmlScene`` and
    ``slicer.modules`` are these from now on."""
    # Logics look for colour files in an application's folder, and tell at length of its absence.
    vtk.vtkObject.GlobalWarningDisplayOff()
    scene = slicer.vtkMRMLScene()
    app = slicer.vtkMRMLApplicationLogic()
    app.SetMRMLScene(scene)
    modules = types.SimpleNamespace()
    for name, kind in SEGMENTATION_MODULES.items():
        logic = getattr(slicer, kind)()
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(app)
        logic.SetMRMLScene(scene)
        for called in (name, name.title()):  # as its displayable manager looks for it
            app.SetModuleLogic(called, logic)
        setattr(modules, name, Module(logic))
    slicer.mrmlScene, slicer.modules = scene, modules
    vtk.vtkObject.GlobalWarningDisplayOn()
    return scene, modules, app


def add_volume(
    array: np.ndarray,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    directions: Any = None,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    name: str = "volume",
    kind: str = "vtkMRMLScalarVolumeNode",
) -> Any:
    """Add a volume. `spacing` is along (k, j, i); `directions` has the RAS steps of i, j, k as
    columns; by default i runs to the left and j to posterior, as in a picture that was loaded."""
    matrix = np.eye(4)
    steps = np.diag([-1.0, -1.0, 1.0]) if directions is None else np.asarray(directions, float)
    matrix[:3, :3] = steps * np.array(spacing[::-1])
    matrix[:3, 3] = origin
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def phantom_volume(seed: int = 3, shape: tuple[int, int, int] = (3, 64, 96)) -> tuple[Any, Any]:
    """A phantom OCT volume and its truth (Z, H, W), stored as pictures are: k, j, i."""
    from spad.phantom import stack

    phantom = stack(seed, shape=shape)
    return add_volume(phantom.image, spacing=phantom.spacing_mm, name="OCT"), phantom.labels


def save_scene(scene: Any, folder: Path) -> Path:
    """Save a scene with all its files, as the application's Save does."""
    scene.SetRootDirectory(str(folder))
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLStorableNode")
        if not node.GetSaveWithScene():
            continue
        storage = node.GetStorageNode()
        if storage is None:
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
        if storage is None or not node.GetModifiedSinceRead():
            continue
        suffix = storage.GetDefaultWriteFileExtension()
        if node.IsA("vtkMRMLVolumeNode"):
            suffix = "nrrd"
        if not storage.GetFileName():
            storage.SetFileName(str(folder / f"{n}.{suffix}"))
        assert storage.WriteData(node), node.GetName()
    file = folder / "scene.mrml"
    scene.SetURL(str(file))
    assert scene.Commit(str(file))
    return file
