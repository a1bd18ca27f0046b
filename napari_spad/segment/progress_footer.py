"""The lower edge of the dock: what it is doing, how long it will take, Cancel."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, named
from spad.annotation import RunProgress, duration

__all__ = ["Footer"]


class Footer(QWidget):
    """Status line, progress and Cancel, seen whatever panel is open.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.cancel_button = named(QPushButton("Cancel"), "cancel")
        self.cancel_button.setToolTip("End the run after its current step")
        self.cancel_button.hide()
        self.bar = named(QProgressBar(), "progress")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # so that nothing jumps when a run begins
        self.bar.setSizePolicy(policy)
        self.bar.hide()
        self.status = named(QLabel(), "status")
        self.status.setWordWrap(True)
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        row = QHBoxLayout()
        row.addWidget(self.status, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 0)
        layout.setSpacing(2)
        layout.addWidget(self.bar)
        layout.addLayout(row)
        self.cancel_button.clicked.connect(desk.cancel)
        desk.said.connect(self.say)
        desk.progressed.connect(self.show_progress)
        desk.busy_changed.connect(self.show_running)
        self._desk = desk

    def say(self, text: str) -> None:
        """Put this into the status line."""
        self.status.setText(text)
        self.cancel_button.setEnabled(not self._desk.cancelling)

    def show_running(self, running: bool) -> None:
        """Show progress and Cancel, or hide them."""
        self.cancel_button.setEnabled(running)
        self.cancel_button.setVisible(running)
        self.bar.setRange(0, 0)
        self.bar.setVisible(running)

    def show_progress(self, at: RunProgress) -> None:
        """Show how far a run is, and how long it will take."""
        self.bar.setRange(0, at.total)
        self.bar.setValue(at.done)
        alone = "learning" if at.unit == "step" else "sampling"
        what = f"{at.number} of {at.count} {at.unit}s" if at.count > 1 else alone
        self.say(f"{what}, {duration(at.seconds_left)} left")
