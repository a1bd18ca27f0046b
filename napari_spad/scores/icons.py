"""An eye and a padlock, drawn in the colour of the text, so that they suit every theme."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

__all__ = ["eye", "padlock", "swatch"]

SIZE = 14
SCALE = 4  # drawn larger, so that they stay sharp on dense screens
FAINT = 90


def eye(color: QColor, *, seen: bool) -> QIcon:
    """An eye; struck out and faint where not `seen`."""
    pixmap, painter = _canvas(color, faint=not seen)
    lids = QPainterPath(QPointF(1, 7))
    lids.quadTo(QPointF(7, 0.5), QPointF(13, 7))
    lids.quadTo(QPointF(7, 13.5), QPointF(1, 7))
    painter.drawPath(lids)
    painter.setBrush(painter.pen().color())
    painter.drawEllipse(QPointF(7, 7), 1.8, 1.8)
    if not seen:
        painter.drawLine(QPointF(2, 12.5), QPointF(12, 1.5))
    return _icon(pixmap, painter)


def padlock(color: QColor, *, locked: bool) -> QIcon:
    """A padlock; open and faint where not `locked`."""
    pixmap, painter = _canvas(color, faint=not locked)
    shackle = QPainterPath(QPointF(4, 6.5))
    shackle.lineTo(QPointF(4, 4.5))
    shackle.arcTo(QRectF(4, 1.5, 6, 6), 180, -180)
    shackle.lineTo(QPointF(10, 6.5 if locked else 4.5))
    painter.drawPath(shackle)
    body = QRectF(2.8, 6.5, 8.4, 6)
    if locked:
        painter.setBrush(painter.pen().color())
    painter.drawRoundedRect(body, 1, 1)
    return _icon(pixmap, painter)


def swatch(color: str) -> QIcon:
    """A patch of a structure's colour, narrow beside its name."""
    pixmap = QPixmap(8, 12)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)


def _canvas(color: QColor, *, faint: bool) -> tuple[QPixmap, QPainter]:
    pixmap = QPixmap(SIZE * SCALE, SIZE * SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(SCALE, SCALE)
    ink = QColor(color)
    ink.setAlpha(FAINT if faint else 255)
    painter.setPen(QPen(ink, 1.3))
    return pixmap, painter


def _icon(pixmap: QPixmap, painter: QPainter) -> QIcon:
    painter.end()
    return QIcon(pixmap)
