"""The panel “Segment”: what to segment with what, and the button."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import (
    Desk,
    Edits,
    LayerCombo,
    Question,
    Request,
    Result,
    form_layout,
    link,
    named,
    setting,
    worded,
)
from napari_spad.layers import (
    Source,
    as_bscans,
    as_colours,
    is_image,
    level_0,
    may_be_colours,
    open_source,
    turned_view,
)
from napari_spad.segment.model_panel import ModelPanel

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["SegmentPanel"]

HINT = (
    "Open an image (<b>File › Open</b>), or start with the "
    f"{link('phantom OCT stack', 'sample')}. Then press Segment."
)


class SegmentPanel(QWidget):
    """The choices, and Segment.

    Parameters
    ----------
    desk : Desk
        The choices are kept in its settings.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.viewer, self.engine, self.settings = desk.viewer, desk.engine, desk.settings
        self.model = ModelPanel(desk)
        self.checkpoint, self.device = self.model.checkpoints, self.model.devices
        self._make_choices()
        self._make_button()
        self._lay_out()
        self.samples.valueChanged.connect(lambda n: self.settings.setValue("samples", n))
        self.whole.toggled.connect(lambda on: self.settings.setValue("whole_stack", on))
        self.model.card_changed.connect(self._take_settings)
        self.image.layer_changed.connect(self._on_image)
        desk.busy_changed.connect(self._on_busy)
        self._on_busy(False)

    # ------------------------------------------------------------------ what it looks like

    def _make_choices(self) -> None:
        self.image = LayerCombo(self.viewer, is_image, "no image yet", follows=self._image_of)
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
        worded(self.steps, "auto")
        self.steps.setToolTip("Reverse steps of a chain; “auto” takes as many as the card says")
        self.seed = _spin("seed", 0, 2**31 - 1)
        self.seed.setToolTip("The same seed gives the same segmentation")

    def _make_button(self) -> None:
        self.question = Question("planes_question")
        self.button = named(QPushButton("Segment"), "segment")
        self.button.setStyleSheet("QPushButton { font-weight: bold; padding: 6px; }")

    def _lay_out(self) -> None:
        scope = QHBoxLayout()
        scope.addWidget(self.one)
        scope.addWidget(self.whole)
        numbers = QGridLayout()
        numbers.setVerticalSpacing(1)
        for column, (text, box) in enumerate(
            (("Samples", self.samples), ("Steps", self.steps), ("Seed", self.seed))
        ):
            numbers.addWidget(QLabel(text), 0, column)
            numbers.addWidget(box, 1, column)
        form = form_layout()
        self.model.add_rows(form)
        form.addRow("Image", self.image)
        form.addRow("Segment", scope)
        form.addRow(numbers)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self.question)
        layout.addWidget(self.button)
        layout.addStretch(1)

    # ------------------------------------------------------------------ choices

    def restore(self) -> None:
        """Take up the card's settings, then the user's last ones."""
        self._propose_model(self.image.layer)
        self.model.show_card()
        self.samples.setValue(setting(self.settings, "samples", self.samples.value()))
        self.whole.setChecked(setting(self.settings, "whole_stack", False))

    def _take_settings(self, card: Any) -> None:
        with QSignalBlocker(self.samples):  # the card's choice is not the user's
            self.samples.setValue(card.sampling.samples)
        worded(self.steps, f"auto ({card.sampling.steps})")

    def request(self) -> Request:
        """Gather the choices.

        Raises
        ------
        ValueError
            With what to do first.
        """
        layer = self.image.layer
        if layer is None:
            raise ValueError("Open an image first: File › Open, or File › Open Sample › SPAD")
        whole = layer.ndim == 2 or self.whole.isChecked()
        if not whole and (why := turned_view(self.viewer)):
            raise ValueError(why)
        source = open_source(layer, self.viewer, whole_stack=whole)
        return self._request(source, into_result=not whole)

    def request_for(self, result: Result, edits: Edits, *, onward: bool = False) -> Request:
        """Gather the choices for sampling some B-scans of a result anew, in the order of `edits`.

        Raises
        ------
        ValueError
            The image or the model does not fit the result any more.
        """
        from spad.annotation import refuse_other_structures

        source = result.open_image()
        request = self._request(source, edits=edits, onward=onward)
        theirs = self.engine.read_card(request.checkpoint).classes
        model = f"the model “{request.checkpoint.stem}”"
        refuse_other_structures(
            result.layer.name, result.classes, theirs, model=model, learn="Learn (K)"
        )
        parts = {part.index: part for part in source.parts}
        source.parts = tuple(parts[index] for index in edits)
        return request

    def _request(self, source: Source, **options: Any) -> Request:
        checkpoint = self.model.checkpoint
        if checkpoint is None:
            raise ValueError("Choose a checkpoint first: “Browse…” in the list of models")
        if not checkpoint.is_file():
            raise ValueError(f"The model {checkpoint} is gone: choose another one")
        return Request(checkpoint=checkpoint, source=source, **self.choices(), **options)

    def choices(self) -> dict[str, Any]:
        """Device, samples, steps and seed, as a `Request` takes them."""
        return {
            "device": self.model.device,
            "samples": self.samples.value(),
            "steps": self.steps.value() or None,
            "seed": self.seed.value(),
        }

    def use(self, checkpoint: Path, *, instead_of: Path | None = None) -> None:
        """Choose a model that has learnt; the samples stay as they are.

        Parameters
        ----------
        checkpoint : Path
        instead_of : Path, optional
            A file that leaves the list.
        """
        samples = self.samples.value()
        self.checkpoint.choose(checkpoint, instead_of=instead_of)
        with QSignalBlocker(self.samples):
            self.samples.setValue(samples)

    def _image_of(self, active: Any) -> Any:
        """The image that an active layer stands for: itself, or that of its result."""
        result = self.desk.result_of(active)
        if result is None:
            return active
        return None if result.coming_up else result.image

    def _on_image(self, layer: Image | None) -> None:
        stack = layer is not None and layer.ndim > 2
        self.one.setEnabled(stack)
        self.whole.setEnabled(stack)
        self._ask_of_planes(layer)
        if not self.desk.busy:
            self._propose_model(layer)
            self.button.setEnabled(layer is not None)
            self.say_ready()

    def _propose_model(self, layer: Image | None) -> None:
        """Propose the model that an image is for: phantoms mean nothing to one for real B-scans."""
        if layer is not None:
            self.checkpoint.propose(layer.metadata.get("model"))

    def _ask_of_planes(self, layer: Image | None) -> None:
        """Ask whether 3 or 4 planes are B-scans or colours, where nothing says it."""
        if layer is None or not may_be_colours(layer):
            self.question.hide()
            return
        self.question.ask(
            f"“{layer.name}” has {level_0(layer).shape[-3]} planes: B-scans of a stack, or the "
            "colours of one picture?",
            {
                "B-scans": lambda: as_bscans(layer),
                "Colours": lambda: self._make_colours(layer),
            },
        )

    def _make_colours(self, layer: Image) -> None:
        if layer in self.viewer.layers and not self.desk.busy:
            as_colours(layer, self.viewer)

    def say_ready(self) -> None:
        """Say what is at hand, or what to do first."""
        layer = self.image.layer
        if layer is None:
            self.desk.say(HINT)
            return
        shape = layer.data[0].shape if layer.multiscale else layer.data.shape
        *stack, height, width = map(str, shape[: layer.ndim])
        many = "s" * (stack != ["1"])
        bscans = f"{' × '.join(stack)} B-scan{many} of " if stack else ""
        named = f"“{layer.name}”, " if len(self.image.layers) > 1 else ""
        self.desk.say(f"Ready: {named}{bscans}{height} × {width} pixels.")

    def _on_busy(self, busy: bool) -> None:
        self.button.setEnabled(not busy and self.image.layer is not None)
        if not busy:
            self._propose_model(self.image.layer)  # the image may have come amid the run


def _spin(name: str, low: int, high: int) -> QSpinBox:
    box = named(QSpinBox(), name)
    box.setRange(low, high)
    box.setMinimumWidth(40)
    return box
