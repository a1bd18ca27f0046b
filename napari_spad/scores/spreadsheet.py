"""Scores for a spreadsheet: the table to the clipboard, all B-scans to a CSV file."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QTableWidget, QWidget

from napari_spad.desk import Desk, GeneratorWorker, setting, whose
from napari_spad.layers import leading_index, spacing_mm
from napari_spad.scores.live_scores import LiveScores
from napari_spad.scores.table import DICE
from spad.checkpoint import plain_text
from spad.metrics import as_csv, score_records, write_text

__all__ = ["ScoreFile", "copy_table"]

FOLDER = "scores_folder"


def copy_table(table: QTableWidget) -> None:
    """Put what the table shows into the clipboard, as spreadsheets take it."""

    def text(item: Any) -> str:
        return "" if item is None else plain_text(item.text().replace("\n", " "))

    columns = [c for c in range(table.columnCount()) if c == 0 or text(_head(table, c))]
    lines = ["\t".join(["structure", *(text(_head(table, c)) for c in columns[1:])])]
    lines += [
        "\t".join(text(table.item(row, column)) if _own(table, row, column) else ""
                  for column in columns)
        for row in range(table.rowCount())
    ]  # fmt: skip
    clipboard = QGuiApplication.clipboard()
    clipboard.setText("\n".join(lines) + "\n")


def _head(table: QTableWidget, column: int) -> Any:
    return table.horizontalHeaderItem(column)


def _own(table: QTableWidget, row: int, column: int) -> bool:
    """Whether a cell is seen; words may lie over it."""
    return column <= DICE or table.columnSpan(row, DICE) <= column - DICE


class ScoreFile(QObject):
    """Counts and writes the CSV in a worker thread.

    Parameters
    ----------
    desk : Desk
    live : LiveScores
    parent : QWidget
        Of its dialog.
    """

    def __init__(self, desk: Desk, live: LiveScores, parent: QWidget) -> None:
        super().__init__(parent)
        self._desk, self._live, self._parent = desk, live, parent
        self._worker: GeneratorWorker | None = None

    def ask(self) -> None:
        """Ask where to, and save there."""
        layer = self._live.segmentation
        if layer is None:
            return
        settings = self._desk.settings
        folder = Path(setting(settings, FOLDER, str(Path.home())))
        proposed = folder / (re.sub(r"[^\w .–-]+", "_", layer.name) + " – scores.csv")
        name, _ = QFileDialog.getSaveFileName(
            self._parent, "Save scores", str(proposed), "CSV (*.csv)"
        )
        if name:
            path = Path(name)
            path = path if path.suffix else path.with_suffix(".csv")
            settings.setValue(FOLDER, str(path.parent))
            self.save(path)

    def save(self, path: Path) -> None:
        """Save the scores of every structure in every B-scan and in the whole stack on screen."""
        live, desk = self._live, self._desk
        layer, reference = live.segmentation, live.reference
        if layer is None:
            return
        if self._worker is not None:
            desk.say("The scores are being saved already.")
            return
        prediction, rows = live.class_maps(leading_index(layer, desk.viewer)[:-1])
        image = next((r.image for r in desk.results if r.layer is layer), layer)
        records = score_records(
            prediction,
            None if reference is None else rows,
            live.classes,
            spacing_mm=spacing_mm(layer, prediction.ndim) or spacing_mm(layer, 2),
            bscan_names=image.metadata.get("bscan_names"),
        )
        constant = {
            "segmentation": layer.name,
            "annotator": whose(layer),
            "reference": "" if reference is None else reference.name,
        }
        self._worker = GeneratorWorker(_write, path, records, constant)
        self._worker.yielded.connect(desk.say)
        self._worker.errored.connect(desk.fail)
        self._worker.finished.connect(self._on_finished)
        self._worker.start()

    @property
    def busy(self) -> bool:
        """Whether a file is being written."""
        return self._worker is not None

    def _on_finished(self, _: object = None) -> None:
        self._worker = None


def _write(
    path: Path, records: Iterator[dict[str, Any]], constant: dict[str, str]
) -> Generator[str, None, None]:
    """Count, and write; tells how far it is, and at last where the scores are."""
    found: list[dict[str, Any]] = []
    last: Any = None
    for record in records:
        if record["bscan_from_1"] != last:
            last = record["bscan_from_1"]
            yield f"scores, {'whole stack' if last == 'all' else f'{last} B-scans'}…"
        found.append(record)
    write_text(path, as_csv(found, **constant))
    yield f"Scores are in {path}"
