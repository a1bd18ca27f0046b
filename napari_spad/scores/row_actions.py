"""What the rows of the table do: a structure chosen, alone, hidden, locked, where it is worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Labels

from napari_spad.desk import Desk
from napari_spad.layers import (
    StructureControls,
    leading_index,
    noted,
    numbered,
    structure_names,
)
from napari_spad.scores.live_scores import LiveScores
from napari_spad.scores.shown_alone import Alone
from napari_spad.scores.table import NAME, ScoreTable
from spad.metrics import (
    StructureScore,
    difference_map,
    largest_disagreement,
    structure_scores,
    worst_slices,
)

__all__ = ["RowActions"]


class RowActions:
    """Acts on the layers that are compared.

    Parameters
    ----------
    desk : Desk
    live : LiveScores
    table : ScoreTable
    on_change : callable
        Called after the layers look otherwise, or are locked otherwise.

    Attributes
    ----------
    structures : StructureControls
    alone : Alone
    """

    def __init__(
        self, desk: Desk, live: LiveScores, table: ScoreTable, on_change: Callable[[], None]
    ) -> None:
        self._desk, self._live, self._table, self._on_change = desk, live, table, on_change
        self.structures = StructureControls(self._values_of, self._on_held, desk.say)
        self.alone = Alone(live, self.structures, on_change, desk.escapes)
        table.named_clicked.connect(self._on_row)
        table.named_double_clicked.connect(self._on_double_click)
        table.eye_clicked.connect(self._on_eye)
        table.lock_clicked.connect(self._on_lock)
        table.escaped.connect(self.alone.show_all)

    def follow(self, segmentation: Labels, reference: Labels | None) -> None:
        """Act on these layers from now on."""
        segmentation.events.selected_label.connect(self._on_selected_label)
        self.structures.attend(segmentation)
        self.alone.follow(segmentation, reference)

    def let_go(self) -> None:
        """Follow the layers of before no more; the reference is seen as it was."""
        if (layer := self.alone.segmentation) is not None:
            layer.events.selected_label.disconnect(self._on_selected_label)
        self.alone.let_go()

    def _values_of(self, layer: Labels) -> Sequence[int]:
        """Values of a layer's structures, in the order of the table's rows."""
        if layer is self._live.segmentation:
            return self._live.values[1:]
        known = noted(layer.metadata).get("classes")
        values = [c["value"] for c in known] if known else list(structure_names(layer))
        return sorted(v for v in values if v > 0) or range(1, 10)

    def _at(self, row: int) -> tuple[Labels, StructureScore] | None:
        """The segmentation, and the score of a row; None for the rows below the structures."""
        layer, scores = self._live.segmentation, self._table.scores
        return None if layer is None or row >= len(scores) else (layer, scores[row])

    def _on_selected_label(self, _event: Any = None) -> None:
        """Follow the structure that is chosen by key, by the picker or in napari's controls."""
        layer, live, table = self._live.segmentation, self._live, self._table
        value = layer.selected_label  # type: ignore[union-attr]
        code = live.values.index(value) if value in live.values else 0
        row = next((r for r, s in enumerate(table.scores) if s.value == code), -1)
        if row < 0:
            table.clearSelection()
        elif row != table.currentRow() or not table.selectedItems():
            table.setCurrentCell(row, NAME)
        if code and self.alone.code is not None and code != self.alone.code:
            self.alone.show(code)

    def _on_row(self, row: int) -> None:
        if (at := self._at(row)) is None:
            return
        layer, code = at[0], at[1].value
        again = self.alone.code == code
        self._desk.viewer.layers.selection.active = layer
        layer.selected_label = self._live.values[code]
        self._table.setCurrentCell(row, NAME)
        if again:
            self.alone.show_all()
        else:
            self.alone.show(code)

    def _on_eye(self, row: int) -> None:
        if (at := self._at(row)) is not None:
            self.structures.looks(at[0]).hidden ^= {self._live.values[at[1].value]}
            self.alone.dress()

    def _on_lock(self, row: int) -> None:
        if (at := self._at(row)) is not None:
            locked = self.structures.locked(at[0])
            locked ^= {self._live.values[at[1].value]}
            self._on_change()
            if (result := self._desk.result_of(at[0])) is not None:
                self._desk.result_described.emit(result)

    def _on_held(self, layer: Labels, values: set[int]) -> None:
        live = self._live
        names = dict(zip(live.values, (c.name for c in live.classes), strict=True))
        if layer is not live.segmentation:
            names = structure_names(layer)
        held = ", ".join(names.get(v, f"label {v}") for v in sorted(values))
        self._desk.say(f"{held}: locked, and kept as it is. Its padlock in the table unlocks it.")

    def _on_double_click(self, row: int) -> None:
        if (at := self._at(row)) is None:
            return
        (layer, score), desk, live = at, self._desk, self._live
        self.alone.show(score.value)
        if live.reference is None:
            desk.say("Choose a reference: the worst B-scan is the one with the lowest Dice.")
            return
        stack = live.below(leading_index(layer, desk.viewer)[:-1])
        worst = worst_slices(live.slices[stack], score.value, 1)
        if not worst:
            desk.say(f"{score.name} is in no B-scan, neither here nor in the reference.")
            return
        index = live.index(stack.start + worst[0])
        box = largest_disagreement(difference_map(*live.class_maps(index), score.value))
        if box is None:
            desk.go_to(layer, index)
        else:
            middle = [(side.start + side.stop - 1) / 2 for side in box]
            desk.go_to(layer, index, (middle[0], middle[1]))
            desk.framing.zoom_to(layer, box)
        here = structure_scores(live.matrix(index), live.classes)
        dice = next(s.dice for s in here if s.value == score.value)
        where = f"B-scan {numbered(index[-1])}, " if index else ""
        desk.say(
            f"{score.name}: {'lowest ' * bool(index)}Dice {dice:.3f}, {where}"
            f"{'the largest disagreement is centred' if box else 'nothing differs'}."
        )
