"""The section “Lines” below the Segment Editor: which lines there are, and what is done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import numpy as np
import qt
import slicer

from spad.borders import Lines, band_lines, check_size, lines_name, read_lines, write_lines
from SPADLib.desk import Desk, go_to, numbered
from SPADLib.host import get, one_shot_timer
from SPADLib.lines.curves import Curves
from SPADLib.lines.editing import Editing
from SPADLib.lines.line_set import LineSet, lines_of

__all__ = ["LinesPanel"]

NONE = "no lines are shown"
PAUSE_MS = 50
HINT = (
    "Drag a point, along the line or off it. Ctrl+click on a line adds a point; with the mouse "
    "over a point, Delete removes it, and the line is straight there."
)


class LinesPanel:
    """Makes the section and works on it.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
        The section goes above its ``compareSection``.
    editor : SegmentEditor
        Its tool is put away where lines are shown: it would take the mouse.
    """

    def __init__(self, desk: Desk, ui: Any, editor: Any) -> None:
        self.desk, self._editor = desk, editor
        self.editing: Editing | None = None
        self.curves = Curves(self._on_pulled)
        self._bscan = 0
        self._sets: list[LineSet] = []
        self._editings: list[Editing] = []  # with their steps
        self._labels: Any = None  # that the lines of structures follow
        self._offered: Any = None
        self._soon = one_shot_timer(PAUSE_MS, self.take)
        self._build(ui)
        for what in ("parameters", "result", "structures", "lines"):
            desk.on(what, self.refresh)
        desk.on("edited", self._on_edited)
        desk.on("view", self._on_view)
        desk.on("moved", self._on_moved)

    def _build(self, ui: Any) -> None:
        self.section = ctk.ctkCollapsibleButton()
        self.section.setText("Lines between layers")
        self.structures, self.which, self.label = qt.QComboBox(), qt.QComboBox(), qt.QLabel(HINT)
        self.structures.setToolTip("The structure whose top and bottom are shown as lines")
        self.which.setToolTip("Lines that are shown over the B-scans")
        self.label.setWordWrap(True)
        self.band = qt.QPushButton("Top and bottom")
        self.band.setToolTip("As two lines: the segmentation follows them, and they follow it")
        self.file = qt.QPushButton("From a file…")
        self.file.setToolTip("CSV or npz of SPAD, also from napari")
        self.undo = qt.QPushButton("Undo")
        self.undo.setToolTip("Take the last change of these lines back")
        self.copy = qt.QPushButton("Copy here")
        self.copy.setToolTip("Take lines that this B-scan lacks from the nearest one that has them")
        self.export = qt.QPushButton("Export…")
        self.export.setToolTip("As CSV or npz, in px to the last digit")
        self.delete = qt.QPushButton("Delete…")
        box = qt.QVBoxLayout(self.section)
        rows = (
            (self.structures, self.band, self.file),
            (self.which,),
            (self.undo, self.copy, self.export, self.delete),
        )
        for widgets in rows:
            row = qt.QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget)
            box.addLayout(row)
        box.addWidget(self.label)
        around = ui.compareSection.parentWidget().layout()
        around.insertWidget(around.indexOf(ui.compareSection), self.section)
        self.section.setProperty("collapsed", True)
        self.which.currentIndexChanged.connect(lambda *_: self.desk.guarded(self.choose))
        for button, call in (
            (self.band, self.add_band),
            (self.file, self.add_file),
            (self.undo, self.take_back),
            (self.copy, self.copy_here),
            (self.export, self.save),
            (self.delete, self.remove),
        ):
            button.clicked.connect(lambda *_, call=call: self.desk.guarded(call))

    # ------------------------------------------------------------------ which lines there are

    def refresh(self) -> None:
        """Offer the structures of the result at work, and the lines over its volume."""
        result = self.desk.result
        classes = () if result is None else result.classes[1:]
        sets = [] if result is None else lines_of(result)
        named = [(one.node, one.name) for one in sets]
        offered = (result and result.segmentation, classes, named)
        if offered == self._offered:
            return
        self._offered, self._sets, self._labels = offered, sets, None
        there = [one for one in self._editings if one.lines.node.GetScene() is not None]
        self._editings = [] if result is None else there  # a scene that is closed is let go
        if result is not None and any(one.band for one in sets):
            self._follow(result.labels())
        chosen = get(self.structures, "currentIndex")
        self.structures.clear()
        for one in classes:
            self.structures.addItem(one.name, one.value)
        self.structures.setCurrentIndex(min(max(chosen, 0), len(classes) - 1))
        self._offer()

    def _offer(self) -> None:
        shown = None if self.editing is None else self.editing.lines.node
        was = self.which.blockSignals(True)
        self.which.clear()
        self.which.addItem(NONE)
        for one in self._sets:
            self.which.addItem(one.name)
        nodes = [one.node for one in self._sets]
        self.which.setCurrentIndex(nodes.index(shown) + 1 if shown in nodes else 0)
        self.which.blockSignals(was)
        if shown is not None and shown not in nodes:
            self.stop()
        self._enable()

    def _enable(self) -> None:
        on = self.editing is not None
        for widget in (self.undo, self.copy, self.export, self.delete, self.label):
            widget.setEnabled(on)
        for widget in (self.structures, self.band, self.file):
            widget.setEnabled(self.desk.result is not None)
        self.which.setEnabled(bool(self._sets))

    def choose(self) -> None:
        """Show the lines that are chosen."""
        number = get(self.which, "currentIndex") - 1
        self.stop()
        if number >= 0:
            self._editor.widget.setActiveEffect(None)
            lines = self._sets[number]
            known = [one for one in self._editings if one.lines.node is lines.node]
            self.editing = known[0] if known else Editing(self.desk, lines)
            self._editings += [] if known else [self.editing]
            self._draw()
        self._enable()

    def _add(self, lines: Lines, name: str, band: Any = None) -> None:
        """Put lines into the scene, and show them."""
        result = self.desk.need_result()
        made = LineSet.create(result.volume, result.layout, lines, name, band)
        self.desk.tell("lines")
        self.section.setProperty("collapsed", False)
        self.which.setCurrentIndex([one.node for one in self._sets].index(made.node) + 1)

    def add_band(self) -> None:
        """Show top and bottom of a structure as lines: those that there are, else new ones."""
        result = self.desk.need_result()
        structure = result.classes[1 + get(self.structures, "currentIndex")]
        band = (result.segmentation, structure.value)
        known = [n for n, one in enumerate(self._sets) if one.band == band]
        if known:
            self.which.setCurrentIndex(known[0] + 1)
            return
        heights = band_lines(result.labels(), structure.value)
        names = (f"{structure.name} top", f"{structure.name} bottom")
        self._add(Lines(names, heights), f"{result.volume.GetName()} – {structure.name}", band)

    def add_file(self) -> None:
        """Ask for a file, and show its lines."""
        result = self.desk.need_result()
        chosen = qt.QFileDialog.getOpenFileName(self.file, "Open lines", "", "Lines (*.csv *.npz)")
        if chosen:
            path, stack = Path(str(chosen)), result.proposal()
            lines = read_lines(path)
            check_size(lines, stack.shape[0], stack.shape[2], path.name)
            self._add(lines, f"{result.volume.GetName()} – {path.name}")

    # ------------------------------------------------------------------ lines at work

    def stop(self) -> None:
        """Show no lines."""
        if self._soon.isActive():
            self.take()
        self.curves.clear()
        self.editing = None

    def _need(self) -> Editing:
        if self.editing is None:
            raise ValueError("No lines are shown: choose some, or add those of a structure")
        return self.editing

    def _draw(self, *, fresh: bool = True) -> None:
        if fresh:
            self._bscan = self.desk.bscan()
        self.curves.draw(self._need().lines, self._bscan, self.desk.view, fresh=fresh)

    def _on_pulled(self) -> None:
        self._soon.start()

    def take(self) -> None:
        """Take over what was pulled."""
        self._soon.stop()
        if self.editing is not None and self.editing.lines.volume is not None:
            self.desk.guarded(self._take)

    def _take(self) -> None:
        editing = self._need()
        try:
            editing.pulled(self._bscan, self.curves)
        finally:
            self._draw(fresh=False)

    def _on_view(self) -> None:
        if self.editing is not None:
            if self._soon.isActive():
                self.take()
            self._draw()

    def _on_moved(self) -> None:
        """The volume lies elsewhere: curves that were pulled lie where it was."""
        self._soon.stop()
        if self.editing is not None:
            self._draw()

    def _on_edited(self) -> None:
        if any(one.band for one in self._sets) and not self._soon.isActive():
            self._follow(self.desk.labels)

    def _follow(self, labels: Any) -> None:
        """Take the lines of structures from labels, (Z, H, W), that changed."""
        known, self._labels = self._labels, labels.copy()
        changed = list(range(len(labels)))
        if known is not None and known.shape == labels.shape:
            changed = np.flatnonzero((known != labels).any((1, 2))).tolist()
        moved = [one for one in self._sets if one.follow(changed, labels)]
        if moved:
            self.desk.tell("lines")
            if self.editing is not None:
                self._draw(fresh=False)

    def take_back(self) -> None:
        """Undo the last change of these lines, and go to its B-scan."""
        editing = self._need()
        bscan = editing.undo()
        if bscan is None:
            raise ValueError("Nothing is left to undo")
        lines = editing.lines
        if self.desk.view is not None:
            go_to(self.desk.view, lines.volume, lines.layout, bscan)
        self._draw()
        self.desk.say(f"The lines of B-scan {numbered(bscan)} are as they were before")

    def copy_here(self) -> None:
        """Take lines that the B-scan on screen lacks from another one."""
        source, (rows, columns) = self._need().copy(self._bscan)
        self._draw()
        self.desk.say(
            f"Copied from B-scan {numbered(source)}, {rows:+d} rows and {columns:+d} columns"
        )

    def save(self) -> None:
        """Ask for a file, and write the lines there."""
        lines, name = self._need().lines, self.desk.need_result().segmentation.GetName()
        chosen = qt.QFileDialog.getSaveFileName(
            self.export, "Export lines", lines_name(name), "CSV (*.csv);;NumPy (*.npz)"
        )
        if chosen:
            write_lines(lines.lines, Path(str(chosen)))
            self.desk.say(f"The lines are in {chosen}")

    def remove(self) -> None:
        """Delete the lines that are shown, if that is confirmed."""
        lines = self._need().lines
        if slicer.util.confirmYesNoDisplay(f"Delete the lines “{lines.name}”?", "SPAD"):
            self.stop()
            slicer.mrmlScene.RemoveNode(lines.node)
            self.desk.tell("lines")
