"""What else can be done with the scores: copy, save, compare annotators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtWidgets import QInputDialog, QMenu, QWidgetAction

from napari_spad.scores.annotators import AnnotatorField, hand_over
from napari_spad.scores.spreadsheet import ScoreFile, copy_table

if TYPE_CHECKING:
    from napari_spad.scores.scores_panel import ScoresPanel

__all__ = ["ScoreMenu"]


class ScoreMenu(QMenu):
    """The menu of the score table.

    Parameters
    ----------
    scores : ScoresPanel
    """

    def __init__(self, scores: ScoresPanel) -> None:
        super().__init__(scores)
        self._scores = scores
        self._layer: Labels | None = None
        self._file = ScoreFile(scores)
        field = QWidgetAction(self)
        field.setDefaultWidget(AnnotatorField(scores.desk))
        self.addAction(field)
        self.other = self.addAction("Copy for another annotator…", self._hand_over)
        self.compare = self.addAction("Compare annotators…", self._compare)
        self.addSeparator()
        self.copy = self.addAction("Copy the table", self._copy)
        self.save = self.addAction("Save scores as CSV…", self._file.ask)
        self.addSeparator()
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
        for action in (self.other, self.compare, self.copy, self.save, self.preserve):
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
        copy_table(self._scores.table)
        self._scores.desk.say("The table is in the clipboard.")

    def _hand_over(self) -> None:
        layer = self._layer
        if layer is None:
            return
        text = f"“{layer.name}” is copied and stays as it is.\nName of the other annotator:"
        name, given = QInputDialog.getText(self._scores, "Copy for another annotator", text)
        if not given:
            return
        try:
            made = hand_over(self._scores.desk, layer, name)
        except ValueError as error:
            self._scores.desk.fail(error)
            return
        self._scores.show_segmentation(made)
        self._scores.desk.say(f"“{made.name}” is a copy; “{layer.name}” is hidden, and kept.")

    def _compare(self) -> None:
        from napari_spad.scores.annotators_compared import Comparison

        Comparison(self._scores).show()
