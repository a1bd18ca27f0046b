"""The section “Scores”: scores against a reference that follow every edit, and act on a click."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import qt

from spad.cases import file_stem
from SPADLib.desk import Desk, RunBox, go_to, isolate, numbered
from SPADLib.host import Cancelled, Pump, get, ink, one_shot_timer, set_up_table
from SPADLib.scene import Watch
from SPADLib.scores.live_scores import LiveScores, Row
from SPADLib.scores.reference_on_grid import Reference
from SPADLib.scores.spreadsheet import csv_steps, to_table

__all__ = ["ComparePanel"]

COLUMNS = ("Structure", "Dice", "HD95", "Worst", "Size", "Reference", "IoU", "Is in the reference")
NAME, DICE, HD95, WORST, SIZE, THEIRS, IOU, MATCH = range(len(COLUMNS))
"""In the order of their importance: a narrow panel shows the first ones."""
PAUSE_MS = 150
"""After the last event of a stroke, so that it is counted once."""
NONE = "–"
SHOWN = {"missed": "missing", "invented": "only here"}
"""The table's words of the panel; tables and files keep those that scripts know."""


class ComparePanel:
    """Works on the section “Scores” of the tab Correct.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    runs : RunBox
        For the CSV file.
    """

    def __init__(self, desk: Desk, ui: Any, runs: RunBox) -> None:
        self.desk, self.ui, self.runs = desk, ui, runs
        self.comparison: LiveScores | None = None
        self._seen: Any = None
        self._matches: Any = None  # as the column shows them
        self._watch: Watch | None = None
        self._distances = Pump(self._on_distance, self._on_distances_end)
        self._pause = one_shot_timer(PAUSE_MS, self._on_quiet)
        self._fill_soon = one_shot_timer(0, self._fill)
        table = ui.scoreTable
        set_up_table(table, COLUMNS)
        table.cellClicked.connect(self.act)
        ui.showAllButton.clicked.connect(lambda *_: self.show_all())
        ui.tableButton.clicked.connect(lambda *_: self.make_table())
        ui.csvButton.clicked.connect(lambda *_: self.export())
        desk.on("parameters", self.refresh)
        desk.on("result", self.refresh)
        desk.on("structures", self._on_structures)
        desk.on("edited", self._on_edited)  # first of all panels: scores are waited for
        self._enable()

    # ------------------------------------------------------------------ what is compared

    def refresh(self) -> None:
        """Follow the result at work and the reference that is chosen."""
        result = self.desk.result
        node = None if self.desk.parameters is None else self.desk.parameters.reference
        seen = result and result.segmentation, node
        if seen == self._seen:
            return
        self._seen = seen
        self.stop()
        if result is not None:
            self._watch = Watch(result.segmentation, node, self._pause.start, result.volume)
        if result is not None and node is not None:
            self.ui.compareSection.collapsed = False
            self._compare()
        self._enable()

    def stop(self) -> None:
        """Compare and watch nothing."""
        self._pause.stop()
        self._distances.cancel()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self.comparison = self._matches = None
        self.ui.scoreTable.setRowCount(0)
        self.ui.compareLabel.setText("")

    def _compare(self) -> None:
        try:
            result = self.desk.need_result()
            reference = Reference.of(self.desk.parameters.reference, result)
            self.comparison = LiveScores(result, reference)
        except ValueError as error:
            self._tell_why_not(error)
            return
        self._fill()

    def _tell_why_not(self, error: ValueError) -> None:
        """Show why nothing is compared; the edits are still watched, by which all panels follow."""
        self._distances.cancel()
        self.comparison = self._matches = None
        self.ui.scoreTable.setRowCount(0)
        self.ui.compareLabel.setText(str(error))
        self._enable()

    def _on_structures(self) -> None:
        if self.comparison is not None:
            self._distances.cancel()
            self._compare()

    def _on_quiet(self) -> None:
        try:
            self.desk.tell_edited()
        except ValueError as error:  # the volume went
            self.desk.fail(error)

    def _on_edited(self) -> None:
        if self.comparison is None:
            if self._seen and self._seen[1] is not None:
                self._compare()  # what could not be compared may have become comparable
            return
        try:
            self.comparison.refresh(self.desk.labels)
        except ValueError as error:
            self._tell_why_not(error)
            return
        self._fill()

    # ------------------------------------------------------------------ the table

    def _fill(self) -> None:
        comparison = self.comparison
        if comparison is None:
            return
        rows, table = comparison.rows(), self.ui.scoreTable
        table.setRowCount(len(rows))
        unit, size = comparison.distance_unit, comparison.size_unit
        heads = list(COLUMNS)
        heads[HD95], heads[SIZE] = f"HD95 ({unit})", f"Size ({size})"
        table.setHorizontalHeaderLabels(heads)
        for number, row in enumerate(rows):
            self._fill_row(number, row)
        self._fill_matches(rows)
        said = (comparison.scope, comparison.reference.remark)
        text = self.desk.worded(" ".join(filter(None, said)))
        self.ui.compareLabel.setStyleSheet(ink(self.ui.compareLabel, "warning" * ("⚠" in text)))
        self.ui.compareLabel.setText(text)
        table.resizeColumnsToContents()
        self._enable()
        self._distances.cancel()
        self._distances.start(comparison.distances())

    def _fill_row(self, number: int, row: Row) -> None:
        texts = {
            NAME: row.name,
            DICE: _score(row, row.dice),
            IOU: "" if row.word and row.value is not None else _score(row, row.iou),
            HD95: _distance(row, self.comparison.distance_unit),  # type: ignore[union-attr]
            SIZE: _size(row.size),
            THEIRS: _size(row.reference_size),
            WORST: "" if row.worst is None else self.desk.worded(f"B-scan {numbered(row.worst)}"),
        }
        for column, text in texts.items():
            item = qt.QTableWidgetItem(text)
            if column == NAME and row.color:
                item.setIcon(_swatch(row.color))
                item.setToolTip("Click: this structure alone, where it differs most")
            self.ui.scoreTable.setItem(number, column, item)

    def _fill_matches(self, rows: list[Row]) -> None:
        reference = self.comparison.reference  # type: ignore[union-attr]
        shown = reference.names, reference.match, len(rows)
        if shown == self._matches:
            return  # else each stroke would close a box that is open
        self._matches = shown
        for number, row in enumerate(rows):
            if row.value is not None:
                self._fill_match(number, row.value)

    def _fill_match(self, number: int, value: int) -> None:
        """The column in which the match is changed: which of the reference's this one is."""
        reference = self.comparison.reference  # type: ignore[union-attr]
        names, match = reference.names, reference.match
        combo = qt.QComboBox()
        combo.addItem(NONE)
        chosen = 0
        for at, (key, name) in enumerate(names.items(), start=1):
            combo.addItem(name, key)
            if match.get(key) == value:
                chosen = at
        combo.setCurrentIndex(chosen)
        keys = [None, *names]
        combo.currentIndexChanged.connect(
            lambda *_, c=combo, v=value: self.set_match(v, keys[get(c, "currentIndex")])
        )
        self.ui.scoreTable.setCellWidget(number, MATCH, combo)

    def set_match(self, value: int, key: str | None) -> None:
        """Say which structure of the reference one of the model's is; None: none of them."""
        if self.comparison is None:
            return
        reference = self.comparison.reference
        try:
            for other, meant in reference.match.items():
                if meant == value and other != key:
                    reference.set_match(other, None)
            if key is not None:
                reference.set_match(key, value)
            self.comparison.refresh()
        except ValueError as error:
            self.desk.fail(error)
        self._fill_soon.start()  # not while the box that asks for it is at work

    def _on_distance(self, _found: Any) -> None:
        if self.comparison is None:
            return
        for number, row in enumerate(self.comparison.rows()):
            text = _distance(row, self.comparison.distance_unit)
            item = self.ui.scoreTable.item(number, HD95)
            if item is not None:
                item.setText(text)

    def _on_distances_end(self, outcome: BaseException | None) -> None:
        if outcome is not None and not isinstance(outcome, Cancelled):
            self.ui.compareLabel.setText(str(outcome))

    # ------------------------------------------------------------------ what it does

    def act(self, number: int, _column: int = 0) -> None:
        """Show the structure of a row alone, where it differs most from the reference."""
        if self.comparison is None:
            return
        rows = self.comparison.rows()
        value = rows[number].value
        if value is None:
            self.show_all()
            return
        result, view = self.comparison.result, self.desk.view
        segments = {v: s for s, v in result.values.items()}
        isolate(result.segmentation, segments.get(value))
        place = self.comparison.worst(value)
        if place is None:
            self.desk.say(f"{rows[number].name} is in no B-scan")
        elif view is not None:
            go_to(view, result.volume, result.layout, place[0], place[1:])
            self.desk.tell("view")
            self.desk.say(f"{rows[number].name}: its worst B-scan is {numbered(place[0])}")

    def show_all(self) -> None:
        """Show all structures again."""
        if (result := self.desk.result) is not None:
            isolate(result.segmentation, None)

    def make_table(self) -> None:
        """Put the scores into a table node; HD95 that are still being counted are waited for."""
        try:
            if self.comparison is None:
                raise ValueError("There is nothing to tell: choose a reference first")
            for _ in self.comparison.distances():
                pass
            node = to_table(self.comparison)
            self.desk.say(f"The scores are in the table “{node.GetName()}”")
        except Exception as error:
            self.desk.fail(error)

    def export(self) -> None:
        """Ask for a file, and write the scores of every B-scan to it."""
        if self.comparison is None:
            self.desk.fail("There is nothing to tell: choose a reference first")
            return
        name = file_stem(self.comparison.result.segmentation.GetName(), "segmentation")
        path = qt.QFileDialog.getSaveFileName(
            self.ui.csvButton, "Save the scores", f"{name} scores.csv", "CSV (*.csv)"
        )
        if not path:
            return
        try:
            comparison = self.comparison
            nodes = [comparison.result.segmentation, comparison.reference.node]
            self.runs.start(
                csv_steps(comparison, Path(str(path))), nodes, kept="No file was written."
            )
        except Exception as error:
            self.desk.fail(error)

    def _enable(self) -> None:
        for widget in (self.ui.tableButton, self.ui.csvButton, self.ui.showAllButton):
            widget.setEnabled(self.comparison is not None)


def _score(row: Row, value: float) -> str:
    if row.word and row.value is not None:
        return SHOWN.get(row.word, row.word)
    return NONE if math.isnan(value) else f"{value:.3f}"


def _distance(row: Row, unit: str) -> str:
    if row.value is None or row.word:
        return ""
    if row.hd95 is None:
        return "…"
    return f"{row.hd95:.3f}" if unit == "mm" else f"{row.hd95:.1f}"


def _size(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _swatch(color: str) -> Any:
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(color))
    return qt.QIcon(pixmap)
