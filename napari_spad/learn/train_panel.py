"""The panel “Train”: corrections into a training set, a tuned model, many images at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_spad.desk import Desk
from napari_spad.learn.batch import Choices
from napari_spad.learn.batch_panel import BatchPanel
from napari_spad.learn.fine_tuning import FineTune
from napari_spad.learn.training_set import TrainingSet

__all__ = ["TrainingPanel"]


class TrainingPanel(QWidget):
    """Training set, Fine-tune, Batch.

    Parameters
    ----------
    desk : Desk
    """

    checkpoint_ready = Signal(object)
    """The user wants to work with this new checkpoint (a Path)."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._form: Any = None
        self.cases = TrainingSet(desk)
        self.fine_tune = FineTune(
            desk, self._checkpoint, lambda: self.cases.folder.path, self._device
        )
        self.batch = BatchPanel(desk, self._choices)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        for title, section in (
            ("Training set", self.cases),
            ("Fine-tune", self.fine_tune),
            ("Batch", self.batch),
        ):
            if section is not self.cases:
                rule = QFrame()
                rule.setFrameShape(QFrame.Shape.HLine)
                layout.addWidget(rule)
            layout.addWidget(QLabel(f"<b>{title}</b>"))
            layout.addWidget(section)
        layout.addStretch(1)
        self.cases.folder.changed.connect(self.fine_tune.refresh)
        self.cases.written.connect(lambda _: self.fine_tune.refresh())
        self.fine_tune.checkpoint_ready.connect(self.checkpoint_ready)

    def follow(self, form: Any) -> None:
        """Take the model and its settings from the tab Segment, and give new models to it.

        Parameters
        ----------
        form : SegmentPanel
        """
        self._form = form
        form.checkpoint.path_changed.connect(self.fine_tune.refresh)
        self.checkpoint_ready.connect(form.checkpoint.choose)
        self.fine_tune.refresh()

    def _checkpoint(self) -> Path | None:
        return None if self._form is None else self._form.checkpoint.path

    def _device(self) -> str:
        return "auto" if self._form is None else self._form.model.local_device

    def _choices(self) -> Choices:
        path = self._checkpoint()
        if path is None:
            raise ValueError("Choose a checkpoint first: “Browse…” in the list of models")
        form = self._form
        return Choices(
            path,
            form.model.device,
            form.samples.value(),
            form.steps.value() or None,
            form.seed.value(),
        )

    def disconnect_viewer(self) -> None:
        """Listen no more; a fine-tuning goes on by itself."""
        self.fine_tune.close_down()
        self.cases.cancel()
