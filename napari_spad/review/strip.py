"""The strip: a whole stack's review at a glance, one cell a B-scan.

A state is told by a shape as well as by a colour, so that colour-blind users and print read it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

__all__ = ["LOOKS", "Cell", "Legend", "Strip"]

LARGEST, SMALLEST = 22, 9
"""Pixels a cell may have, with its margin."""
TALLEST = 132
"""Pixels of height from which on cells shrink."""

LOOKS = ("accepted", "edited", "uncertain", "seen", "not seen")
BLUE, ORANGE, PINK = QColor(86, 180, 233), QColor(230, 159, 0), QColor(204, 121, 167)
"""Of Okabe and Ito."""


@dataclass(frozen=True)
class Cell:
    """One B-scan.

    Parameters
    ----------
    look : str
        One of `LOOKS`; else it is drawn as a mere dash: not segmented yet.
    tip : str
    """

    look: str
    tip: str


class Strip(QWidget):
    """Cells in reading order; a click goes there.

    Attributes
    ----------
    clicked : Signal of int
        The cell's number.
    """

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.cells: Sequence[Cell] = ()
        self.current = -1
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("review of the stack")

    def show_cells(self, cells: Sequence[Cell], current: int) -> None:
        """Draw these, the current one framed."""
        if (cells, current) == (self.cells, self.current):
            return
        grown = len(cells) != len(self.cells)
        self.cells, self.current = cells, current
        if grown:
            self.setFixedHeight(self.heightForWidth(self.width()))
        self.update()

    # ------------------------------------------------------------------ where a cell is

    def _grid(self, width: int) -> tuple[int, int]:
        """Side of a cell and cells a row: as large as fits the height that is wanted."""
        for side in range(LARGEST, SMALLEST, -1):
            columns = max(1, width // side)
            if -(-len(self.cells) // columns) * side <= TALLEST:
                return side, columns
        return SMALLEST, max(1, width // SMALLEST)

    def cell_rect(self, number: int) -> QRectF:
        """Where a cell is drawn."""
        return _place(number, *self._grid(self.width()))

    def cell_at(self, x: float, y: float) -> int | None:
        """Number of the cell there, None where there is none."""
        side, columns = self._grid(self.width())
        column, row = int(x // side), int(y // side)
        number = row * columns + column
        inside = 0 <= column < columns and row >= 0 and number < len(self.cells)
        return number if inside else None

    def heightForWidth(self, width: int) -> int:
        """Height that the cells take."""
        side, columns = self._grid(width)
        return max(1, -(-len(self.cells) // columns)) * side + 2

    def sizeHint(self) -> QSize:
        """Take the width there is."""
        return QSize(self.width(), self.heightForWidth(self.width()))

    def resizeEvent(self, event: Any) -> None:
        """Rows follow the width."""
        self.setFixedHeight(self.heightForWidth(self.width()))
        super().resizeEvent(event)

    # ------------------------------------------------------------------ what happens to it

    def paintEvent(self, _event: Any) -> None:
        """Draw the cells."""
        text = self.palette().color(QPalette.ColorRole.WindowText)
        side, columns = self._grid(self.width())
        stamps = {look: self._stamp(look, side, text) for look in {c.look for c in self.cells}}
        painter = QPainter(self)
        for number, cell in enumerate(self.cells):
            painter.drawPixmap(_place(number, side, columns).topLeft(), stamps[cell.look])
        if 0 <= self.current < len(self.cells):
            painter.setPen(QPen(text, 2))
            painter.drawRect(_place(self.current, side, columns).adjusted(1, 1, -1, -1))

    def _stamp(self, look: str, side: int, text: QColor) -> QPixmap:
        """Draw a state once for all its cells: there may be hundreds."""
        ratio = self.devicePixelRatioF()
        stamp = QPixmap(round(side * ratio), round(side * ratio))
        stamp.setDevicePixelRatio(ratio)
        stamp.fill(Qt.GlobalColor.transparent)
        painter = QPainter(stamp)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_look(painter, QRectF(0, 0, side, side), look, text)
        painter.end()
        return stamp

    def mousePressEvent(self, event: Any) -> None:
        """Go to the cell."""
        at = event.position() if hasattr(event, "position") else event.localPos()
        number = self.cell_at(at.x(), at.y())
        if number is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(number)

    def event(self, event: Any) -> bool:
        """Tell of the cell under the mouse."""
        if event.type() == event.Type.ToolTip:
            number = self.cell_at(event.pos().x(), event.pos().y())
            if number is None:
                QToolTip.hideText()
            else:
                box = self.cell_rect(number).toRect()
                QToolTip.showText(event.globalPos(), self.cells[number].tip, self, box)
            return True
        return super().event(event)


def _place(number: int, side: int, columns: int) -> QRectF:
    row, column = divmod(number, columns)
    return QRectF(column * side, row * side, side, side)


class Legend(QWidget):
    """What the cells mean, in the cells' own drawing."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        font = self.font()
        font.setPointSizeF(max(font.pointSizeF() * 0.85, 6.5))
        self.setFont(font)
        self.setFixedHeight(self.fontMetrics().height() + 2)

    def paintEvent(self, _event: Any) -> None:
        """Draw a cell and its word, five times."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        side, metrics = 11.0, self.fontMetrics()
        words = sum(metrics.horizontalAdvance(look) for look in LOOKS)
        room = max(self.width() - words - len(LOOKS) * (side + 2), 0) / max(len(LOOKS) - 1, 1)
        x = 0.0
        for look in LOOKS:
            draw_look(painter, QRectF(x, (self.height() - side) / 2, side, side), look, text)
            painter.setPen(text)
            painter.drawText(QPointF(x + side + 2, metrics.ascent() + 1.0), look)
            x += side + 2 + metrics.horizontalAdvance(look) + min(room, 10)


def draw_look(painter: QPainter, box: QRectF, look: str, text: QColor) -> None:
    """Draw a state.

    Accepted is a full blue square, edited a pink one half full, uncertain an orange triangle, seen
    a ring, not seen a dot, and what is not segmented a dash.
    """
    margin = max(1.5, box.width() * 0.2)
    inner = box.adjusted(margin, margin, -margin, -margin)
    faint = QColor(text)
    faint.setAlphaF(0.6)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if look == "accepted":
        painter.fillRect(inner, BLUE)
    elif look == "edited":
        corners = [inner.topLeft(), inner.bottomLeft(), inner.bottomRight()]
        painter.setBrush(PINK)
        painter.drawPolygon(QPolygonF(corners))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(PINK, 1))
        painter.drawRect(inner)
    elif look == "uncertain":
        top = QPointF(inner.center().x(), inner.top())
        painter.setBrush(ORANGE)
        painter.drawPolygon(QPolygonF([top, inner.bottomLeft(), inner.bottomRight()]))
    elif look == "seen":
        painter.setPen(QPen(faint, 1.2))
        painter.drawEllipse(inner)
    elif look == "not seen":
        painter.setBrush(faint)
        size = max(1.2, inner.width() / 5)
        painter.drawEllipse(inner.center(), size, size)
    else:
        painter.setPen(QPen(faint, 1))
        middle = inner.center().y()
        painter.drawLine(
            QPointF(inner.center().x() - 1.5, middle), QPointF(inner.center().x() + 1.5, middle)
        )
