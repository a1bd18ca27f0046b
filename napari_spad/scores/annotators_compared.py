"""Annotators compared: Dice of every pair of label layers of one shape."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, EngineError, GeneratorWorker, explain, named, narrow, whose
from napari_spad.layers import leading_index, structure_names
from napari_spad.scores.compared_layers import comparable
from napari_spad.scores.live_scores import LiveScores
from spad.checkpoint import IGNORE, LabelClass, plain_text
from spad.metrics import class_table, nothing_known, pairwise_dice, translate

__all__ = ["Comparison"]


class Comparison(QDialog):
    """The window: a matrix of names, for one structure or their mean.

    Parameters
    ----------
    desk : Desk
    live : LiveScores
        Its label layer says what is compared: with all others of the same shape.
    whole_stack : bool
        Whether to compare all B-scans, to begin with; else the one on screen.
    parent : QWidget, optional
    """

    def __init__(
        self,
        desk: Desk,
        live: LiveScores,
        *,
        whole_stack: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Compare annotators")
        self._live, self._viewer = live, desk.viewer
        self._worker: GeneratorWorker | None = None
        self._counted: tuple[int, ...] = ()
        self.names: list[str] = []
        self.dice: NDArray[np.float64] = np.zeros((0, 0, 1))
        self.classes: tuple[LabelClass, ...] = ()
        self._build()
        self.stack.setChecked(whole_stack)
        self.stack.toggled.connect(self.count)
        self.structure.currentIndexChanged.connect(self._show)
        self._viewer.dims.events.current_step.connect(self._on_slice)
        self.count()

    def _build(self) -> None:
        self.stack = named(QCheckBox("Whole stack"), "compare_whole_stack")
        self.structure = narrow(named(QComboBox(), "compare_structure"))
        self.note = named(QLabel(), "compare_note")
        self.note.setWordWrap(True)
        self.table = named(QTableWidget(), "compare_table")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        again, copy = QPushButton("Count again"), QPushButton("Copy")
        again.clicked.connect(self.count)
        copy.clicked.connect(self.copy)
        copy.setToolTip("All pairs and structures, for a spreadsheet")
        above, below = QHBoxLayout(), QHBoxLayout()
        above.addWidget(QLabel("Dice of"))
        above.addWidget(self.structure, 1)
        above.addWidget(self.stack)
        below.addStretch(1)
        below.addWidget(again)
        below.addWidget(copy)
        layout = QVBoxLayout(self)
        layout.addLayout(above)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.note)
        layout.addLayout(below)
        self.note.setMinimumHeight(3 * self.note.fontMetrics().lineSpacing())
        self.resize(520, 380)

    def count(self, _checked: bool = False) -> None:
        """Count all pairs, in a worker thread."""
        self._stop()
        live = self._live
        first = live.segmentation
        if first is None:
            self.note.setText("There is no label layer at work; choose one in the score table.")
            return
        layers = [first, *comparable(first, self._viewer)]
        self.classes = live.classes
        self.names = _names(layers)
        size = len(layers)
        self.dice = np.full((size, size, len(self.classes)), np.nan)
        index = self._counted = self._place()
        self.stack.setVisible(first.ndim > 2)
        chosen = max(self.structure.currentIndex(), 0)
        self.structure.clear()
        self.structure.addItem("all structures (mean)")
        for one in self.classes[1:]:
            self.structure.addItem(one.name)
        self.structure.setCurrentIndex(min(chosen, self.structure.count() - 1))
        self._show()
        if size < 2:
            self.note.setText(
                f"“{first.name}” is the only label layer of its shape. Open another annotator's "
                "labels, or “Copy for another annotator…”."
            )
            return
        self.note.setText("counting…")
        data = [(layer.data[index], structure_names(layer)) for layer in layers]
        self._worker = GeneratorWorker(_pairs, data, live.classes, live.values)
        self._worker.yielded.connect(self._on_pair)
        self._worker.errored.connect(lambda error: self.note.setText(explain(error)))
        self._worker.returned.connect(self._on_counted)
        self._worker.start()

    def copy(self) -> None:
        """Put every pair and structure into the clipboard."""
        lines = ["annotator\tother annotator\tstructure\tDice"]
        for i, j in zip(*np.triu_indices(len(self.names), 1), strict=True):
            pair = f"{plain_text(self.names[i])}\t{plain_text(self.names[j])}"
            for one in self.classes[1:]:
                lines.append(f"{pair}\t{plain_text(one.name)}\t{_text(self.dice[i, j, one.value])}")
            lines.append(f"{pair}\tmean\t{_text(_mean(self.dice[i, j, 1:]))}")
        QGuiApplication.clipboard().setText("\n".join(lines) + "\n")
        self.note.setText("All pairs and structures are in the clipboard.")

    def _on_pair(self, pair: tuple[int, int, NDArray[np.float64]]) -> None:
        first, second, dice = pair
        self.dice[first, second] = self.dice[second, first] = dice
        self._show()

    def _on_counted(self, _: object = None) -> None:
        where = "the whole stack on screen" if self.stack.isChecked() else "the B-scan on screen"
        self.note.setText(
            f"Dice in {where}; structures that neither of two has are left out. The last column "
            "is the mean over the others."
        )

    def _on_slice(self, _event: Any = None) -> None:
        if self._place() != self._counted:
            self.count()

    def _place(self) -> tuple[int, ...]:
        """Place of what is compared: the B-scan on screen, or the stack that it is of."""
        first = self._live.segmentation
        index = () if first is None else leading_index(first, self._viewer)
        return index[:-1] if self.stack.isChecked() else index

    def _show(self, _index: int = 0) -> None:
        names, table = self.names, self.table
        chosen = self.structure.currentIndex()
        table.setRowCount(len(names))
        table.setColumnCount(len(names) + 1)
        table.setVerticalHeaderLabels(names)
        table.setHorizontalHeaderLabels([*names, "mean"])
        for row in range(len(names)):
            ours = self.dice[row, :, chosen] if chosen > 0 else _mean(self.dice[row, :, 1:])
            for column in range(len(names)):
                self._cell(row, column, "" if row == column else _text(ours[column]))
            self._cell(row, len(names), _text(_mean(ours)))
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def _cell(self, row: int, column: int, text: str) -> None:
        item = QTableWidgetItem(text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        self.table.setItem(row, column, item)

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.yielded.disconnect()
            self._worker.quit()
            self._worker = None

    def closeEvent(self, event: Any) -> None:
        """Let go of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._on_slice)
        self._stop()
        super().closeEvent(event)


def _pairs(
    data: list[tuple[Any, dict[int, str]]],
    classes: tuple[LabelClass, ...],
    values: tuple[int, ...],
) -> Generator[tuple[int, int, NDArray[np.float64]], None, None]:
    try:
        maps = []
        for labels, names in data:
            labels = np.asarray(labels)
            table, _ = class_table(names, labels, classes, values)
            coded = translate(labels, table, 0)
            if nothing_known(labels, table):
                coded[...] = IGNORE  # with nobody a Dice of 0
            maps.append(coded.reshape(-1, *coded.shape[-2:]))
        yield from pairwise_dice(maps, len(classes))
    except Exception as error:
        raise EngineError(explain(error)) from error


def _names(layers: list[Labels]) -> list[str]:
    """The annotators' names where they tell the layers apart, else the layers'."""
    people = [whose(layer) for layer in layers]
    return [
        person if person and people.count(person) == 1 else layer.name
        for person, layer in zip(people, layers, strict=True)
    ]


def _mean(values: NDArray[np.float64]) -> Any:
    """Mean over the last axis of what is known."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def _text(value: Any) -> str:
    return "–" if np.isnan(value) else f"{float(value):.3f}"
