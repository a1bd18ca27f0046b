"""The module ``ctk``: the few widgets that .ui files of the module may use."""

from __future__ import annotations

import types
from typing import Any

from PySide6.QtCore import Property, QEvent, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)

from .dialogs import dialogs
from .qt_names import QMessageBox
from .reach import explain, forwarded, kept

__all__ = ["CTK_CLASSES", "make_ctk"]

STEPS = 10_000  # of a slider, whose own values are integers


class ctkCollapsibleButton(QAbstractButton):
    """A header that hides the widgets below it. ``checked`` is the opposite of ``collapsed``."""

    contentsCollapsed = Signal(bool)
    _collapsed = False  # events arrive before __init__ has ended
    __getattr__ = explain

    def __init__(self, *arguments: Any) -> None:
        texts = [a for a in arguments if isinstance(a, str)]
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self.setText("".join(texts))
        self._were_shown: list[QWidget] = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def _collapse(self, yes: bool) -> None:
        if yes == self._collapsed:
            return
        self._collapsed = yes
        if yes:
            self._hide_contents()
        else:
            for child in self._were_shown:
                child.setVisible(True)
            self._were_shown = []
        self.updateGeometry()
        self.contentsCollapsed.emit(yes)

    def _hide_contents(self) -> None:
        for child in self.children():
            if isinstance(child, QWidget) and not child.isHidden():
                self._were_shown.append(child)
                child.setVisible(False)

    collapsed = Property(
        bool,
        lambda self: self._collapsed,
        lambda self, yes: self.setChecked(not yes) if self.isCheckable() else self._collapse(yes),
    )
    collapsedHeight = kept(int, 14)
    flat = kept(bool, False)
    contentsLineWidth = kept(int, 1)

    def event(self, event: QEvent) -> bool:
        # A .ui file sets the properties before the contents are there.
        if event.type() in (QEvent.Type.ChildPolished, QEvent.Type.Show) and self._collapsed:
            self._hide_contents()
        return super().event(event)

    def hitButton(self, position: QPoint) -> bool:
        return position.y() < self._header()

    def sizeHint(self) -> QSize:
        width = self.fontMetrics().horizontalAdvance(self.text()) + 40
        return super().sizeHint().expandedTo(QSize(width, self._header()))

    minimumSizeHint = sizeHint

    def paintEvent(self, _: QEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._header())
        arrow = "▸" if self._collapsed else "▾"
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        inner = option.rect.adjusted(8, 0, -8, 0)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self.text()}")
        painter.end()


class ctkPathLineEdit(QWidget):
    """A line with a path. Its browse button asks ``standin.dialogs``."""

    Dirs, Files, Drives, NoSymLinks, AllEntries = 1, 2, 4, 8, 7
    Readable, Writable, Executable, Hidden, NoDotAndDotDot = 0x10, 0x20, 0x40, 0x100, 0x1000
    NoDot, NoDotDot = 0x2000, 0x4000
    ShowDirsOnly, DontConfirmOverwrite, DontUseNativeDialog = 1, 4, 16
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = range(3)
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    __getattr__ = explain

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = QLineEdit(self)
        self._line.textChanged.connect(self.currentPathChanged)
        self._button = QToolButton(self)
        self._button.setText("...")
        self._button.clicked.connect(self.browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line)
        row.addWidget(self._button)

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)

    def browse(self) -> None:
        only_folders = self.filters & 3 == self.Dirs
        save = bool(self.filters & self.Writable)
        kind = "folder" if only_folders else "save file" if save else "open file"
        if path := dialogs.ask(kind, self.label):
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        self.history = [*self.__dict__.get("history", []), self.currentPath]

    def retrieveHistory(self) -> None:
        pass

    currentPath = Property(str, lambda self: self._line.text(), setCurrentPath)
    label = kept(str, "")
    filters = kept(int, AllEntries)
    options = kept(int, 0)
    nameFilters = kept("QStringList", [])
    settingKey = kept(str, "")
    sizeAdjustPolicy = kept(int, AdjustToContentsOnFirstShow)
    minimumContentsLength = kept(int, 0)
    showHistoryButton = kept(bool, True)
    showBrowseButton = Property(
        bool,
        lambda self: not self._button.isHidden(),
        lambda self, yes: self._button.setVisible(yes),
    )


class ctkDoubleSpinBox(QWidget):
    """A spin box for a float."""

    valueChanged = Signal(float)
    __getattr__ = explain

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._spin = QDoubleSpinBox(self)
        self._spin.valueChanged.connect(self.valueChanged)
        row.addWidget(self._spin)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    value = Property(float, lambda self: self._spin.value(), setValue)
    minimum = forwarded(float, "_spin", "minimum", "setMinimum")
    maximum = forwarded(float, "_spin", "maximum", "setMaximum")
    singleStep = forwarded(float, "_spin", "singleStep", "setSingleStep")
    decimals = forwarded(int, "_spin", "decimals", "setDecimals")
    prefix = forwarded(str, "_spin", "prefix", "setPrefix")
    suffix = forwarded(str, "_spin", "suffix", "setSuffix")


class ctkSliderWidget(ctkDoubleSpinBox):
    """A slider with a spin box beside it."""

    valueIsChanging = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, STEPS)
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._follow)
        self.layout().insertWidget(0, self._slider, 1)

    def _slid(self, step: int) -> None:
        low, high = self._spin.minimum(), self._spin.maximum()
        self._spin.setValue(low + (high - low) * step / STEPS)

    def _follow(self, value: float) -> None:
        low, high = self._spin.minimum(), self._spin.maximum()
        before = self._slider.blockSignals(True)
        self._slider.setValue(round(STEPS * (value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(before)

    def setSpinBoxVisible(self, yes: bool) -> None:
        self._spin.setVisible(yes)

    def reset(self) -> None:
        self._spin.setValue(0.0)

    spinBoxVisible = Property(bool, lambda self: not self._spin.isHidden(), setSpinBoxVisible)
    pageStep = kept(float, 10.0)
    tracking = kept(bool, True)
    tickInterval = kept(float, 0.0)
    popupSlider = kept(bool, False)


class ctkRangeWidget(QWidget):
    """The lower and the upper end of a range."""

    minimumValueChanged, maximumValueChanged = Signal(float), Signal(float)
    valuesChanged, rangeChanged = Signal(float, float), Signal(float, float)
    __getattr__ = explain

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._low, self._high = QDoubleSpinBox(self), QDoubleSpinBox(self)
        for spin in (self._low, self._high):
            row.addWidget(spin)
            spin.setRange(0.0, 99.0)
        self._high.setValue(99.0)
        self._low.valueChanged.connect(lambda v: self.setValues(v, max(v, self._high.value())))
        self._high.valueChanged.connect(lambda v: self.setValues(min(v, self._low.value()), v))
        self._told = (0.0, 99.0)

    def setValues(self, low: float, high: float) -> None:
        for spin, value in ((self._low, low), (self._high, high)):
            before = spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(before)
        told, self._told = self._told, (self._low.value(), self._high.value())
        if told[0] != self._told[0]:
            self.minimumValueChanged.emit(self._told[0])
        if told[1] != self._told[1]:
            self.maximumValueChanged.emit(self._told[1])
        if told != self._told:
            self.valuesChanged.emit(*self._told)

    def setMinimumValue(self, value: float) -> None:
        self._low.setValue(value)

    def setMaximumValue(self, value: float) -> None:
        self._high.setValue(value)

    def _limit(self, low: float, high: float) -> None:
        for spin in (self._low, self._high):
            spin.setRange(low, max(low, high))
        self.setValues(*self._told)
        self.rangeChanged.emit(low, high)

    def _each(self, setter: str, value: Any) -> None:
        for spin in (self._low, self._high):
            getattr(spin, setter)(value)

    minimumValue = Property(float, lambda self: self._low.value(), setMinimumValue)
    maximumValue = Property(float, lambda self: self._high.value(), setMaximumValue)
    minimum = Property(
        float,
        lambda self: self._low.minimum(),
        lambda self, v: self._limit(v, self._low.maximum()),
    )
    maximum = Property(
        float,
        lambda self: self._low.maximum(),
        lambda self, v: self._limit(self._low.minimum(), v),
    )
    singleStep = Property(
        float, lambda self: self._low.singleStep(), lambda self, v: self._each("setSingleStep", v)
    )
    decimals = Property(
        int, lambda self: self._low.decimals(), lambda self, v: self._each("setDecimals", v)
    )
    suffix = Property(
        str, lambda self: self._low.suffix(), lambda self, v: self._each("setSuffix", v)
    )


class ctkMessageBox(QMessageBox):
    """Slicer's own, with “Don't show again”."""

    dontShowAgain = kept(bool, False)
    dontShowAgainVisible = kept(bool, False)
    dontShowAgainSettingsKey = kept(str, "")


CTK_CLASSES = (
    ctkCollapsibleButton,
    ctkPathLineEdit,
    ctkDoubleSpinBox,
    ctkSliderWidget,
    ctkRangeWidget,
    ctkMessageBox,
)


def make_ctk() -> types.ModuleType:
    """Build the module ``ctk``."""
    ctk = types.ModuleType("ctk", "the CTK widgets that the tests need")
    for made in CTK_CLASSES:
        setattr(ctk, made.__name__, made)
    return ctk
