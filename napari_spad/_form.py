"""The upper half of the dock: what to segment with what, the button, and what it is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QSettings, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
)

from napari_spad._choose import CheckpointCombo, LayerCombo, named, narrow
from napari_spad._run import Engine, Progress, Request, explain
from napari_spad._source import open_source

__all__ = ["SegmentForm", "form_layout"]

HINT = (
    "Open an image (<b>File › Open</b>), or start with the "
    '<a href="sample" style="color: #4c9aff">phantom OCT stack</a>. Then press Segment.'
)


class SegmentForm(QGroupBox):
    """Choices, Segment and Cancel, progress, status.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    engine : Engine
    settings : QSettings
        The choices are kept there.
    """

    failed = Signal(str)
    sample_asked = Signal()

    def __init__(self, viewer: ViewerModel, engine: Engine, settings: QSettings) -> None:
        super().__init__("Segmentation")
        self.viewer, self.engine, self.settings = viewer, engine, settings
        self.running = False
        self._make_choices()
        self._make_controls()
        self._lay_out()
        self.device.activated.connect(
            lambda: settings.setValue("device", self.device.currentData())
        )
        self.samples.valueChanged.connect(lambda n: settings.setValue("samples", n))
        self.whole.toggled.connect(lambda on: settings.setValue("whole_stack", on))
        self.checkpoint.path_changed.connect(self.read_card)
        self.image.layer_changed.connect(self._on_image)
        self.status.linkActivated.connect(lambda _: self.sample_asked.emit())

    # ------------------------------------------------------------------ what it looks like

    def _make_choices(self) -> None:
        self.checkpoint = CheckpointCombo(dict(self.engine.shipped()), self.settings)
        self.checkpoint.setObjectName("checkpoint")
        self.card_button = named(QPushButton("Card"), "card_button")
        self.card_button.setToolTip("What the model is, what it was trained on, how well it does")
        self.card_button.setCheckable(True)
        self.card = named(QLabel(), "card")
        self.card.setWordWrap(True)
        self.card.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.card.setTextFormat(Qt.TextFormat.PlainText)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.card_area = QScrollArea()
        self.card_area.setWidgetResizable(True)
        self.card_area.setWidget(self.card)
        self.card_area.setMaximumHeight(180)
        self.card_area.setFrameShape(QFrame.Shape.NoFrame)
        self.card_area.hide()
        self.card_button.toggled.connect(self.card_area.setVisible)
        self.device = narrow(named(QComboBox(), "device"))
        self.device.addItem("auto", "auto")
        self.device.setToolTip("Where the model runs; “auto” takes the fastest there is")
        self.image = LayerCombo(self.viewer, _is_image, "no image yet")
        self.image.setObjectName("image")
        self.one = named(QRadioButton("This B-scan"), "this_bscan")
        self.whole = named(QRadioButton("Whole stack"), "whole_stack")
        self.one.setChecked(True)
        self._scope = QButtonGroup(self)
        self._scope.addButton(self.one)
        self._scope.addButton(self.whole)
        self.samples = _spin("samples", 1, 64)
        self.samples.setToolTip(
            "Chains of the ensemble: more give a steadier vote and a finer uncertainty, "
            "and take longer"
        )
        self.steps = _spin("steps", 0, 4000)
        self.steps.setSpecialValueText("auto")
        self.steps.setToolTip("Reverse steps of a chain; “auto” takes as many as the card says")
        self.seed = _spin("seed", 0, 2**31 - 1)
        self.seed.setToolTip("The same seed gives the same segmentation")

    def _make_controls(self) -> None:
        self.button = named(QPushButton("Segment"), "segment")
        self.button.setStyleSheet("QPushButton { font-weight: bold; padding: 6px; }")
        self.cancel_button = named(QPushButton("Cancel"), "cancel")
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

    def _lay_out(self) -> None:
        model, scope, buttons = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        model.addWidget(self.checkpoint, 1)
        model.addWidget(self.card_button)
        scope.addWidget(self.one)
        scope.addWidget(self.whole)
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.cancel_button)
        numbers = QGridLayout()
        numbers.setVerticalSpacing(1)
        for column, (text, box) in enumerate(
            (("Samples", self.samples), ("Steps", self.steps), ("Seed", self.seed))
        ):
            numbers.addWidget(QLabel(text), 0, column)
            numbers.addWidget(box, 1, column)
        form = form_layout()
        form.addRow("Model", model)
        form.addRow(self.card_area)
        form.addRow("Device", self.device)
        form.addRow("Image", self.image)
        form.addRow("Segment", scope)
        form.addRow(numbers)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)

    # ------------------------------------------------------------------ choices

    def restore(self) -> None:
        """Take up the card's settings, then the user's last ones."""
        self.read_card()
        self.samples.setValue(int(str(self.settings.value("samples", self.samples.value()))))
        self.whole.setChecked(bool(self.settings.value("whole_stack", False, bool)))

    def read_card(self, path: Path | None = None) -> None:
        """Show the chosen checkpoint's card and take over its settings."""
        path = path or self.checkpoint.path
        if path is None:
            self.card.setText("No checkpoint comes with this version: choose one (“Browse…”).")
            return
        try:
            card = self.engine.read_card(path)
        except (ValueError, OSError) as error:
            self.card.setText(explain(error))
            self.failed.emit(explain(error))
            return
        self.card.setText(card.text())
        self.card_button.setToolTip(card.text())
        with QSignalBlocker(self.samples):  # the card's choice is not the user's
            self.samples.setValue(card.sampling.samples)
        self.steps.setSpecialValueText(f"auto ({card.sampling.steps})")

    def set_devices(self, devices: list[str]) -> None:
        """Offer the devices of this machine, the one that “auto” takes first."""
        self.device.setItemText(0, f"auto ({devices[0]})" if devices else "auto")
        for name in devices:
            self.device.addItem(name, name)
        chosen = self.device.findData(self.settings.value("device", "auto", str))
        self.device.setCurrentIndex(max(chosen, 0))

    def request(self) -> Request:
        """Gather the choices.

        Raises
        ------
        ValueError
            With what to do first.
        """
        layer, path = self.image.layer, self.checkpoint.path
        if path is None:
            raise ValueError("Choose a checkpoint first: “Browse…” in the list of models")
        if layer is None:
            raise ValueError("Open an image first: File › Open, or File › Open Sample › SPAD")
        whole = layer.ndim == 2 or self.whole.isChecked()
        return Request(
            checkpoint=path,
            device=self.device.currentData(),
            source=open_source(layer, self.viewer, whole_stack=whole),
            samples=self.samples.value(),
            steps=self.steps.value() or None,
            seed=self.seed.value(),
            into_result=not whole,
        )

    def _on_image(self, layer: Image | None) -> None:
        stack = layer is not None and layer.ndim > 2
        self.one.setEnabled(stack)
        self.whole.setEnabled(stack)
        if not self.running:
            self.button.setEnabled(layer is not None)
            self.say_ready()

    # ------------------------------------------------------------------ what it is doing

    def say(self, text: str) -> None:
        """Put this into the status line."""
        self.status.setText(text)

    def say_ready(self) -> None:
        """Say what is at hand, or what to do first."""
        layer = self.image.layer
        if layer is None:
            self.say(HINT)
            return
        shape = layer.data[0].shape if layer.multiscale else layer.data.shape
        self.say(f"Ready: {' × '.join(map(str, shape[: layer.ndim]))} pixels.")

    def show_running(self, running: bool) -> None:
        """Swap Segment for progress and Cancel, or back."""
        self.running = running
        self.button.setEnabled(not running and self.image.layer is not None)
        self.cancel_button.setEnabled(running)
        self.cancel_button.setVisible(running)
        self.bar.setRange(0, 0)
        self.bar.setVisible(running)

    def show_progress(self, at: Progress) -> None:
        """Show how far a run is, and how long it will take."""
        self.bar.setRange(0, at.total)
        self.bar.setValue(at.done)
        what = f"B-scan {at.bscan} of {at.bscans}" if at.bscans > 1 else "sampling"
        left = at.seconds_left
        self.say(
            f"{what}, {left:.0f} s left" if left < 100 else f"{what}, {left / 60:.0f} min left"
        )


def form_layout() -> QFormLayout:
    """Return a tight form whose fields take the width there is."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return form


def _spin(name: str, low: int, high: int) -> QSpinBox:
    box = named(QSpinBox(), name)
    box.setRange(low, high)
    box.setMinimumWidth(40)
    return box


def _is_image(layer: Any) -> bool:
    return isinstance(layer, Image) and "spad" not in layer.metadata  # not our uncertainty
