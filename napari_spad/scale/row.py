"""The scale beside the image: how large a pixel is, who says so, and the field to say otherwise.

And the switch that draws B-scans true or stretched.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, Number, named, setting, worded
from napari_spad.scale.image_facts import Facts

__all__ = ["ScaleRow"]

LARGEST_UM = 10_000.0
AXES = {"column": "Columns", "row": "Rows", "bscan": "B-scans"}
SINGLE = ", distance of the B-scans unknown"
SLANTED = "no mm: a transform slants or stretches the pixels"
STRETCHED = "stretched"


class ScaleRow(QWidget):
    """The scale of the image at work.

    Parameters
    ----------
    desk : Desk
        Remembers whether B-scans are drawn stretched.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.facts: Facts | None = None
        self._build()
        self.stretch.setChecked(setting(desk.settings, STRETCHED, False))
        self.edit.toggled.connect(self._on_edit)
        self.use.clicked.connect(self._on_use)
        self.opened.clicked.connect(self._on_opened)
        self.stretch.toggled.connect(self._on_stretch)

    def _build(self) -> None:
        self.text = named(QLabel(), "scale")
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignVCenter)
        self.edit = named(QToolButton(), "type_scale")
        self.edit.setText("✎")
        self.edit.setCheckable(True)
        self.edit.setToolTip("Type the scale, where the file says none or a wrong one")
        self.stretch = named(QToolButton(), "stretched")
        self.stretch.setText("⇕")
        self.stretch.setCheckable(True)
        self.stretch.setToolTip(
            "Stretched: draw pixels as squares, so that flat B-scans fill the canvas. Changes the "
            "view alone: brush, scale and numbers stay in true mm"
        )
        self.setStyleSheet("QToolButton:checked { border: 1px solid #56b4e9; }")
        line = QHBoxLayout()
        line.setSpacing(2)
        line.addWidget(self.text, 1)
        line.addWidget(self.edit)
        line.addWidget(self.stretch)
        self.fields: dict[str, Number] = {}
        self.editor = named(QWidget(), "scale_editor")
        grid = QGridLayout(self.editor)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        for column, (axis, title) in enumerate(AXES.items()):
            field = worded(named(Number(), f"scale_{axis}"), "unknown")
            field.setRange(0, LARGEST_UM)
            field.setDecimals(3)
            field.setMinimumWidth(40)
            field.setToolTip(f"Distance of neighbouring {title}, in µm; 0 is unknown")
            grid.addWidget(QLabel(f"{title}, µm"), 0, column)
            grid.addWidget(field, 1, column)
            self.fields[axis] = field
        self.use = named(QPushButton("Use"), "use_scale")
        self.opened = named(QPushButton("As opened"), "scale_as_opened")
        self.opened.setToolTip("Forget what was typed")
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.opened)
        buttons.addWidget(self.use)
        grid.addLayout(buttons, 2, 0, 1, 3)
        self.editor.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 0)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(self.editor)

    def showEvent(self, event: Any) -> None:
        """Keep two lines for the scale, in the font that napari's style gives."""
        super().showEvent(event)
        self.text.setFixedHeight(2 * self.text.fontMetrics().lineSpacing() + 1)

    def follow(self, facts: Facts | None) -> None:
        """Show the scale of this image."""
        if self.facts is not None:
            for event in self._placing():
                event.disconnect(self.refresh)
        self.facts = facts
        if facts is not None:
            for event in self._placing():
                event.connect(self.refresh)
        self.edit.setChecked(False)
        self.setVisible(facts is not None)
        self.refresh()

    def _placing(self) -> tuple[Any, ...]:
        """Events that tell of another size of a pixel."""
        assert self.facts is not None  # noqa: S101 - callers have looked
        events = self.facts.image.events
        return (events.scale, events.affine, events.shear)

    def refresh(self, _event: Any = None) -> None:
        """Show what is known now."""
        if self.facts is None:
            self.desk.framing.draw_stretched(1.0)
            return
        scale, single = self.facts.scale, self.facts.shape[0] == 1
        words = scale.words if self.facts.straight else SLANTED
        self.edit.setEnabled(self.facts.straight)
        self.text.setText(words.removesuffix(SINGLE) if single else words)
        self.text.setToolTip("\n".join((words, *scale.doubts)))
        for axis, field in self.fields.items():
            field.setValue((getattr(scale, axis).mm or 0) * 1000)
        self.fields["bscan"].setEnabled(not single)
        self.opened.setEnabled(self.facts.typed)
        square = self._square
        self.stretch.setVisible(square != 1)
        self.desk.framing.draw_stretched(square if self.stretch.isChecked() else 1.0)

    @property
    def _square(self) -> float:
        """How much taller than true rows are where pixels are drawn as squares."""
        if self.facts is None:
            return 1.0
        row, column = (abs(float(s)) or 1.0 for s in self.facts.image.scale[-2:])
        return column / row

    def _on_edit(self, on: bool) -> None:
        self.editor.setVisible(on)

    def _on_use(self) -> None:
        if self.facts is None:
            return
        typed: dict[str, float | None] = {}
        for axis, field in self.fields.items():
            field.interpretText()  # what was typed and not yet left
            before = round((getattr(self.facts.scale, axis).mm or 0) * 1000, field.decimals())
            if field.value() != before:
                typed[axis] = field.value() / 1000 or None
        if typed:
            self.facts.type_scale(typed)
            self._after()
        self.edit.setChecked(False)

    def _on_opened(self) -> None:
        if self.facts is not None and self.facts.typed:
            self.facts.as_opened()
            self._after()
        self.edit.setChecked(False)

    def _after(self) -> None:
        self.refresh()
        self.desk.viewer.reset_view()
        self.desk.say(f"Scale: {self.text.text()}.")

    def _on_stretch(self, on: Any) -> None:
        self.desk.settings.setValue(STRETCHED, bool(on))
        self.refresh()
