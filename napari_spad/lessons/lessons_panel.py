"""The section of the tab Correct in which the model learns from corrections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, Keys, named
from napari_spad.lessons.learning import Learning
from napari_spad.segment import SegmentPanel

__all__ = ["LessonsPanel"]

KEY = "K"
"""Free in the viewer and in all layers of napari 0.8 to 0.9; L is the picker of Labels."""
ABOUT = (
    "Teaches the model by the B-scans that you accepted and by what you painted, then segments "
    "all others anew, one undo step each. What is accepted or by hand stays. It takes seconds, "
    "in a process of its own"
)


class LessonsPanel(QWidget):
    """Learn, the box “learn as I accept”, what came of it, the way back.

    Parameters
    ----------
    desk : Desk
    form : SegmentPanel
    make_worker : callable
        Gives a `Worker`.
    """

    def __init__(self, desk: Desk, form: SegmentPanel, make_worker: Callable[[], Any]) -> None:
        super().__init__()
        self.desk = desk
        self.learning = Learning(desk, form, make_worker)
        self._make()
        self._lay_out()
        self.keys = Keys(desk.viewer)
        self.keys.bind(KEY, self.learning.learn)
        desk.busy_changed.connect(self.refresh)
        desk.result_changed.connect(self.refresh)
        self.learning.changed.connect(self.refresh)
        self.refresh()

    def _make(self) -> None:
        self.learn = named(QPushButton(f"Learn ({KEY})"), "learn")
        self.learn.setToolTip(ABOUT)
        self.learn.clicked.connect(self.learning.learn)
        self.back = named(QPushButton("Go back"), "learn_go_back")
        self.back.setToolTip("Take the model from before learning again, and segment with it")
        self.back.clicked.connect(self.learning.go_back)
        self.keep = named(QPushButton("Keep this model…"), "learn_keep")
        self.keep.setToolTip("Give it a name: for the next case, and to learn on")
        self.keep.clicked.connect(self._keep)
        self.as_i_accept = named(QCheckBox("learn as I accept"), "learn_as_i_accept")
        self.as_i_accept.setToolTip("A lesson follows each B-scan that you accept, as you work on")
        self.as_i_accept.setChecked(self.learning.as_i_accept)
        self.as_i_accept.toggled.connect(
            lambda on: self.desk.settings.setValue("learn_as_i_accept", on)
        )
        self.told = named(QLabel(), "learn_told")
        self.told.setWordWrap(True)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.learn, 1)
        first.addWidget(self.as_i_accept)
        second.addWidget(self.back, 1)
        second.addWidget(self.keep, 1)
        layout.addLayout(first)
        layout.addWidget(self.told)
        layout.addLayout(second)

    def refresh(self, _: Any = None) -> None:
        """Show what there is to say of the result at work."""
        result = self.desk.result
        free = result is not None and not self.desk.busy
        back = self.learning.can_go_back(result)
        self.learn.setEnabled(free)
        for button in (self.back, self.keep):
            button.setEnabled(free)
            button.setVisible(back)
        lines: list[str] = []
        hurts = False
        if result is not None:
            lessons = self.learning.lessons(result)
            hurts = lessons.drafts.hurts
            lines = [lessons.told[:1].upper() + lessons.told[1:], lessons.drafts.told]
            lines += ["Learning has not helped here: you may go back."] if hurts else []
        self.back.setText("Go back to the model before" if hurts else "Go back")
        self.told.setText("\n".join(line for line in lines if line))
        self.told.setVisible(any(lines))

    def _keep(self) -> None:
        text = "Its name in the list of models:"
        if said := self.learning.not_learnt():
            text = f"{said} Cancel and press K to learn from it all first.\n\n{text}"
        normal, name, why = QLineEdit.EchoMode.Normal, "", ""
        while True:  # what was typed stays, until it can be a name or the person gives up
            label = f"{why}\n\n{text}".lstrip()
            name, asked = QInputDialog.getText(self, "Keep this model", label, normal, name)
            if not asked or not (why := self.learning.keep(name)):
                return

    def disconnect_viewer(self) -> None:
        """Let go of the viewer, and end the process that learns."""
        self.keys.release()
        self.learning.disconnect_viewer()
