"""The Segment Editor inside the panel “Correct”, and how the result is shown in the views."""

from __future__ import annotations

from typing import Any

import qt

from SPADLib.correct.segment_editor import SegmentEditor
from SPADLib.desk import Desk, numbered, show_bscan
from SPADLib.scene import add_structure

__all__ = ["EditPanel"]


class EditPanel:
    """Works on the Segment Editor, and on what is shown.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets

    Attributes
    ----------
    editor : SegmentEditor
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self._shown: Any = None
        self.editor = SegmentEditor(ui.editorFrame)
        desk.on("writing", self.editor.save_state)
        desk.on("regridded", self.editor.forget_undo)
        ui.viewButton.clicked.connect(lambda *_: self.turn_view())
        ui.surfaceCheck.toggled.connect(self.show_surfaces)
        ui.structureButton.clicked.connect(lambda *_: desk.guarded(self.add_structure))
        desk.on("parameters", self.refresh)
        desk.on("result", self.refresh)

    def refresh(self) -> None:
        """Show the result at work as the choices say."""
        result = self.desk.result
        self.editor.edit(result)
        self._tell_whose(result)
        for tab in (1, 2):  # correct, save
            self.ui.tabs.setTabEnabled(tab, result is not None)
        for widget in (self.ui.viewButton, self.ui.surfaceCheck, self.ui.structureButton):
            widget.setEnabled(result is not None)
        self.ui.uncertaintyCheck.setEnabled(result is not None)
        if result is None:
            if (why := self.desk.refusal) and why != self._shown:
                self.desk.fail(why)
            self._shown = why
            return
        shown = (result.segmentation.GetID(), self.desk.parameters.showUncertainty)
        if shown == self._shown:
            return
        if self._shown and shown[0] != self._shown[0]:
            was = self.ui.surfaceCheck.blockSignals(True)
            self.ui.surfaceCheck.setChecked(False)
            self.ui.surfaceCheck.blockSignals(was)
        self._shown = shown
        self.desk.show(result)

    def _tell_whose(self, result: Any) -> None:
        """Say where the result at work is of another volume than the one that is chosen."""
        chosen = None if self.desk.parameters is None else self.desk.parameters.inputVolume
        said = ""
        if result is not None and chosen is not None and result.volume is not chosen:
            said = (
                f"It is of “{result.volume.GetName()}”, not of “{chosen.GetName()}”, which is "
                "chosen under Segment."
            )
        self.ui.belongsLabel.setVisible(bool(said))
        self.ui.belongsLabel.setText(said)

    def add_structure(self) -> None:
        """Ask for the name of a structure that the model does not know, and let it be painted."""
        result = self.desk.need_result()
        name = qt.QInputDialog.getText(
            self.ui.structureButton,
            "Add a structure",
            "Name of what the model does not know yet, or of a segment that you added:",
        )
        if not name:
            return
        self.desk.tell("writing")  # a step of its own for undo
        new = add_structure(result.segmentation, str(name))
        chosen = next(s for s, v in result.values.items() if v == new.value)
        self.editor.widget.setCurrentSegmentID(chosen)
        self.desk.tell("structures")
        self.desk.tell_edited()
        self.desk.say(
            f"“{new.name}” is there to be painted. The model learns it by Learn, from one to three "
            "B-scans."
        )

    def turn_view(self) -> None:
        """Turn the red slice view to the plane of the B-scans."""
        try:
            result, view = self.desk.need_result(), self.desk.view
            if view is None:
                raise ValueError("There is no red slice view: choose a layout with one")
            here = self.desk.bscan()
            self.desk.show(result)
            show_bscan(view, result.volume, result.layout, here)
            self.desk.say(f"B-scan {numbered(here)} of {result.depth}")
        except Exception as error:
            self.desk.fail(error)

    def show_surfaces(self, on: bool) -> None:
        """Make closed surfaces of the structures, and show them in the 3D views."""
        try:
            result = self.desk.need_result()
            segmentation = result.segmentation
            if on and not segmentation.CreateClosedSurfaceRepresentation():
                raise ValueError(
                    "The closed surfaces could not be made: is there anything in the segmentation?"
                )
            segmentation.GetDisplayNode().SetVisibility3D(bool(on))
            if on and result.depth == 1:
                self.desk.say("A single B-scan has no depth: its surfaces are flat")
        except Exception as error:
            self.desk.fail(error)
