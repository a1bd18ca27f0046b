"""The panel “Correct”: sample anew around edits, flip through alternatives, carry to neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_spad.correct.alternatives import Alternatives
from napari_spad.correct.around_edits import Resampling
from napari_spad.correct.filling import Filling
from napari_spad.desk import UNDO_HERE, Desk, Keys, named, setting
from napari_spad.segment import SegmentPanel

__all__ = ["CorrectPanel"]

SCOPES = {
    "B-scan": ("B-scan", "Sample the whole B-scan anew; pixels by hand stay"),
    "doubtful": ("unsure", "Only where the samples disagreed, and a margin around it"),
    "rectangle": ("rectangle", "Only inside the rectangle; draw it with the button beside"),
}


class CorrectPanel(QWidget):
    """What a person does after painting a stroke.

    Parameters
    ----------
    desk : Desk
    form : SegmentPanel
    """

    def __init__(self, desk: Desk, form: SegmentPanel) -> None:
        super().__init__()
        self.desk = desk
        self.resampling = Resampling(desk, form)
        self.filling = Filling(desk, self.resampling)
        self.alternatives = Alternatives(desk)
        self._build()
        self.keys = Keys(desk.viewer)
        for key, function in (
            ("R", self.sample_anew),
            (".", lambda: self.alternatives.flip(1, under_pointer=True)),
            (",", lambda: self.alternatives.flip(-1, under_pointer=True)),
            ("T", self.alternatives.take),
            ("O", lambda: self.resampling.onward(1, follow=True)),
            ("G", self.filling.fill),
            ("Shift-G", lambda: self.filling.fill(everywhere=True)),
            (UNDO_HERE, desk.undo_here),
        ):
            self.keys.bind(key, function)
        desk.busy_changed.connect(self._enable)
        desk.result_changed.connect(self._enable)
        desk.edited.connect(self._count)
        desk.written.connect(self._count)
        desk.viewer.dims.events.current_step.connect(self._count)
        self._enable()

    def _build(self) -> None:
        self.count = named(QLabel(), "by_hand_count")
        self.count.setWordWrap(True)
        self.again = named(QPushButton("Sample anew around my edits (R)"), "sample_anew")
        self.again.setToolTip(
            "Runs the model again with your pixels held; it tells what looks alike nearby"
        )
        self.again.clicked.connect(self.sample_anew)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self.count)
        layout.addWidget(self.again)
        layout.addLayout(self._scope_row())
        layout.addWidget(_line())
        layout.addWidget(QLabel("Alternatives among the samples"))
        layout.addLayout(self._alternatives_row())
        layout.addWidget(_line())
        layout.addLayout(self._carry_row())
        layout.addLayout(self._fill_row())
        layout.addStretch(1)
        self._sections = layout

    def _scope_row(self) -> QHBoxLayout:
        chosen = setting(self.desk.settings, "scope", "B-scan")
        self.scope = chosen if chosen in SCOPES else "B-scan"
        self.scopes: dict[str, QRadioButton] = {}
        row = QHBoxLayout()
        row.setSpacing(4)
        for key, (text, tip) in SCOPES.items():
            scope = named(QRadioButton(text), f"scope_{key}")
            scope.setToolTip(tip)
            scope.setChecked(key == self.scope)
            scope.clicked.connect(lambda _on, key=key: self._choose(key))
            row.addWidget(scope)
            self.scopes[key] = scope
        self.draw = _tool_button("▭", "draw_rectangle", "Draw the rectangle")
        self.draw.clicked.connect(self._draw_rectangle)
        row.addWidget(self.draw)
        row.addStretch(1)
        return row

    def _alternatives_row(self) -> QGridLayout:
        self.smaller = named(QPushButton("Smaller (,)"), "alternative_smaller")
        self.larger = named(QPushButton("Larger (.)"), "alternative_larger")
        self.take = named(QPushButton("Take (T)"), "alternative_take")
        for button in (self.smaller, self.larger):
            button.setToolTip(
                "What other samples say of the selected structure; by key, of the part under the "
                "mouse"
            )
        self.take.setToolTip("Put the outlined alternative into the labels")
        self.smaller.clicked.connect(lambda: self.alternatives.flip(-1, under_pointer=False))
        self.larger.clicked.connect(lambda: self.alternatives.flip(1, under_pointer=False))
        self.take.clicked.connect(self.alternatives.take)
        row = QGridLayout()
        for column, flip in enumerate((self.smaller, self.larger, self.take)):
            row.addWidget(flip, 0, column)
        return row

    def _carry_row(self) -> QHBoxLayout:
        self.next = named(QPushButton("Carry to next (O)"), "carry_next")
        self.next.setToolTip(
            "Restart the next B-scan from this one's labels, and go there. Its own pixels by hand "
            "stay. Each B-scan is one undo step"
        )
        self.many = named(QSpinBox(), "carry_count")
        self.many.setRange(1, 999)
        self.many.setValue(3)
        self.many.setMaximumWidth(70)
        self.many.setToolTip("How many neighbours the arrows carry to")
        self.back = _tool_button("←", "carry_back", "Carry to that many B-scans before")
        self.forth = _tool_button("→", "carry_forth", "Carry to that many B-scans after")
        self.next.clicked.connect(lambda: self.resampling.onward(1, follow=True))
        self.back.clicked.connect(lambda: self.resampling.onward(-self.many.value()))
        self.forth.clicked.connect(lambda: self.resampling.onward(self.many.value()))
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.next, 1)
        for widget in (self.back, self.many, self.forth):
            row.addWidget(widget)
        return row

    def _fill_row(self) -> QHBoxLayout:
        self.fill = named(QPushButton("Fill gap here (G)"), "fill_between")
        self.fill.setToolTip(
            "Proposes the B-scans between the accepted ones on either side, by their shapes and by "
            "what the model sees. Each is one undo step; what is accepted or by hand stays"
        )
        self.fill_all = named(QPushButton("All gaps (Shift+G)"), "fill_all")
        self.fill_all.setToolTip("The same between all accepted B-scans of the stack")
        self.fill.clicked.connect(lambda: self.filling.fill())
        self.fill_all.clicked.connect(lambda: self.filling.fill(everywhere=True))
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.fill, self.fill_all):
            row.addWidget(button, 1)
        return row

    def add_section(self, section: QWidget, *, titled: bool = False) -> None:
        """Put another panel's section below the others; a rule parts it, where no title does."""
        for widget in (section,) if titled else (_line(), section):
            self._sections.insertWidget(self._sections.count() - 1, widget)

    def sample_anew(self) -> None:
        """Do so in the scope that is chosen."""
        self.resampling.around_edits(self.scope)

    def _choose(self, scope: str) -> None:
        self.scope = scope
        if scope != "rectangle":  # which would not be there the next time
            self.desk.settings.setValue("scope", scope)

    def _draw_rectangle(self) -> None:
        self.scopes["rectangle"].setChecked(True)
        self._choose("rectangle")
        self.resampling.draw_rectangle()

    def _enable(self, _: Any = None) -> None:
        free = self.desk.result is not None and not self.desk.busy
        stack = free and self.desk.result is not None and self.desk.result.layer.ndim > 2
        for widget in (self.again, self.draw, self.smaller, self.larger, self.take):
            widget.setEnabled(free)
        for carry in (self.next, self.back, self.many, self.forth, self.fill, self.fill_all):
            carry.setEnabled(bool(stack))
        self._count()

    def _count(self, *_: Any) -> None:
        result = self.desk.result
        if result is None:
            self.count.setText("Segment an image first; then paint where it is wrong.")
            return
        painted = int(np.count_nonzero(result.painted(result.part(self.desk.place(result)))))
        self.count.setText(
            f"{painted:,} px by hand in this B-scan (outlined)."
            if painted
            else "The model never changes what you paint."
        )

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.keys.release()
        self.alternatives.disconnect_viewer()
        self.desk.viewer.dims.events.current_step.disconnect(self._count)


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Sunken)
    line.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    return line


def _tool_button(text: str, name: str, tip: str) -> QToolButton:
    button = named(QToolButton(), name)
    button.setText(text)
    button.setToolTip(tip)
    return button
