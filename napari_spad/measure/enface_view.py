"""The eye seen from above: a map or the fundus, with B-scan, fovea and grid drawn on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

__all__ = ["Drawing", "EnFaceView"]

NEAR_PX = 9
"""So near to the fovea the mouse takes hold of it."""
LINE, GRID, MARK = QColor(255, 255, 255), QColor(255, 255, 255, 190), QColor(255, 220, 0)
OTHERS = QColor(120, 200, 255, 110)
SHADOW = QColor(0, 0, 0, 150)


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Parameters
    ----------
    colours : array of uint8, shape (B-scans, columns, 3)
    step_mm : (between B-scans, column)
        Or any two numbers of that proportion.
    upward : bool
        Whether the first B-scan lies below.
    lines : sequence of array of float, shape (N, 2)
        (B-scan, column) of each point.
    texts : mapping of (B-scan, column) to str
    fovea : (B-scan, column) or None
    corners : (str, str)
        What lies at the left and at the right.
    scans : sequence of array of float, shape (N, 2)
        Where the B-scans lie, where they are not the picture's rows: (row, column) of each line's
        points, which are as far apart as its columns. Rows then run down.
    """

    colours: NDArray[np.uint8]
    step_mm: tuple[float, float]
    upward: bool = True
    lines: Sequence[NDArray[np.float64]] = ()
    texts: Mapping[tuple[float, float], str] = field(default_factory=dict)
    fovea: tuple[float, float] | None = None
    corners: tuple[str, str] = ("", "")
    scans: Sequence[NDArray[np.float64]] = ()


class EnFaceView(QWidget):
    """The map. A click goes to a B-scan and column; the fovea is dragged, or set by a double click.

    Attributes
    ----------
    drawing : Drawing or None
    bscan : int
        The one on screen.
    empty : str
        What stands there where nothing is drawn.
    tip : callable
        Gives what to say of (B-scan, how far along it, 0 to 1).
    """

    clicked = Signal(int, float)
    """B-scan, and how far along it, 0 to 1."""
    fovea_dragged = Signal(float, float)
    """It is under way."""
    fovea_placed = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.drawing: Drawing | None = None
        self.bscan = 0
        self.tip: Any = lambda bscan, share: ""
        self.empty = "no stack to be seen from above"
        self._image = QImage()
        self._held: tuple[float, float] | None = None
        self._moved = False
        self.setMouseTracking(True)
        self.setMinimumSize(180, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("map of the stack, seen from above")

    def draw(self, drawing: Drawing | None, bscan: int) -> None:
        """Draw this, and the line of a B-scan."""
        if drawing is not None and (
            self.drawing is None or drawing.colours is not self.drawing.colours
        ):
            height, width = drawing.colours.shape[:2]
            pixels = np.ascontiguousarray(drawing.colours)
            image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._image = image.copy()  # it owns its pixels then
        self.drawing, self.bscan = drawing, bscan
        self.update()

    def show_bscan(self, bscan: int) -> None:
        """Move the line."""
        if bscan != self.bscan:
            self.bscan = bscan
            self.update()

    def sizeHint(self) -> QSize:
        """Room for a square."""
        return QSize(260, 260)

    # ------------------------------------------------------------------ places

    @property
    def box(self) -> QRectF:
        """Where the map is drawn: as large as fits, in its true proportion."""
        if self.drawing is None:
            return QRectF()
        deep, wide = self.drawing.colours.shape[:2]
        high, long = deep * self.drawing.step_mm[0], wide * self.drawing.step_mm[1]
        room = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        scale = min(room.height() / high, room.width() / long)
        size = QSize(max(1, round(long * scale)), max(1, round(high * scale)))
        out = QRectF(0, 0, size.width(), size.height())
        out.moveCenter(room.center())
        return out

    def to_widget(self, bscan: float, column: float) -> QPointF:
        """Where a place of the stack is drawn."""
        assert self.drawing is not None  # noqa: S101 - callers have looked
        box, (deep, wide) = self.box, self.drawing.colours.shape[:2]
        down = (bscan + 0.5) / deep
        down = 1 - down if self.drawing.upward else down
        return QPointF(
            box.left() + (column + 0.5) / wide * box.width(), box.top() + down * box.height()
        )

    def to_stack(self, at: QPointF) -> tuple[float, float]:
        """(B-scan, column) under a place of the widget, within the stack."""
        assert self.drawing is not None  # noqa: S101 - callers have looked
        box, (deep, wide) = self.box, self.drawing.colours.shape[:2]
        down = (at.y() - box.top()) / max(box.height(), 1)
        down = 1 - down if self.drawing.upward else down
        along = (at.x() - box.left()) / max(box.width(), 1)
        bscan = float(np.clip(down * deep - 0.5, -0.5, deep - 0.5))
        return bscan, float(np.clip(along * wide - 0.5, -0.5, wide - 0.5))

    # ------------------------------------------------------------------ drawing

    def paintEvent(self, _event: Any) -> None:
        """Draw the map and what lies on it."""
        drawing = self.drawing
        painter = QPainter(self)
        if drawing is None:
            painter.setPen(self.palette().color(self.foregroundRole()))
            painter.drawText(
                QRectF(self.rect()),
                int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap),
                self.empty,
            )
            return
        box = self.box
        painter.drawImage(box, self._image.mirrored() if drawing.upward else self._image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(box)
        lines = [QPolygonF([self.to_widget(*p) for p in line]) for line in drawing.lines]
        for pen in (QPen(SHADOW, 3), QPen(GRID, 1.2)):  # seen on dark and on bright
            painter.setPen(pen)
            for line in lines:
                painter.drawPolyline(line)
        self._draw_bscan(painter, box, drawing)
        if drawing.fovea is not None:
            self._draw_fovea(painter, self.to_widget(*(self._held or drawing.fovea)))
        self._draw_texts(painter, box, drawing)
        painter.end()

    def _draw_bscan(self, painter: QPainter, box: QRectF, drawing: Drawing) -> None:
        if drawing.scans:
            self._draw_scans(painter, drawing.scans)
            return
        y = self.to_widget(self.bscan, 0).y()
        for pen in (QPen(SHADOW, 3), QPen(LINE, 1.4, Qt.PenStyle.DashLine)):
            painter.setPen(pen)
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))

    def _draw_scans(self, painter: QPainter, scans: Sequence[NDArray[np.float64]]) -> None:
        """All B-scans thinly, the one on screen on top of them."""
        painter.setPen(QPen(OTHERS, 1))
        for one in scans:
            painter.drawPolyline(QPolygonF([self.to_widget(*p) for p in one]))
        if self.bscan < len(scans):
            line = QPolygonF([self.to_widget(*p) for p in scans[self.bscan]])
            for pen in (QPen(SHADOW, 4), QPen(MARK, 2)):
                painter.setPen(pen)
                painter.drawPolyline(line)

    def _draw_fovea(self, painter: QPainter, at: QPointF) -> None:
        for pen in (QPen(SHADOW, 4), QPen(MARK, 2)):
            painter.setPen(pen)
            painter.drawLine(at - QPointF(7, 0), at + QPointF(7, 0))
            painter.drawLine(at - QPointF(0, 7), at + QPointF(0, 7))

    def _draw_texts(self, painter: QPainter, box: QRectF, drawing: Drawing) -> None:
        metrics = self.fontMetrics()

        def write(at: QPointF, text: str) -> None:
            painter.setPen(SHADOW)
            painter.drawText(at + QPointF(1, 1), text)
            painter.setPen(LINE)
            painter.drawText(at, text)

        for place, text in drawing.texts.items():
            middle = QPointF(metrics.horizontalAdvance(text) / 2, -metrics.ascent() / 2)
            write(self.to_widget(*place) - middle, text)
        left, right = drawing.corners
        foot = box.bottom() - metrics.descent() - 2
        write(QPointF(box.left() + 4, foot), left)
        write(QPointF(box.right() - metrics.horizontalAdvance(right) - 4, foot), right)

    # ------------------------------------------------------------------ the mouse

    def _over_fovea(self, at: QPointF) -> bool:
        if self.drawing is None or self.drawing.fovea is None:
            return False
        away = self.to_widget(*self.drawing.fovea) - at
        return bool(np.hypot(away.x(), away.y()) <= NEAR_PX)

    def mousePressEvent(self, event: Any) -> None:
        """Take hold of the fovea, or go to the B-scan."""
        at = _place(event)
        if self.drawing is None or event.button() != Qt.MouseButton.LeftButton:
            return
        if self._over_fovea(at):
            self._held, self._moved = self.drawing.fovea, False
        elif self.box.contains(at):
            self._go(at)

    def mouseMoveEvent(self, event: Any) -> None:
        """Drag the fovea, or run through the B-scans."""
        at = _place(event)
        if self.drawing is None:
            return
        if self._held is not None:
            self._held, self._moved = self.to_stack(at), True
            self.fovea_dragged.emit(*self._held)
            self.update()
        elif event.buttons() & Qt.MouseButton.LeftButton and self.box.contains(at):
            self._go(at)
        over = self._over_fovea(at) or self._held is not None
        self.setCursor(Qt.CursorShape.SizeAllCursor if over else Qt.CursorShape.CrossCursor)

    def mouseReleaseEvent(self, _event: Any) -> None:
        """Let go of the fovea."""
        held, self._held = self._held, None
        if held is not None and self._moved:
            self.fovea_placed.emit(*held)

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Set the fovea here."""
        if self.drawing is not None and not self.drawing.scans and self.box.contains(_place(event)):
            self.fovea_placed.emit(*self.to_stack(_place(event)))

    def place_at(self, at: QPointF) -> tuple[int, float]:
        """B-scan under a place of the widget, and how far along it, 0 to 1; the nearest one."""
        assert self.drawing is not None  # noqa: S101 - callers have looked
        first, second = self.to_stack(at)
        if not self.drawing.scans:
            deep, wide = self.drawing.colours.shape[:2]
            return max(0, min(round(first), deep - 1)), max(0.0, second) / max(1, wide - 1)
        best, found = np.inf, (0, 0.0)
        for z, line in enumerate(self.drawing.scans):
            way = np.diff(line, axis=0)
            length = np.maximum((way**2).sum(1), 1e-12)
            share = np.clip(((np.array([first, second]) - line[:-1]) * way).sum(1) / length, 0, 1)
            away = np.hypot(*(line[:-1] + share[:, None] * way - (first, second)).T)
            n = int(away.argmin())
            if away[n] < best:
                best, found = float(away[n]), (z, (n + float(share[n])) / len(way))
        return found

    def _go(self, at: QPointF) -> None:
        bscan, share = self.place_at(at)
        self.clicked.emit(bscan, share)

    def event(self, event: Any) -> bool:
        """Tell of the place under the mouse."""
        if event.type() == event.Type.ToolTip and self.drawing is not None:
            at = QPointF(event.pos())
            if self.box.contains(at):
                QToolTip.showText(event.globalPos(), self.tip(*self.place_at(at)), self)
            return True
        return super().event(event)


def _place(event: Any) -> QPointF:
    return event.position() if hasattr(event, "position") else QPointF(event.localPos())
