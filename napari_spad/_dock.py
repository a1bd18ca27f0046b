"""The dock “SPAD segmentation”: choose a model and an image, segment, correct, watch the scores."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from napari.components import ViewerModel
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, QSettings, Qt, QTimer
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget
from superqt.utils import FunctionWorker

from napari_spad._choose import named
from napari_spad._form import SegmentForm
from napari_spad._result import Result
from napari_spad._run import Engine, Finished, Progress, Request, Run, explain
from napari_spad._sample import phantom_stack
from napari_spad._scores import ScoreTable
from spad.card import NOTICE

__all__ = ["SpadDock"]


class SpadDock(QWidget):
    """The dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    engine : Engine, optional
        The real one by default.
    settings : QSettings, optional
        Where the user's choices are kept.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        *,
        engine: Engine | None = None,
        settings: QSettings | None = None,
    ) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.engine = engine or Engine.spad()
        self.results: list[Result] = []
        self._run: Run | None = None
        self._current: Result | None = None  # the layer that the run writes to
        self._began = 0.0
        self._done = self._kept = 0
        self._device = ""
        self._told: dict[str, None] = {}  # what the engine said of the run, each once
        self._stopped = ""  # why the run stops early, where it was not the user's wish
        self.form = SegmentForm(
            napari_viewer, self.engine, settings or QSettings("SPAD", "napari-spad")
        )
        self.scores = ScoreTable(napari_viewer)
        self._lay_out()
        self.form.failed.connect(self._fail)
        self.form.sample_asked.connect(self._open_sample)
        self.form.button.clicked.connect(self.segment)
        self.form.cancel_button.clicked.connect(self.cancel)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self.form.show_running(False)
        self._warm_up()
        self.form.restore()

    def _lay_out(self) -> None:
        notice = named(QLabel(NOTICE), "notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        notice.setEnabled(False)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.form)
        layout.addWidget(self.scores, 1)
        layout.addWidget(notice)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(300)

    def _warm_up(self) -> None:
        """Load PyTorch once, in the background, so that the first Segment need not wait for it."""
        self.form.say(LOADING)
        self._warmer = FunctionWorker(_prepare, self.engine)
        self._warmer.returned.connect(self._on_devices)
        self._warmer.errored.connect(self._on_no_devices)
        # Not before the dock is on screen: the import holds up the event loop for a moment.
        QTimer.singleShot(0, self._warmer.start)

    def _on_devices(self, devices: list[str]) -> None:
        self.form.set_devices(devices)
        if self.form.status.text() == LOADING:
            self.form.say_ready()

    def _on_no_devices(self, error: Exception) -> None:
        self._fail(explain(error))

    def _open_sample(self) -> None:
        for data, settings, kind in phantom_stack():
            getattr(self.viewer, f"add_{kind}")(data, **settings)

    # ------------------------------------------------------------------ a run

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self._run is not None

    def segment(self) -> None:
        """Start a run with the choices made. Does nothing while one is running."""
        if self._run is not None:
            return
        try:
            run = Run(self.engine, self.form.request())
        except Exception as error:
            self._fail(explain(error))
            return
        self._run, self._current = run, None
        self._began, self._done, self._kept = time.monotonic(), 0, 0
        self._stopped = self._device = ""
        self._told = {}
        run.told.connect(self.form.say)
        run.progressed.connect(self._on_progress)
        run.part_finished.connect(self._on_part)
        run.failed.connect(self._fail)
        run.ended.connect(self._on_ended)
        self.destroyed.connect(run.cancel)  # with the viewer's window
        self.form.show_running(True)
        run.start()

    def cancel(self) -> None:
        """End the run after its current step; B-scans already done stay."""
        if self._run is not None:
            self.form.cancel_button.setEnabled(False)
            self.form.say("cancelling…")
            self._run.cancel()

    def _on_progress(self, at: Progress) -> None:
        if not self._stopped and self.form.cancel_button.isEnabled():
            self.form.show_progress(at)

    def _on_part(self, event: Finished) -> None:
        if self._run is None or self._stopped:
            return
        self._device = event.device
        self._told |= dict.fromkeys(event.said)
        try:
            if self._current is None:
                self._current = self._result(self._run.request, event)
            result = self._current
            if result.put(event.part, event.segmentation, undoable=result in self.results):
                self._done += 1
                self.scores.take_note(result.layer, event.part.index)
            else:
                self._kept += 1
        except Exception as error:
            self._fail(explain(error))
            self._run.cancel()

    def _result(self, request: Request, event: Finished) -> Result:
        """Return the layer for a run's first B-scan; the rules are those of `_result`."""
        model = f"{request.checkpoint}:{request.checkpoint.stat().st_mtime}"
        if request.into_result:
            ours = [r for r in self.results if r.fits(request.source, model)]
            if ours and ours[-1].untouched(event.part):
                return ours[-1]
        result = Result(self.viewer, request.source, event.segmentation.classes, model)
        self.scores.show_segmentation(result.layer)
        return result

    def _on_ended(self, complete: bool) -> None:
        """Whatever happened, the Segment button comes back."""
        run, self._run = self._run, None
        self.form.show_running(False)
        if self._current is not None and self._current not in self.results:
            self.results.append(self._current)
        self._current = None
        if self._stopped or run is None:
            return
        source = run.request.source
        if complete:
            said = [f"done on {self._device} in {time.monotonic() - self._began:.1f} s"]
            notes = [*source.notes, *self._told]
            said += notes
            if notes:
                show_info(f"“{source.name}”: {'; '.join(notes)}.")
        else:
            said = ["cancelled"]
            if self._done:
                said.append(f"{self._done} of {len(source.parts)} B-scans are done and stay")
        if self._kept:
            said.append(f"{self._kept} B-scans were painted on meanwhile and kept as painted")
        self.form.say("; ".join(said))

    def _on_layer_removed(self, event: Any) -> None:
        removed = event.value
        self.results = [r for r in self.results if r.layer is not removed]
        if self._run is not None and self._current is not None and self._current.layer is removed:
            self._current = None
            self._stopped = "stopped: the result's layer was removed"
            self.form.say(self._stopped)
            self._run.cancel()

    def _fail(self, message: str) -> None:
        self._stopped = message
        self.form.say(message)
        show_error(message)

    # ------------------------------------------------------------------ the end

    def event(self, event: QEvent) -> bool:
        """Let go of the viewer when napari takes the widget out of its dock."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return super().event(event)

    def closeEvent(self, event: Any) -> None:
        """Let go of the viewer."""
        self.shut_down()
        super().closeEvent(event)

    def shut_down(self) -> None:
        """Stop the run and listen to the viewer no more."""
        if self._run is not None:
            self._run.cancel()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.form.image.disconnect_viewer()
        self.scores.disconnect_viewer()


LOADING = "loading PyTorch…"


def _prepare(engine: Engine) -> list[str]:
    """Import what the first run needs (PyTorch; pandas, for layer features); name the devices."""
    devices = engine.devices()
    import_module("pandas")
    return devices
