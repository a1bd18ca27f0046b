"""The list of anatomical findings in the B-scan on screen; a click goes there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_spad.desk import Desk, FunctionWorker, Result, named, other_data
from napari_spad.layers import segmented, spacing_mm

__all__ = ["FindingsPanel"]

PAUSE_MS = 250
"""The label map is looked over when nobody painted for so long."""
ROWS = 4
"""Of the list, before it scrolls."""
MOST = 100
"""Findings listed; a label map with more has other troubles."""


class FindingsPanel(QWidget):
    """What is unusual in the B-scan on screen. It suggests and changes nothing.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.title = named(QLabel(), "checks_title")
        self.title.setWordWrap(True)
        self.list = named(QListWidget(), "findings")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay with the canvas
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.itemClicked.connect(self._on_click)
        self.list.setUniformItemSizes(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.title)
        layout.addWidget(self.list)
        self._turn = 0
        self._worker: Any = None
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._look)
        desk.edited.connect(self._on_edited)
        desk.written.connect(self._on_edited)
        desk.result_changed.connect(self.look_again)
        desk.viewer.dims.events.current_step.connect(self.look_again)
        self.look_again()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._turn += 1
        self._pause.stop()
        self.desk.viewer.dims.events.current_step.disconnect(self.look_again)

    def _on_edited(self, result: Result, _what: Any = None) -> None:
        if result is self.desk.result:
            self.look_again()

    def look_again(self, _event: Any = None) -> None:
        """Look the B-scan on screen over after a pause."""
        self._turn += 1  # what is being looked over is out of date
        self._pause.start()

    def _look(self) -> None:
        result = self.desk.result
        if result is None or other_data(result):
            self._say("")
            return
        place = self.desk.place(result)
        if place not in (segmented(result.layer) or ()):
            self._say("Checks: this B-scan is not segmented yet.")
            return
        labels = np.array(result.layer.data[place])  # a copy: strokes go on meanwhile
        spacing = spacing_mm(result.layer, 2)
        self._worker = FunctionWorker(
            _checked, labels, result.classes, spacing, (self._turn, result, place)
        )
        self._worker.returned.connect(self._on_checked)
        self._worker.errored.connect(self.desk.fail)
        self._worker.start()

    def _on_checked(self, answer: tuple[Any, tuple[int, Result, tuple[int, ...]]]) -> None:
        findings, (turn, result, place) = answer
        if turn != self._turn:
            return
        count = len(findings)
        self._say(
            f"Checks: {count} finding{'s' if count > 1 else ''}; a click goes there."
            if count
            else "Checks: no findings in this B-scan."
        )
        spacing = spacing_mm(result.layer, 2)
        for finding in findings[:MOST]:
            size = f"{finding.pixels} px"
            if spacing is not None:
                size = f"{_area(finding.pixels * math.prod(spacing))}, {size}"
            item = QListWidgetItem(f"{finding.text} ({size})")
            item.setToolTip(
                f"{item.text()} at row {finding.row}, column {finding.column}. "
                "A suggestion: nothing is changed."
            )
            item.setData(Qt.ItemDataRole.UserRole, (result, place, finding))
            self.list.addItem(item)
        if count > MOST:
            self.list.addItem(f"… and {count - MOST} more")
        self.list.setVisible(count > 0)
        rows = min(self.list.count(), ROWS)
        self.list.setFixedHeight(rows * max(self.list.sizeHintForRow(0), 1) + 6)

    def _say(self, text: str) -> None:
        self.list.clear()
        self.list.hide()
        self.title.setText(text)

    def _on_click(self, item: QListWidgetItem) -> None:
        if (held := item.data(Qt.ItemDataRole.UserRole)) is None:
            return
        result, place, finding = held
        if result in self.desk.results:
            self.desk.go_to(result.layer, place, (finding.row, finding.column))


def _checked(labels: Any, classes: Any, spacing: Any, ticket: Any) -> Any:
    from spad.annotation import checks

    return checks(labels, classes, spacing_mm=spacing), ticket


def _area(mm2: float) -> str:
    return f"{mm2:.4f} mm²" if mm2 < 0.01 else f"{mm2:.3f} mm²"
