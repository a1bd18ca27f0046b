"""The dock “SPAD segmentation”: choose a model and an image, segment, correct, watch the scores."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QSettings, Qt, QTimer
from qtpy.QtWidgets import (
    QFrame,
    QLabel,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import FunctionWorker

from napari_spad.correct import CorrectPanel
from napari_spad.desk import Desk, Finished, Request, Result, Tabs, data_folder, named
from napari_spad.keep import KeepPanel, dice_of
from napari_spad.learn import TrainingPanel
from napari_spad.read import phantom_stack
from napari_spad.review import ReviewPanel
from napari_spad.scores import ScoresPanel
from napari_spad.segment import Footer, SegmentPanel
from spad.annotation import left_alone
from spad.checkpoint import NOTICE
from spad.inference import Engine

__all__ = ["SpadDock"]


class SpadDock(QWidget):
    """The dock widget: panels above, the scores under them, what is going on at the lower edge.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    engine : Engine, optional
        The real one by default.
    settings : QSettings, optional
        Where the user's choices are kept.
    folder : Path, optional
        Where what the user makes is kept; by default in the user's data.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        *,
        engine: Engine | None = None,
        settings: QSettings | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        # napari hands out a proxy, whose layers are new objects each time: none *is* another.
        self.viewer = napari_viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.engine = engine or Engine.spad()
        self.desk = Desk(
            napari_viewer,
            self.engine,
            settings or QSettings("SPAD", "napari-spad"),
            folder or data_folder(),
        )
        self._done = self._kept = 0
        self._held: list[int] = []  # B-scans that are accepted, and were left alone
        self._current: Result | None = None  # the layer that the run writes to
        self._new = False  # whether the run made it
        self._device = ""
        self._told: dict[str, None] = {}  # what the engine said of the run, each once
        self.footer = Footer(self.desk)
        self.form = SegmentPanel(self.desk)
        self.correct = CorrectPanel(self.desk, self.form)
        self.review = ReviewPanel(self.desk)
        self.scores = ScoresPanel(self.desk)
        self.keep = KeepPanel(self.desk)
        self.training = TrainingPanel(self.desk)
        self._lay_out()
        self._connect_panels()
        self.footer.status.linkActivated.connect(self._open_sample)
        self.form.button.clicked.connect(self.segment)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self._warm_up()
        self.form.restore()

    def _lay_out(self) -> None:
        notice = named(QLabel(NOTICE), "notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        notice.setEnabled(False)
        self.panels = named(Tabs(), "panels")
        for panel, title in (
            (self.form, "Segment"),
            (self.correct, "Correct"),
            (self.review, "Review"),
            (self.keep, "Keep"),
            (self.training, "Train"),
        ):
            self.panels.addTab(panel, title)
        # Where labels are worked on, there are the scores; the other panels need the room.
        self.panels.currentChanged.connect(
            lambda at: self.scores.setVisible(
                self.panels.widget(at) not in (self.keep, self.training)
            )
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.keep.kept.offer)  # what a crash left is offered on every tab
        layout.addWidget(self.panels)
        layout.addWidget(self.scores, 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(2)
        outer.addWidget(area, 1)
        outer.addWidget(self.footer)
        outer.addWidget(notice)
        self.setMinimumWidth(300)

    def _canvas(self) -> tuple[float, float] | None:
        """Height and width of the canvas, where the dock is in napari's window."""
        window = self.window()
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        return None if canvas is None else (float(canvas.height()), float(canvas.width()))

    def _connect_panels(self) -> None:
        """Tell the panels of one another what they ask for."""
        self.desk.framing.canvas = self._canvas
        self.training.follow(self.form)
        self.training.cases.accepted = self.desk.accepted = self.review.reviews.accepted
        self.review.reviews.changed.connect(self.training.cases.refresh)
        self.keep.log.scores = partial(dice_of, self.scores.live)
        self.scores.reference.layer_changed.connect(lambda _: self.keep.log.look_again())
        self.desk.result_added.connect(lambda result: self.scores.show_segmentation(result.layer))
        self.desk.written.connect(lambda result, at: self.scores.take_note(result.layer, at))

    def _warm_up(self) -> None:
        """Load PyTorch once, in the background, so that the first Segment need not wait for it."""
        self.desk.say(LOADING)
        self._warmer = FunctionWorker(_prepare, self.engine)
        self._warmer.returned.connect(self._on_devices)
        self._warmer.errored.connect(self.desk.fail)
        # Not before the dock is on screen: the import holds up the event loop for a moment.
        QTimer.singleShot(0, self._warmer.start)

    def _on_devices(self, devices: list[str]) -> None:
        self.form.model.list_devices(devices)
        if self.footer.status.text() == LOADING:
            self.form.say_ready()

    def _open_sample(self, _link: str = "") -> None:
        for data, settings, kind in phantom_stack():
            getattr(self.viewer, f"add_{kind}")(data, **settings)

    # ------------------------------------------------------------------ segmenting

    @property
    def results(self) -> list[Result]:
        """The results, oldest first."""
        return self.desk.results

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self.desk.busy

    def segment(self) -> None:
        """Start a run with the choices made. Does nothing while one is running."""
        if self.desk.busy:
            return
        self._done, self._kept, self._held, self._device, self._told = 0, 0, [], "", {}
        try:
            request = self.form.request()
            # Now, not with the first B-scan: napari takes its time to make layers, and while a
            # stack is sampled the window must not stand still.
            self._current = self._result(request)
        except Exception as error:
            self.desk.fail(error)
            return
        self.desk.run(
            request,
            lambda event: self._on_part(request, event),
            lambda complete: self._on_end(request, complete),
        )

    def cancel(self) -> None:
        """End the run after its current step; B-scans already done stay."""
        self.desk.cancel()

    def _on_part(self, request: Request, event: Finished) -> None:
        self._device = event.device
        self._told |= dict.fromkeys(event.said)
        result, index = self._current, event.part.index
        if result is None:
            return  # its layer was removed
        if self._new and result not in self.results:
            self.desk.add_result(result)
        if index in self.desk.accepted(result):
            self._held.append(index[-1] if index else 0)
        elif result.put(event, undoable=not self._new):
            self._done += 1
            self.desk.written.emit(result, index)
        else:
            self._kept += 1

    def _result(self, request: Request) -> Result:
        """Return the layer for a run; the rules are those of `_result`."""
        model = f"{request.checkpoint}:{request.checkpoint.stat().st_mtime}"
        if request.into_result:
            ours = [r for r in self.results if r.fits(request.source, model)]
            (part,) = request.source.parts
            accepted = bool(ours) and part.index in self.desk.accepted(ours[-1])
            if ours and not accepted and ours[-1].untouched(part):
                self._new = False
                return ours[-1]
        self._new = True
        classes = self.engine.read_card(request.checkpoint).classes
        return Result(self.viewer, request.source, classes, model)

    def _on_end(self, request: Request, complete: bool) -> str:
        result, self._current = self._current, None
        if result is not None and result not in self.results and not result.hand.mask.any():
            result.remove()  # nothing was written to it
        source = request.source
        if complete:
            said = [f"done on {self._device} in {self.desk.seconds:.1f} s"]
            notes = [*source.notes, *self._told]
            said += notes
            if notes and not self.desk.stopped:
                self.desk.inform(f"“{source.name}”: {'; '.join(notes)}.")
        else:
            said = ["cancelled"]
            if self._done:
                said.append(f"{self._done} of {len(source.parts)} B-scans are done and stay")
        if self._kept:
            said.append(f"{self._kept} B-scans were painted on meanwhile and kept as painted")
        said += filter(None, [left_alone(self._held)])
        return "; ".join(said)

    def _on_layer_removed(self, event: Any) -> None:
        if self._current is not None and self._current.layer is event.value:
            self._current = None
            self.desk.stop("stopped: the result's layer was removed")

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
        self.keep.disconnect_viewer()
        self.training.disconnect_viewer()
        self.desk.shut_down()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.form.image.disconnect_viewer()
        self.correct.disconnect_viewer()
        self.review.disconnect_viewer()
        self.scores.disconnect_viewer()


LOADING = "loading PyTorch…"


def _prepare(engine: Engine) -> list[str]:
    """Import what the first run needs (PyTorch; pandas, for layer features); name the devices."""
    devices = engine.devices()
    import_module("pandas")
    return devices
