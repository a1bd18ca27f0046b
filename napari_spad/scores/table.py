"""The table of the scores: a row for each structure, with an eye and a padlock.

Cells change only where their text does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtGui import QColor, QFontMetrics, QIcon
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_spad.scores.icons import eye, padlock, swatch
from napari_spad.scores.live_scores import LiveScores
from spad.metrics import StructureScore, mean_scores

__all__ = ["AREA", "DICE", "EYE", "HD95", "IOU", "LOCK", "NAME", "ScoreTable"]

NAME, DICE, IOU, HD95, AREA, EYE, LOCK = range(7)
LEAST_PX, ONE_ROW_PX = 82, 58
"""Of its height: the head and two structures, or one."""
MOST_ROWS = 12
"""That are seen where the dock is scrolled; below them the table is scrolled itself."""
MARK_PX, BAR_PX = 17, 8
"""Of an eye or a padlock, and of the scroll bar: the names need the width."""
WIDEST = {DICE: "0.000", IOU: "0.000", HD95: "0.000", AREA: "Volume"}
TIP = (
    "Click: paint with the structure, and see it alone (again, or Esc: all).\n"
    "Double click: its worst B-scan.\n"
    "Keys 1–9 in the image choose a structure, 0 the background; E, P, F, L, Z are napari's "
    "eraser, brush, bucket, picker and hand."
)
IN_WORDS = {
    "absent": ("absent in both", "Neither the segmentation nor the reference has it."),
    "missed": ("missed", "Only the reference has it: Dice and IoU are 0."),
    "invented": ("invented", "Only the segmentation has it: Dice and IoU are 0."),
}


class ScoreTable(QTableWidget):
    """Rows of structures. What a click means is for others to say.

    Attributes
    ----------
    scores : tuple of StructureScore
        Those shown, row by row; below them are the mean and what is no structure.
    """

    named_clicked = Signal(int)
    named_double_clicked = Signal(int)
    eye_clicked = Signal(int)
    lock_clicked = Signal(int)
    escaped = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(WIDEST) + 3)
        self._icons: dict[Any, QIcon] = {}
        self._marked: dict[int, dict[str, bool]] = {}  # what the eye and the padlock of a row say
        self._spacing_mm: tuple[float, ...] | None = None
        self._least_px, self._all_rows = LEAST_PX, False
        self.scores: tuple[StructureScore, ...] = ()
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)  # all columns in a dock of 320 pixels
        self.setFont(font)
        self.horizontalHeader().setFont(font)
        plain = QFontMetrics(font)
        font.setBold(True)  # as the mean's are
        bold = QFontMetrics(font)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # A click leaves the keys to the image, where the brush is.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(TIP)
        self.setShowGrid(False)
        self.setIconSize(QSize(14, 14))
        self.make_room(0)
        self.setHorizontalHeaderLabels(["", "Dice", "IoU", "HD95", "Area", "", ""])
        header = self.horizontalHeader()
        header.setMinimumSectionSize(MARK_PX)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        for column, text in WIDEST.items():
            metrics = bold if column in (DICE, IOU) else plain
            self.setColumnWidth(column, metrics.horizontalAdvance(text) + 7)
        for column in (EYE, LOCK):
            self.setColumnWidth(column, MARK_PX)
        self.setStyleSheet(f"QScrollBar:vertical {{ width: {BAR_PX}px; }}")
        self.cellClicked.connect(self._on_click)
        self.cellDoubleClicked.connect(self._on_double_click)

    def sizeHint(self) -> QSize:
        """Ask for no more than the least; what room there is it is given."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def make_room(self, pixels: int) -> None:
        """Be content with so much less, for what is said above; a row is always seen."""
        self._least_px = max(LEAST_PX - pixels, ONE_ROW_PX)
        self._ask()

    @property
    def more_px(self) -> int:
        """So much higher than the least it wants to be."""
        return self.minimumHeight() - self._least_px

    def show_all_rows(self, on: bool) -> None:
        """Want to be as high as the rows, or be content with the least."""
        self._all_rows = on
        self._ask()

    def _ask(self) -> None:
        rows = sum(self.rowHeight(row) for row in range(min(self.rowCount(), MOST_ROWS)))
        whole = self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth()
        asked = max(self._least_px, whole if self._all_rows else 0)
        if asked != self.minimumHeight():
            self.setMinimumHeight(asked)
            self.updateGeometry()

    # ------------------------------------------------------------------ rows

    def show_units(self, spacing_mm: tuple[float, ...] | None, axes: int) -> None:
        """Head the columns with the units of a B-scan (2 axes) or a stack (3).

        Parameters
        ----------
        spacing_mm : tuple of float or None
            None: all sizes are in pixels.
        axes : {2, 3}
        """
        self._spacing_mm = spacing_mm
        unit = "mm" if spacing_mm else "px"
        size = "Volume" if axes == 3 else "Area"
        power = "³" if axes == 3 else "²"
        measure = f"{size}\n{unit}{power}" if spacing_mm else f"{size}\npx"
        for column, name in enumerate(("Dice", "IoU", f"HD95\n{unit}", measure), start=DICE):
            item = self.horizontalHeaderItem(column)
            if item is not None and item.text() != name:
                item.setText(name)

    def show_scores(
        self,
        live: LiveScores,
        scores: Sequence[StructureScore],
        *,
        others: int,
        alone: int | None,
        hidden: Collection[int],
        locked: Collection[int],
    ) -> None:
        """Show the structures' scores, and their mean. HD95 is still to come.

        Parameters
        ----------
        live : LiveScores
            Knows the structures' colours and values, and whether there is a reference.
        scores : sequence of StructureScore
        others : int
            Pixels whose value is no structure.
        alone : int or None
            The class that is shown alone.
        hidden, locked : collection of int
            Values of the layer.
        """
        self.scores = tuple(scores)
        self.setRowCount(len(scores) + 1 + (others > 0))
        self._ask()
        compared = live.reference is not None
        for row, score in enumerate(scores):
            color, value = live.classes[score.value].hex, live.values[score.value]
            key = f", key {row + 1}" if row < 9 else ""
            tip = f"{score.name}: label {value}{key}"
            self._cell(row, NAME, score.name, tip, color, bold=score.value == alone)
            self._marks(row, seen=value not in hidden, locked=value in locked)
            self._show_structure(row, score, compared=compared)
        self._show_mean(len(scores), scores, compared=compared)
        if others:
            row = len(scores) + 1
            self._cell(row, NAME, "undefined", "Pixels whose value is no structure", "#ff00ff")
            self._say_over(row, "value without a name", "Its number is in the status bar")
            self._cell(row, AREA, self._size(others))

    def show_distance(self, row: int, distance: float) -> None:
        """Show a structure's HD95, in mm or in pixels."""
        text = f"{distance:.3f}" if self._spacing_mm else f"{distance:.1f}"
        self._cell(row, HD95, text, "95th percentile of the distances between the borders")

    def _show_structure(self, row: int, score: StructureScore, *, compared: bool) -> None:
        if compared and score.state in IN_WORDS:
            self._say_over(row, *IN_WORDS[score.state])
        else:
            self._say_apart(row)
            if not compared:
                for column in (DICE, IOU, HD95):
                    self._cell(row, column, "–", "Choose a reference to see scores")
            else:
                self._cell(row, DICE, f"{score.dice:.3f}")
                self._cell(row, IOU, f"{score.iou:.3f}")
                self._cell(row, HD95, "…", "counted when you pause")
        self._cell(row, AREA, self._size(score.predicted_pixels))

    def _show_mean(self, row: int, scores: Sequence[StructureScore], *, compared: bool) -> None:
        dice, iou, count = mean_scores(scores)
        tip = f"Over the {count} structures in either map; missed and invented ones count as 0"
        known = compared and count
        self._say_apart(row)
        for column in (HD95, AREA, EYE, LOCK):
            if self.item(row, column) is not None:
                self.takeItem(row, column)
        self._cell(row, NAME, "Mean", tip, bold=True)
        self._cell(row, DICE, f"{dice:.3f}" if known else "–", tip, bold=True)
        self._cell(row, IOU, f"{iou:.3f}" if known else "–", tip, bold=True)

    def _size(self, pixels: int) -> str:
        if self._spacing_mm is None:
            return f"{pixels:,}".replace(",", " ")
        size = pixels * math.prod(self._spacing_mm)
        if size < 0.001:
            return "<0.001" if pixels else "0"
        return f"{size:.3f}" if size < 10 else f"{size:.1f}"

    # ------------------------------------------------------------------ cells

    def _cell(
        self, row: int, column: int, text: str, tip: str = "", color: str = "", bold: bool = False
    ) -> None:
        """Fill a cell."""
        item = self._item(row, column)
        if item.text() != text:
            item.setText(text)
        if item.toolTip() != tip:
            item.setToolTip(tip)
        if color:
            self._set_icon(item, ("swatch", color))
        if item.font().bold() != bold:
            font = self.font()
            font.setBold(bold)
            item.setFont(font)

    def _marks(self, row: int, *, seen: bool, locked: bool) -> None:
        """Show the eye and the padlock of a row."""
        self._marked[row] = {"seen": seen, "locked": locked}
        ink = self.palette().color(self.foregroundRole()).name()
        for column, key, tip in (
            (EYE, ("eye", ink, seen), "Seen: click to hide" if seen else "Hidden: click to show"),
            (
                LOCK,
                ("padlock", ink, locked),
                "Locked: neither you nor a model changes it. Click to unlock"
                if locked
                else "Click to lock: then neither you nor a model changes it",
            ),
        ):
            item = self._item(row, column)
            self._set_icon(item, key)
            if item.toolTip() != tip:
                item.setToolTip(tip)

    def _say_over(self, row: int, text: str, tip: str) -> None:
        """Put words where the scores would be."""
        self._cell(row, DICE, text, tip)
        if self.columnSpan(row, DICE) != HD95 - DICE + 1:
            self.setSpan(row, DICE, 1, HD95 - DICE + 1)

    def _say_apart(self, row: int) -> None:
        """Give each score a cell of its own again."""
        if self.columnSpan(row, DICE) > 1:
            self.setSpan(row, DICE, 1, 1)

    def _item(self, row: int, column: int) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            side = Qt.AlignmentFlag.AlignLeft if column == NAME else Qt.AlignmentFlag.AlignRight
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        return item

    def _set_icon(self, item: QTableWidgetItem, key: tuple[Any, ...]) -> None:
        if item.data(Qt.ItemDataRole.UserRole) == str(key):
            return
        if key not in self._icons:
            kind, color, *on = key
            if kind == "swatch":
                self._icons[key] = swatch(color)
            elif kind == "eye":
                self._icons[key] = eye(QColor(color), seen=on[0])
            else:
                self._icons[key] = padlock(QColor(color), locked=on[0])
        item.setIcon(self._icons[key])
        item.setData(Qt.ItemDataRole.UserRole, str(key))

    def changeEvent(self, event: QEvent) -> None:
        """Draw eyes and padlocks in the ink of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            for row, marks in self._marked.items():
                if self.item(row, EYE) is not None:
                    self._marks(row, **marks)

    # ------------------------------------------------------------------ clicks and keys

    def _on_click(self, row: int, column: int) -> None:
        signals = {EYE: self.eye_clicked, LOCK: self.lock_clicked}
        signals.get(column, self.named_clicked).emit(row)

    def _on_double_click(self, row: int, column: int) -> None:
        if column in (EYE, LOCK):
            self._on_click(row, column)  # Qt tells the second click of two as this alone
        else:
            self.named_double_clicked.emit(row)

    def keyPressEvent(self, event: Any) -> None:
        """Enter is a click on the row, Esc shows all again."""
        if event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
            event.ignore()  # what else it ends, the layer knows
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            if self.currentRow() >= 0:
                self.named_clicked.emit(self.currentRow())
        elif event.text().strip():
            event.ignore()  # letters and digits are napari's tools and our structures
        else:
            super().keyPressEvent(event)
