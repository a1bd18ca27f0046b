"""The dock “SPAD segmentation”: choose a model and an image, segment, correct, watch the scores."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.utils.colormaps import label_colormap
from qtpy.QtCore import QEvent, QSettings, Qt, QTimer
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import FunctionWorker

from napari_spad.areas import AreasPanel
from napari_spad.borders import BordersPanel
from napari_spad.correct import CorrectPanel
from napari_spad.desk import (
    Desk,
    Finished,
    Request,
    Result,
    Tabs,
    data_folder,
    model_tag,
    named,
)
from napari_spad.keep import KeepPanel, dice_of
from napari_spad.learn import TrainingPanel
from napari_spad.lessons import LessonsPanel
from napari_spad.measure import MeasurePanel
from napari_spad.read import phantom_stack
from napari_spad.review import ReviewPanel
from napari_spad.scores import ScoresPanel
from napari_spad.segment import Footer, ReportButton, SegmentPanel
from spad.checkpoint import NOTICE
from spad.inference import Engine
from spad.remote import is_server
from spad.worker import Worker

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
    worker : callable, optional
        Gives the process that learns; the real one by default.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        *,
        engine: Engine | None = None,
        settings: QSettings | None = None,
        folder: Path | None = None,
        worker: Callable[[], Any] = Worker,
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
        self._current: Result | None = None  # the layer that the run writes to
        self._new = False  # whether the run makes it
        self._model = ""  # with what
        self._device = ""
        self._told: dict[str, None] = {}  # what the engine said of the run, each once
        self.footer = Footer(self.desk)
        self.form = SegmentPanel(self.desk)
        self.correct = CorrectPanel(self.desk, self.form)
        self.lessons = LessonsPanel(self.desk, self.form, worker)
        self.areas = AreasPanel(self.desk)
        self.correct.add_section(self.lessons)
        self.correct.add_section(self.areas, titled=True)
        self.borders = BordersPanel(self.desk)
        self.correct.add_section(self.borders, titled=True)
        self.review = ReviewPanel(self.desk)
        self.scores = ScoresPanel(self.desk)
        self.measure = MeasurePanel(self.desk, self.scores, self.review.reviews)
        self.keep = KeepPanel(self.desk)
        self.training = TrainingPanel(self.desk)
        self._lay_out()
        self._connect_panels()
        self.footer.status.linkActivated.connect(self._open_sample)
        self.form.button.clicked.connect(self.segment)
        napari_viewer.layers.events.removing.connect(self._thaw)
        napari_viewer.layers.events.removed.connect(self._on_layer_removed)
        self.desk.framing.note_fit()
        self._frozen = False
        self._settled = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settled.timeout.connect(self.desk.framing.fit_again)
        self._warm_up()
        self.form.model.local_chosen.connect(self._warm_up)
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
            (self.measure, "Measure"),
            (self.keep, "Keep"),
            (self.training, "Train"),
        ):
            self.panels.addTab(panel, title)
        # Where labels are worked on, there are the scores; the other panels need the room.
        self.panels.currentChanged.connect(
            lambda at: self.scores.setVisible(
                self.panels.widget(at) not in (self.measure, self.keep, self.training)
            )
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 0, 4, 2)
        layout.setSpacing(2)
        layout.addWidget(self.keep.kept.offer)  # what a crash left is offered on every tab
        layout.addWidget(self.measure.scale)  # no mm without it, on any tab
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
        edge = QHBoxLayout()
        edge.addWidget(notice, 1)
        edge.addWidget(ReportButton(self.desk))
        outer.addLayout(edge)
        self.setMinimumWidth(320)  # names and numbers of the score table, and the notice

    def _canvas(self) -> tuple[float, float] | None:
        """Height and width of the canvas, where the dock is in napari's window."""
        window = self.window()
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        return None if canvas is None else (float(canvas.height()), float(canvas.width()))

    def _connect_panels(self) -> None:
        """Tell the panels of one another what they ask for."""
        self.desk.framing.canvas = self._canvas
        self.form.image.layer_changed.connect(self.measure.follow_image)
        self.measure.follow_image(self.form.image.layer)
        self.training.follow(self.form)
        self.training.cases.accepted = self.desk.accepted
        self.review.reviews.changed.connect(self.training.cases.refresh)
        self.keep.log.scores = partial(dice_of, self.scores.live)
        self.scores.reference.layer_changed.connect(lambda _: self.keep.log.look_again())
        self.desk.result_added.connect(lambda result: self.scores.show_segmentation(result.layer))
        self.desk.written.connect(lambda result, at: self.scores.take_note(result.layer, at))

    def _warm_up(self) -> None:
        """Load PyTorch once, in the background, so that the first Segment need not wait for it."""
        here = not is_server(self.form.model.device)
        if here:
            self.desk.say(LOADING)
        else:
            self.form.say_ready()  # nothing is waited for
        self._torch_to_come = "torch" not in sys.modules
        self._warmer = FunctionWorker(_prepare, self.engine if here else None)
        self._warmer.returned.connect(self._on_devices)
        self._warmer.errored.connect(self.desk.fail)
        # Not before the dock is on screen: the import holds up the event loop for a moment.
        QTimer.singleShot(SETTLE_MS, self._warmer.start)

    def _on_devices(self, devices: list[str] | None) -> None:
        if self._torch_to_come and "torch" in sys.modules:
            # Python looks through the half million objects that it brought once, for a quarter of
            # a second: now, while nobody paints, and not amid a run, and then not again.
            gc.collect()
            gc.freeze()
            self._frozen = True
        if devices is not None:
            self.form.model.list_devices(devices)
        if self.footer.status.text() == LOADING:
            self.form.say_ready()

    def _thaw(self, _event: Any = None) -> None:
        """Let what was there when PyTorch came be freed: napari collects when a layer goes."""
        if self._frozen:
            gc.unfreeze()
            self._frozen = False

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
        self._done, self._kept, self._device, self._told = 0, 0, "", {}
        self._current, self._model = None, ""
        try:
            request = self.form.request()
            self._current = self._earlier(request)
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
        # With the first B-scan, not before it: a run that fails there leaves nothing to remove, for
        # napari may end (SIGSEGV) where layers go while a notification comes.
        if self._current is None:
            classes = event.segmentation.classes
            self._current = Result(self.viewer, request.source, classes, self._model)
            self.desk.add_result(self._current)
        result, index = self._current, event.part.index
        if result.put(event, undoable=not self._new):
            self._done += 1
            self.desk.written.emit(result, index)
        else:
            self._kept += 1

    def _earlier(self, request: Request) -> Result | None:
        """Return the result that a run goes into, None for a new one, by the rules of `Result`."""
        self._model = model_tag(request.checkpoint)
        ours = [r for r in self.results if r.fits(request.source, self._model)]
        earlier = ours[-1] if ours and request.into_result else None
        part = request.source.parts[0]
        if earlier is not None and part.index in self.desk.accepted(earlier):
            self.desk.inform(
                f"“{earlier.layer.name}” is accepted here and stays as it is: this run makes a new "
                "layer."
            )
            earlier = None
        if earlier is not None and not earlier.untouched(part):
            earlier = None
        self._new = earlier is None
        return earlier

    def _on_end(self, request: Request, complete: bool) -> str:
        self._current = None
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
        return "; ".join(said)

    def _on_layer_removed(self, event: Any) -> None:
        if self._current is not None and self._current.layer is event.value:
            self.desk.stop("stopped: the result's layer was removed")

    # ------------------------------------------------------------------ the room that it takes

    def showEvent(self, event: Any) -> None:
        """Look out for the canvas, of which the dock takes its room."""
        window = self.window()
        if isinstance(window, QMainWindow) and (canvas := window.centralWidget()) is not None:
            canvas.installEventFilter(self)
            self.desk.framing.note_fit()  # of what was opened just before
            self._settled.start()
        super().showEvent(event)

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """What was fitted into the canvas is fitted again when that has come to another size."""
        if event.type() == QEvent.Type.Resize:
            if not self._settled.isActive():
                self.desk.framing.note_fit()
            self._settled.start()
        return bool(super().eventFilter(watched, event))

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
        self._settled.stop()
        self.keep.disconnect_viewer()
        self.lessons.disconnect_viewer()
        self.borders.disconnect_viewer()
        self.areas.disconnect_viewer()
        self.training.disconnect_viewer()
        self.measure.disconnect_viewer()
        self.desk.shut_down()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.layers.events.removing.disconnect(self._thaw)
        self._thaw()
        self.form.image.disconnect_viewer()
        self.correct.disconnect_viewer()
        self.review.disconnect_viewer()
        self.scores.disconnect_viewer()


LOADING = "loading PyTorch…"
SETTLE_MS = 150
"""So long after the last change of its size the canvas is taken to have settled."""


def _prepare(engine: Engine | None) -> list[str] | None:
    """Load what the first run and the first label layer need; name the devices.

    PyTorch, unless a server computes: then it need not even be installed. pandas, for layer
    features; and what napari and vispy else load, or compute and keep, in the UI thread with the
    first label layer, for a quarter of a second. (No layer is made here: napari's registry of units
    is no matter for two threads.)
    """
    devices = None if engine is None else engine.devices()
    import_module("pandas")
    label_colormap()  # scikit-image loads what it needs when that is called
    with suppress(Exception):  # another vispy may have no such thing: then it merely takes longer
        import_module("vispy.visuals.line.dash_atlas").DashAtlas()
    return devices
