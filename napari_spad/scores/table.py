"""The table of the scores: cells that change only where their text does, an eye and a padlock."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtGui import QColor, QFontMetrics, QIcon
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_spad.scores.icons import eye, padlock, swatch

__all__ = ["AREA", "DICE", "EYE", "HD95", "IOU", "LOCK", "NAME", "ScoreTable"]

NAME, DICE, IOU, HD95, AREA, EYE, LOCK = range(7)
WIDEST = {DICE: "0.000", IOU: "0.000", HD95: "0.000", AREA: "Volume"}
TIP = (
    "Click: paint with the structure, and see it alone (again, or Esc: all).\n"
    "Double click: its worst B-scan.\n"
    "Keys 1–9 in the image choose a structure, 0 the background; E, P, F, L, Z are napari's "
    "eraser, brush, bucket, picker and hand."
)


class ScoreTable(QTableWidget):
    """Rows of structures. What a click means is for the panel to say."""

    named_clicked = Signal(int)
    named_double_clicked = Signal(int)
    eye_clicked = Signal(int)
    lock_clicked = Signal(int)
    escaped = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(WIDEST) + 3)
        self._icons: dict[Any, QIcon] = {}
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)  # all columns in a dock of 320 pixels
        self.setFont(font)
        self.horizontalHeader().setFont(font)
        font.setBold(True)
        metrics = QFontMetrics(font)
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
        self.setMinimumHeight(96)
        self.setHorizontalHeaderLabels(["", "Dice", "IoU", "HD95", "Area", "", ""])
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        for column, text in WIDEST.items():
            self.setColumnWidth(column, metrics.horizontalAdvance(text) + 8)
        for column in (EYE, LOCK):
            self.setColumnWidth(column, 20)
        self.cellClicked.connect(self._on_click)
        self.cellDoubleClicked.connect(self._on_double_click)

    def cell(
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

    def marks(self, row: int, *, seen: bool, locked: bool) -> None:
        """Show the eye and the padlock of a row."""
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

    def say_over(self, row: int, text: str, tip: str) -> None:
        """Put words where the scores would be."""
        self.cell(row, DICE, text, tip)
        if self.columnSpan(row, DICE) != HD95 - DICE + 1:
            self.setSpan(row, DICE, 1, HD95 - DICE + 1)

    def say_apart(self, row: int) -> None:
        """Give each score a cell of its own again."""
        if self.columnSpan(row, DICE) > 1:
            self.setSpan(row, DICE, 1, 1)

    def blank(self, row: int, columns: tuple[int, ...]) -> None:
        """Empty some cells of a row."""
        for column in columns:
            if self.item(row, column) is not None:
                self.takeItem(row, column)

    def headers(self, *names: str) -> None:
        """Name the columns with figures."""
        for column, name in enumerate(names, start=DICE):
            item = self.horizontalHeaderItem(column)
            if item is not None and item.text() != name:
                item.setText(name)

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
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            if self.currentRow() >= 0:
                self.named_clicked.emit(self.currentRow())
        elif event.text().strip():
            event.ignore()  # letters and digits are napari's tools and our structures
        else:
            super().keyPressEvent(event)
