"""A small picture of a training: its loss, and the validation Dice, over the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from spad.annotation import Progress

__all__ = ["Curve"]

LOSS = QColor(86, 180, 233)  # Okabe and Ito, legible on dark and on light
DICE = QColor(230, 120, 0)


class Curve(QWidget):
    """The loss as a line (axis on the left), validation Dice as dots (0..1 on the right)."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("curve")
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._losses: list[tuple[int, float]] = []
        self._dice: list[tuple[int, float]] = []

    def show_progress(self, progress: Progress) -> None:
        """Draw this."""
        self._losses = [(s, x) for s, x in progress.losses if math.isfinite(x)]
        self._dice = [
            (v.step, v.mean.dice) for v in progress.validations if math.isfinite(v.mean.dice)
        ]
        self.setToolTip(
            "Blue: the loss of the training images. Orange: mean Dice of the validation B-scans, "
            "at step 0 that of the old model"
        )
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = self.fontMetrics()
        line = metrics.height()
        # The style sheet's colour of text, whatever the theme.
        ink = self.palette().color(self.foregroundRole())
        faint = QColor(ink)
        faint.setAlpha(70)
        left = metrics.horizontalAdvance("0.00") + 8
        box = QRectF(left, line + 4, self.width() - 2 * left, self.height() - 2 * line - 8)
        painter.setPen(LOSS)
        painter.drawText(QPointF(2, line - 2), "loss")
        painter.setPen(DICE)
        word = "Dice (validation)"
        painter.drawText(
            QPointF(self.width() - metrics.horizontalAdvance(word) - 2, line - 2), word
        )
        painter.setPen(QPen(faint, 1))
        painter.drawRect(box)
        middle = box.center().y()
        painter.drawLine(QPointF(box.left(), middle), QPointF(box.right(), middle))
        last = max([1, *(s for s, _ in (*self._losses, *self._dice))])
        painter.setPen(ink)
        bottom = QPointF(box.left(), self.height() - 3)
        painter.drawText(bottom, "0")
        text = f"step {last}" if self._losses or self._dice else "steps"
        painter.drawText(
            QPointF(box.right() - metrics.horizontalAdvance(text), self.height() - 3), text
        )
        top = _round_up(max((x for _, x in self._losses), default=1.0))
        for value, at in ((top, box.top()), (0.0, box.bottom())):
            painter.setPen(LOSS)
            number = f"{value:.2g}"
            x = left - 4 - metrics.horizontalAdvance(number)
            painter.drawText(QPointF(x, at + line / 3), number)
        painter.setPen(DICE)
        for value, at in ((1, box.top()), (0, box.bottom())):
            painter.drawText(QPointF(box.right() + 4, at + line / 3), str(value))
        self._line(painter, box, self._losses, last, top, LOSS, dots=False)
        self._line(painter, box, self._dice, last, 1.0, DICE, dots=True)
        painter.end()

    @staticmethod
    def _line(
        painter: QPainter,
        box: QRectF,
        points: Sequence[tuple[int, float]],
        last: int,
        top: float,
        color: QColor,
        *,
        dots: bool,
    ) -> None:
        places = [
            QPointF(
                box.left() + box.width() * step / last,
                box.bottom() - box.height() * min(max(value / top, 0.0), 1.0),
            )
            for step, value in points
        ]
        style = Qt.PenStyle.DashLine if dots else Qt.PenStyle.SolidLine
        painter.setPen(QPen(color, 1.2 if dots else 1.8, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(places))
        if dots or len(places) == 1:
            painter.setBrush(color)
            painter.setPen(Qt.PenStyle.NoPen)
            for place in places:
                painter.drawEllipse(place, 3.5, 3.5)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * 0.999)
