"""Tells when a node that work rests on leaves the scene, or the scene is closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk

__all__ = ["Guard"]


class Guard:
    """Watches nodes while work goes on.

    Parameters
    ----------
    nodes : sequence of vtkMRMLNode
        All of one scene.
    on_gone : callable
        Called once, with a clause for the person, when the first of them goes.
    """

    def __init__(self, nodes: Sequence[Any], on_gone: Callable[[str], None]) -> None:
        self._names = {node.GetID(): node.GetName() for node in nodes}
        self._on_gone = on_gone
        self._scene = nodes[0].GetScene()
        self._tags = [
            self._scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed),
            self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._closed),
        ]

    def stop(self) -> None:
        """Watch no more."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def _removed(self, _scene: Any, _event: str, node: Any) -> None:
        if node is not None and node.GetID() in self._names and self._tags:
            self.stop()
            self._on_gone(f"“{self._names[node.GetID()]}” was removed from the scene")

    def _closed(self, _scene: Any, _event: str) -> None:
        if self._tags:
            self.stop()
            self._on_gone("the scene was closed")
