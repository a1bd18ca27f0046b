"""What else can be done with the scores: copy, save, compare annotators."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QInputDialog, QMenu, QTableWidget, QWidget, QWidgetAction

from napari_spad.desk import AnnotatorField, Desk, hand_over
from napari_spad.scores.live_scores import LiveScores
from napari_spad.scores.spreadsheet import ScoreFile, copy_table

__all__ = ["ScoreMenu"]


class ScoreMenu(QMenu):
    """The menu of the score table.

    Parameters
    ----------
    desk : Desk
    live : LiveScores
    table : QTableWidget
        What is copied.
    parent : QWidget
        Of its dialogs, too.

    Attributes
    ----------
    compare : QAction
        For the panel to connect.
    """

    handed_over = Signal(object)
    """The copy of a layer for another annotator, who is at the desk now."""
    structure_asked = Signal(str)
    """The name of a new structure of the layer."""

    def __init__(self, desk: Desk, live: LiveScores, table: QTableWidget, parent: QWidget) -> None:
        super().__init__(parent)
        self._desk, self._table = desk, table
        self._layer: Labels | None = None
        self._file = ScoreFile(desk, live, parent)
        field = QWidgetAction(self)
        field.setDefaultWidget(AnnotatorField(desk))
        self.addAction(field)
        self.other = self.addAction("Copy for another annotator…", self._hand_over)
        self.compare = self.addAction("Compare annotators…")
        self.addSeparator()
        self.copy = self.addAction("Copy the table", self._copy)
        self.save = self.addAction("Save scores as CSV…", self._file.ask)
        self.addSeparator()
        self.add = self.addAction("Add a structure…", self._ask_structure)
        self.add.setToolTip("One that the model does not know yet: paint it, then press Learn")
        self.preserve = self.addAction("Paint on the background only")
        self.preserve.setCheckable(True)
        self.preserve.setToolTip("napari's “preserve labels”: all structures are kept")
        self.preserve.toggled.connect(self._on_preserve)
        self.setToolTipsVisible(True)

    def follow(self, layer: Labels | None) -> None:
        """Act on this layer from now on."""
        if self._layer is not None:
            self._layer.events.preserve_labels.disconnect(self._on_preserved)
        self._layer = layer
        for action in (self.other, self.compare, self.copy, self.save, self.add, self.preserve):
            action.setEnabled(layer is not None)
        if layer is not None:
            layer.events.preserve_labels.connect(self._on_preserved)
            self._on_preserved()

    def _on_preserve(self, on: bool) -> None:
        if self._layer is not None and self._layer.preserve_labels != on:
            self._layer.preserve_labels = on

    def _on_preserved(self, _event: Any = None) -> None:
        self.preserve.setChecked(self._layer.preserve_labels)  # type: ignore[union-attr]

    def _copy(self) -> None:
        copy_table(self._table)
        self._desk.say("The table is in the clipboard.")

    def _ask_structure(self) -> None:
        name, given = QInputDialog.getText(
            self.parentWidget(), "Add a structure", "Name of what the model does not know yet:"
        )
        if given:
            self.structure_asked.emit(name)

    def _hand_over(self) -> None:
        layer = self._layer
        if layer is None:
            return
        text = f"“{layer.name}” is copied and stays as it is.\nName of the other annotator:"
        name, given = QInputDialog.getText(self.parentWidget(), "Copy for another annotator", text)
        if not given:
            return
        try:
            made = hand_over(self._desk, layer, name)
        except ValueError as error:
            self._desk.fail(error)
            return
        self.handed_over.emit(made)
        self._desk.say(f"“{made.name}” is a copy; “{layer.name}” is hidden, and kept.")
