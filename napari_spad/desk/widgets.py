"""What panels do to Qt widgets: names for tests, widths, tight forms."""

from __future__ import annotations

from html import escape
from typing import TypeVar

from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_spad.desk.settings import setting

__all__ = ["Fold", "form_layout", "link", "named", "narrow"]
W = TypeVar("W", bound=QWidget)


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
