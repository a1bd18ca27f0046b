"""The table of the tab Measure: a row a structure; a click goes where a number comes from."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_spad.measure.sheets import Cell, Sheet

__all__ = ["MeasureTable"]

FEW = 3
"""So many columns have room for their numbers where all are of one width."""


class MeasureTable(QTableWidget):
    """Shows a `Sheet`; cells change only where their text does."""

    asked = Signal(int, int, int)
    """B-scan and column (-1: none) that a number comes from, and the class value."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self._sheet = Sheet((), (), ())
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)
        self.setFont(font)
        self.horizontalHeader().setFont(font)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setIconSize(QSize(12, 12))
        self.setShowGrid(False)
        self.setMinimumHeight(120)
        self.cellClicked.connect(self._on_click)

    def show_sheet(self, sheet: Sheet, colours: Mapping[int, str]) -> None:
        """Show this.

        Parameters
        ----------
        sheet : Sheet
        colours : mapping of class value to colour
        """
        if self.columnCount() != len(sheet.headers) + 1 or tuple(sheet.headers) != tuple(
            self._sheet.headers
        ):
            self.clear()
            self.setColumnCount(len(sheet.headers) + 1)
            self.setHorizontalHeaderLabels(["", *sheet.headers])
            header = self.horizontalHeader()
            header.setMinimumSectionSize(24)
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
            if len(sheet.headers) > FEW:  # no range is cut; fields scroll under their names
                header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setVisible(bool(sheet.headers))
        self._sheet = sheet
        self.setRowCount(len(sheet.rows))
        high = 1
        for row, (name, (value, cells)) in enumerate(zip(sheet.names, sheet.rows, strict=True)):
            item = self._cell(row, 0, Cell(name))
            if item.data(Qt.ItemDataRole.UserRole) != colours.get(value):
                item.setData(Qt.ItemDataRole.UserRole, colours.get(value))
                swatch = QPixmap(12, 12)
                swatch.fill(QColor(colours.get(value, "#000000")))
                item.setIcon(QIcon(swatch))
            for column, cell in enumerate(cells, 1):
                self._cell(row, column, cell)
                high = max(high, cell.text.count("\n") + 1)
        height = high * self.fontMetrics().lineSpacing() + 8
        if self.verticalHeader().defaultSectionSize() != height:
            self.verticalHeader().setDefaultSectionSize(height)

    def _cell(self, row: int, column: int, cell: Cell) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        if item.text() != cell.text:
            item.setText(cell.text)
        if item.toolTip() != cell.tip:
            item.setToolTip(cell.tip)
        return item

    def _on_click(self, row: int, column: int) -> None:
        value, cells = self._sheet.rows[row]
        cell = (
            cells[column - 1] if column else next((c for c in cells if c.bscan is not None), None)
        )
        if cell is not None and cell.bscan is not None:
            self.asked.emit(cell.bscan, -1 if cell.column is None else cell.column, value)
