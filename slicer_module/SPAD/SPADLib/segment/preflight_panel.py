"""The lines above the button “Segment”: the model's card, how long it takes, whether it is wise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

from spad.cases import file_error
from spad.remote import SERVER, is_server
from SPADLib.desk import Desk, Done, Pace, device_line, warnings_of, worded
from SPADLib.host import Cancelled, Pump, get, one_shot_timer
from SPADLib.scene import Source
from SPADLib.segment.model_panel import ModelPanel

__all__ = ["PreflightPanel"]

PAUSE_MS = 250


class PreflightPanel:
    """Looks at the choices when they have changed, step by step, and tells what there is to say.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    models : ModelPanel
    source : callable
        Gives the volume that is chosen, opened; ValueError where there is none.
    bscans : callable
        Gives the B-scans of it that are asked for; ValueError where they are not there.
    """

    def __init__(
        self,
        desk: Desk,
        ui: Any,
        models: ModelPanel,
        source: Callable[[], Source],
        bscans: Callable[[Source], range],
    ) -> None:
        self.desk, self.ui, self.models = desk, ui, models
        self._source, self._bscans = source, bscans
        self._pace = Pace(desk.settings)
        self._look: Pump | None = None
        self._pause = one_shot_timer(PAUSE_MS, self._start)

    @property
    def busy(self) -> bool:
        """Whether it is about to look, or looking."""
        return bool(self._pause.isActive()) or (self._look is not None and self._look.busy)

    def look_soon(self) -> None:
        """Look again, once the choices have come to rest."""
        self._pause.start()

    def stop(self) -> None:
        """Look at nothing."""
        self._pause.stop()
        if self._look is not None:
            self._look.cancel()

    def _start(self) -> None:
        if self.desk.parameters is None:
            return
        if self._look is not None:
            self._look.cancel()
        self._look = Pump(lambda _: None, self._on_looked)
        self._look.start(self._looking())

    def _looking(self) -> Generator[None, None, None]:
        ui, card = self.ui, None
        try:
            card = self.models.card()
            ui.cardLabel.setText("" if card is None else card.text())
        except (ValueError, OSError) as error:
            ui.cardLabel.setText(file_error(error))
        yield
        try:
            source = self._source()
        except ValueError as error:
            chosen = self.desk.parameters.inputVolume is not None
            ui.preflightLabel.setText(str(error) if chosen else "")
            ui.deviceLine.setText("")
            return
        if card is None:
            return
        if "torch" not in sys.modules and not is_server(self.models.device):
            ui.deviceLine.setText("loading PyTorch, which takes some seconds…")
            yield  # so that it is read before the wait
            yield
        self.models.list_devices()
        yield
        self._show_time(card, source)
        yield
        said = " ".join(t.removeprefix("Look closely: ") for t in warnings_of(source, card))
        self._tell(ui.preflightLabel, f"Look closely: {said}" if said else "")

    def _on_looked(self, outcome: BaseException | None) -> None:
        if outcome is not None and not isinstance(outcome, Cancelled):
            self.ui.preflightLabel.setText(str(outcome))
        self.ui.preflightLabel.setVisible(bool(get(self.ui.preflightLabel, "text")))

    def _show_time(self, card: Any, source: Source) -> None:
        try:
            count = len(self._bscans(source))
        except ValueError as error:
            self._tell(self.ui.deviceLine, str(error))
            return
        p, device = self.desk.parameters, self.models.device
        chains = p.samples or card.sampling.samples, p.steps or card.sampling.steps
        line = device_line(device, self._pace.seconds(card.name, device, count, *chains), count)
        self._tell(self.ui.deviceLine, ". ".join(filter(None, (line, self.models.note))))

    def _tell(self, label: Any, text: str) -> None:
        label.setText(worded(text, self.desk.input_word))

    def note(self, done: Done) -> None:
        """Remember how long a run took."""
        made, count = done.segmentation.provenance, len(done.segmentation.labels)
        chains = made["samples"], made["steps"]
        model, device = made["checkpoint"]["name"], str(made.get("device", "cpu"))
        device = SERVER if "server" in made else device
        self._pace.note(model, device, count, *chains, done.seconds)
