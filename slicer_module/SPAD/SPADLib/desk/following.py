"""The panel follows the scene: its choices and its view, as it is closed, loaded and added to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from SPADLib.desk.desk import Desk
from SPADLib.desk.views import go_to
from SPADLib.desk.words import numbered
from SPADLib.host import one_shot_timer, weakly
from SPADLib.scene import companions, nodes_of, one_colour_table, results, turn_back

__all__ = ["Following"]


class Following:
    """Keeps the desk's choices those of the scene, and tells the panels of changes.

    The parameter node's wrapper keeps values, and reads them when the node says that it was
    modified. While a scene is loaded that comes before its references can be resolved: so the
    choices are let go meanwhile, and read anew at the end.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
        Those of a parameter have its name in the property SlicerParameterName; and viewLabel.
    wrapped : callable
        Gives the scene's parameter node, wrapped.
    leave : callable
        Called when the scene is about to be closed: what works on it stops.
    """

    def __init__(
        self, desk: Desk, ui: Any, wrapped: Callable[[], Any], leave: Callable[[], None]
    ) -> None:
        self.desk, self.ui = desk, ui
        self._wrapped, self._leave = wrapped, leave
        self._parameters: Any = None
        self._gui: Any = None
        self._bscan: Any = None
        self._tags: list[tuple[Any, int]] = []
        self._node_tag: tuple[Any, int] | None = None
        self._view_tag: tuple[Any, int] | None = None
        self._scene = scene = slicer.mrmlScene
        for event, call in (
            (scene.StartCloseEvent, self._on_closes),
            (scene.EndCloseEvent, self._on_ready),
            (scene.StartImportEvent, self._on_loads),
            (scene.EndImportEvent, self._on_ready),
            (scene.EndRestoreEvent, self._on_ready),
            (scene.EndBatchProcessEvent, self._on_batch_ends),
        ):
            self._tags.append((scene, scene.AddObserver(event, weakly(call))))
        for event, leaves in (
            (scene.NodeAboutToBeRemovedEvent, self._on_leaves),
            (scene.NodeRemovedEvent, self._on_left),
        ):
            callback = weakly(leaves)
            callback.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
            self._tags.append((scene, scene.AddObserver(event, callback)))
        desk.on("moved", self._on_moved)
        self._leaving: list[Any] = []
        self._lost = one_shot_timer(0, self._on_lost)  # not amid the removal
        self._on_ready()  # of a scene that was loaded before the module was opened

    def resume(self) -> None:
        """Follow on, as when the module is entered again."""
        if self.desk.parameters is None and not self._busy():
            self._connect(self._wrapped())
        self.watch_view()

    def stop(self) -> None:
        """Follow nothing any more."""
        self._lost.stop()
        self._connect(None)
        tags, self._tags = self._tags, []
        for source, tag in [*tags, *filter(None, [self._view_tag])]:
            source.RemoveObserver(tag)
        self._view_tag = None

    # ------------------------------------------------------------------ the scene

    def _busy(self) -> bool:
        scene = self._scene
        return bool(
            scene.IsImporting()
            or scene.IsClosing()
            or scene.IsRestoring()
            or scene.IsBatchProcessing()
        )

    def _on_closes(self, *_: Any) -> None:
        self._leave()
        self._connect(None)
        self.desk.tell("parameters")  # so that no button is left that has nothing to work on

    def _on_loads(self, *_: Any) -> None:
        self._connect(None)

    def _on_ready(self, *_: Any) -> None:
        if not self._scene.IsImporting():
            one_colour_table(self._scene)
            volumes = nodes_of(self._scene, "vtkMRMLScalarVolumeNode")
            self.desk.guarded(lambda: turn_back(results(self._scene), volumes))
            self._connect(self._wrapped())
            self.watch_view()

    def _on_leaves(self, _scene: Any, _event: str, node: Any) -> None:
        if node is not None and node.GetAttribute("SPAD.classes") and not self._busy():
            self.desk.forget_one(node)
            self._leaving = [n.GetID() for n in companions(node)]

    def _on_left(self, _scene: Any, _event: str, node: Any) -> None:
        """A result's uncertainty and proposal go with it."""
        if node is not None and node.GetAttribute("SPAD.classes"):
            leaving, self._leaving = self._leaving, []
            for gone in filter(None, map(self._scene.GetNodeByID, leaving)):
                self._scene.RemoveNode(gone)
        elif not self._busy():
            self._lost.start()

    def _on_lost(self) -> None:
        """Make anew, or miss aloud, what was removed of the result at work."""
        self.desk.tell("left")
        p = self.desk.parameters
        if p is not None and p.result is not None and self.desk.result is None:
            self._on_parameters()

    def _on_batch_ends(self, *_: Any) -> None:
        if self._parameters is not None and not self._busy():
            self._parameters.Modified()  # what was not told meanwhile

    # ------------------------------------------------------------------ the choices

    def _connect(self, parameters: Any) -> None:
        """Follow another parameter node; None between two scenes."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui)
        if self._node_tag is not None:
            self._node_tag[0].RemoveObserver(self._node_tag[1])
            self._node_tag = None
        self._parameters = self.desk.parameters = parameters
        if parameters is not None:
            # `connectGui` would do, but Slicer 5.10's tells no tag to disconnect it by.
            named = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
            self._gui = parameters.connectParametersToGui({n: w for n, w in named.items() if n})
            node = parameters.parameterNode
            tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, weakly(self._on_parameters))
            self._node_tag = node, tag
            self._on_parameters()

    def _on_parameters(self, *_: Any) -> None:
        if self.desk.parameters is not None and not self._busy():
            self.desk.guarded(self.desk.recover)
            self.desk.tell("parameters")

    # ------------------------------------------------------------------ the view

    def watch_view(self) -> None:
        """Follow the slice view for B-scans; it may have come only now."""
        view = self.desk.view
        if view is None or (self._view_tag is not None and self._view_tag[0] is view):
            return
        if self._view_tag is not None:
            self._view_tag[0].RemoveObserver(self._view_tag[1])
        tag = view.AddObserver(vtk.vtkCommand.ModifiedEvent, weakly(self._on_view))
        self._view_tag = view, tag

    def _on_moved(self) -> None:
        """The volume lies elsewhere: show the B-scan that was on screen."""
        result, view = self.desk.result, self.desk.view
        if self._bscan is None or result is None or view is None:
            return
        name, bscan = self._bscan
        if name == result.segmentation.GetID() and bscan < result.depth:
            go_to(view, result.volume, result.layout, bscan)
            self.desk.tell("view")

    def _on_view(self, *_: Any) -> None:
        if self.desk.parameters is None or self.desk.result is None or self._busy():
            self.ui.viewLabel.setText("")
            return
        bscan = self.desk.bscan()
        seen = (self.desk.result.segmentation.GetID(), bscan)
        if seen != self._bscan:
            self._bscan = seen
            depth = self.desk.result.depth
            self.ui.viewLabel.setText(self.desk.worded(f"B-scan {numbered(bscan)} of {depth}"))
            self.desk.tell("view")
