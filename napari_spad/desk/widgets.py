"""What panels do to Qt widgets: names for tests, widths, tight forms."""

from __future__ import annotations

from html import escape
from typing import Any, TypeVar

from qtpy.QtCore import QEvent, QLocale, QObject, QSettings, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_spad.desk.settings import setting

__all__ = [
    "Fold",
    "Number",
    "Scrolled",
    "form_layout",
    "link",
    "named",
    "narrow",
    "widen",
    "worded",
]
W = TypeVar("W", bound=QWidget)
S = TypeVar("S", bound=QAbstractSpinBox)
CANVAS_PX = 400
"""So wide the canvas stays beside a dock that grows."""


def form_layout() -> QFormLayout:
    """Return a tight form whose fields take the width there is."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return form


def link(text: str, to: str) -> str:
    """Text for a label that can be clicked, in a colour that dark and light themes bear."""
    return f'<a href="{to}" style="color: #4c9aff">{escape(text)}</a>'


def named(widget: W, name: str) -> W:
    """Give a widget the name by which tests and style sheets find it."""
    widget.setObjectName(name)
    return widget


def narrow(combo: QComboBox) -> QComboBox:
    """Let a combo box shrink below its longest entry, so that the dock fits 320 pixels."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def worded(field: S, word: str) -> S:
    """Let a field show a word for its least value, which typing replaces wherever one clicks."""
    field.setSpecialValueText(word)
    if field.findChild(_Worded) is None:
        field.lineEdit().installEventFilter(_Worded(field))
    return field


class _Worded(QObject):
    """Selects the word of a field that is clicked on: letters within it would be refused."""

    def eventFilter(self, edit: Any, event: Any) -> bool:
        """Qt asks this of each event."""
        field: Any = self.parent()
        if (
            event.type() == QEvent.Type.MouseButtonRelease
            and edit.text() == field.specialValueText()
        ):
            field.selectAll()
        return False


class Number(QDoubleSpinBox):
    """A number whose decimals begin with a point or a comma, in whatever language.

    By Qt the one of both that is not the language's is a mark of thousands: 3.87 typed in German,
    or 3,87 in English, would be 387.
    """

    def __init__(self) -> None:
        super().__init__()
        plain = QLocale.c()
        plain.setNumberOptions(QLocale.NumberOption.RejectGroupSeparator)
        self.setLocale(plain)

    def validate(self, text: str, at: int) -> Any:
        """Take a comma for a point."""
        return super().validate(text.replace(",", "."), at)


def widen(area: QScrollArea) -> None:
    """Let the dock around this be as wide as its contents ask, where the canvas can spare that.

    In a larger font they ask for more than a dock begins with; what is still beyond its edge can be
    scrolled to.
    """
    window, dock = area.window(), area.parentWidget()
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    content = area.widget()
    if dock is None or content is None or not isinstance(window, QMainWindow):
        return
    bar = area.verticalScrollBar().sizeHint().width()
    lacks = content.minimumSizeHint().width() + bar - area.width()
    canvas = window.centralWidget()
    if lacks > 0 and canvas is not None and canvas.width() - lacks >= CANVAS_PX:
        window.resizeDocks([dock], [dock.width() + lacks], Qt.Orientation.Horizontal)


class Scrolled(QScrollArea):
    """Scrolls what it holds up and down; where it has to, a table in there shows all its rows.

    To scroll a row or two within what is scrolled itself, nobody sees the others.

    Parameters
    ----------
    table : QWidget
        With `show_all_rows`, and `more_px` by which it is higher for that.
    """

    def __init__(self, table: Any) -> None:
        super().__init__()
        self._table = table
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setFrameShape(QFrame.Shape.NoFrame)

    def event(self, event: Any) -> bool:
        """Look again where there is other room, or more is asked for."""
        done = bool(super().event(event))
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            content, room = self.widget(), self.maximumViewportSize()
            if content is not None:
                asked = content.heightForWidth(room.width()) - self._table.more_px
                self._table.show_all_rows(asked > room.height())
        return done


class Fold(QToolButton):
    """A section's title, which opens and closes the section.

    Parameters
    ----------
    title : str
    part : QWidget
        What is opened and closed; closed at first.
    settings : QSettings
        Remember which of the two the user chose.
    name : str
        In the settings, and for tests.
    """

    def __init__(self, title: str, part: QWidget, settings: QSettings, name: str) -> None:
        super().__init__()
        self._part = part
        named(self, name).setText(title)
        self.setCheckable(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("QToolButton { text-align: left; border: none; background: none; }")
        self.toggled.connect(self._show)
        self.clicked.connect(lambda on: settings.setValue(name, on))
        self.setChecked(setting(settings, name, False))
        self._show(self.isChecked())

    def _show(self, opened: bool) -> None:
        self.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._part.setVisible(opened)
