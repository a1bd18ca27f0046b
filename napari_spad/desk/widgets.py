"""What panels do to Qt widgets: names for tests, widths, tight forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QSizePolicy,
    QWidget,
)

if TYPE_CHECKING:
    pass

__all__ = ["form_layout", "named", "narrow"]
W = TypeVar("W", bound=QWidget)


def form_layout() -> QFormLayout:
    """Return a tight form whose fields take the width there is."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return form


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
