"""The one run that may go on at a time: progress, time left, Cancel."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from spad.annotation import RunProgress, duration
from SPADLib.desk.desk import Desk
from SPADLib.host import Cancelled, Guard, Pump

__all__ = ["RunBox"]


class RunBox:
    """Pulls runs and shows how far they are.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
        progressBar, cancelButton, statusLabel.
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self._pump: Pump | None = None
        self._guard: Guard | None = None
        self._said = self._kept = ""
        ui.progressBar.hide()
        ui.cancelButton.hide()
        ui.cancelButton.clicked.connect(lambda *_: self.cancel())

    @property
    def busy(self) -> bool:
        """Whether a run is going on."""
        return self._pump is not None and self._pump.busy

    def start(
        self,
        run: Generator[Any, None, Any],
        nodes: Sequence[Any],
        on_done: Callable[[Any], str] | None = None,
        *,
        kept: str = "",
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        run : generator
            Of texts, `RunProgress`, what it has made (mostly a `Done`), and None while it waits.
        nodes : sequence of vtkMRMLNode
            Without which it makes no sense: where one of them goes, the run is dropped.
        on_done : callable, optional
            Takes what the run has made into the scene, and says what became of it.
        kept : str
            What of the run stays where it is cancelled, if not said by `on_done`.

        Raises
        ------
        ValueError
            Another one is going on.
        """
        if self.busy:
            raise ValueError("A run is going on: wait for it, or cancel it")
        self._said, self._kept = "", kept

        def on_event(event: Any) -> None:
            if isinstance(event, RunProgress):
                self._show(event)
            elif isinstance(event, str):
                self._said = event
                self.desk.say(event)
            elif on_done is not None:
                self._said = self._kept = on_done(event)

        self._pump = Pump(on_event, self._on_end)
        self._guard = Guard(nodes, self.cancel)
        self.ui.progressBar.setRange(0, 0)  # until it is known how far: it only moves
        self.ui.progressBar.show()
        self.ui.cancelButton.show()
        self._pump.start(run)
        self.desk.tell("busy")

    def cancel(self, why: str = "") -> None:
        """Drop the run; what it has not given yet, it never gives."""
        if self._pump is not None:
            self._pump.cancel(why)

    def _show(self, progress: RunProgress) -> None:
        self.ui.progressBar.setRange(0, progress.total)
        self.ui.progressBar.setValue(progress.done)
        if progress.done >= 2:  # the first step also warms up: no promise from it
            self.desk.say(f"about {duration(progress.seconds_left)} left")

    def _on_end(self, outcome: BaseException | None) -> None:
        if self._guard is not None:
            self._guard.stop()
        self._pump = self._guard = None  # with what the run held: the volume, its pixels
        self.ui.progressBar.hide()
        self.ui.cancelButton.hide()
        if isinstance(outcome, Cancelled):
            why = str(outcome)
            stopped = f"Stopped: {why}." if why else "Cancelled."
            self.desk.say(f"{stopped} {self._kept or 'Nothing was changed.'}")
        elif outcome is not None:
            self.desk.fail(outcome)
        else:
            self.desk.say(self._said or "Done.")
        self.desk.tell("busy")
