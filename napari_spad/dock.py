"""The dock “SPAD segmentation”: choose a model and an image, segment, correct, watch the scores."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.utils.colormaps import label_colormap
from qtpy.QtCore import QEvent, QSettings, Qt, QTimer
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, FunctionWorker, Result, Scrolled, Tabs, data_folder, named, widen
from napari_spad.scores import ScoresPanel
from napari_spad.segment import Footer, ReportButton, Segmenting, SegmentPanel
from spad.checkpoint import NOTICE
from spad.inference import Engine
from spad.remote import is_server

if TYPE_CHECKING:  # what is not seen at once is loaded when it is made
    from napari_spad.areas import AreasPanel
    from napari_spad.borders import BordersPanel
    from napari_spad.correct import CorrectPanel
    from napari_spad.keep import KeepPanel
    from napari_spad.learn import TrainingPanel
    from napari_spad.lessons import LessonsPanel
    from napari_spad.measure import MeasurePanel
    from napari_spad.review import ReviewPanel

__all__ = ["SpadDock"]


class SpadDock(QWidget):
    """The dock widget: panels above, the scores under them, what is going on at the lower edge.

    What is seen at once is made at once. The other panels are made one by one between frames, or
    when they are first asked for.

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
        worker: Callable[[], Any] | None = None,
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
        self._worker = worker
        self.footer = Footer(self.desk)
        self.form = SegmentPanel(self.desk)
        self.scores = ScoresPanel(self.desk)
        self._segmenting = Segmenting(self.desk, self.form)
        self._lay_out()
        self.desk.framing.canvas = self._canvas
        self.desk.result_changed.connect(self._score)
        self.desk.written.connect(lambda result, at: self.scores.take_note(result.layer, at))
        self.footer.status.linkActivated.connect(self._open_sample)
        self.form.button.clicked.connect(self.segment)
        napari_viewer.layers.events.removing.connect(self._thaw)
        self.desk.framing.note_fit()
        self._frozen = False
        self._settled = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settled.timeout.connect(self.desk.framing.fit_again)
        self._to_come = list(TO_COME)
        self._turn = QTimer(self, singleShot=True)
        self._turn.timeout.connect(self._make_next)
        self._warm_up()
        self.form.model.local_chosen.connect(self._warm_up)
        self.form.restore()
        self._turn.start(SETTLE_MS)  # not before the dock is on screen

    def _lay_out(self) -> None:
        notice = named(QLabel(NOTICE), "notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        notice.setEnabled(False)
        notice.setWordWrap(True)  # in a larger font
        self.panels = named(Tabs(), "panels")
        for panel, title in TABS.items():
            self.panels.addTab(partial(getattr, self, panel), title)
        self.panels.widget(0)
        # Where labels are worked on, there are the scores; the other panels need the room.
        self.panels.currentChanged.connect(
            lambda at: self.scores.setVisible(self.panels.tabText(at) not in SCORELESS)
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(4, 0, 4, 2)
        layout.setSpacing(2)
        self._content = layout
        layout.addWidget(self.panels)
        layout.addWidget(self.scores, 1)
        self._area = area = Scrolled(self.scores.table)
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

    # ------------------------------------------------------------------ made one by one

    @cached_property
    def keep(self) -> KeepPanel:
        """The tab Keep."""
        from napari_spad.keep import KeepPanel, dice_of

        panel = KeepPanel(self.desk)
        panel.log.scores = partial(dice_of, self.scores.live)
        self.scores.reference.layer_changed.connect(lambda _: panel.log.look_again())
        self._content.insertWidget(0, panel.kept.offer)  # what a crash left, on every tab
        panel.closing.watch(self)
        return panel

    @cached_property
    def lessons(self) -> LessonsPanel:
        """The section Learn of the tab Correct."""
        from napari_spad.lessons import LessonsPanel
        from spad.worker import Worker

        return LessonsPanel(self.desk, self.form, self._worker or Worker)

    @cached_property
    def areas(self) -> AreasPanel:
        """The section Areas of the tab Correct."""
        from napari_spad.areas import AreasPanel

        return AreasPanel(self.desk)

    @cached_property
    def borders(self) -> BordersPanel:
        """The section Lines of the tab Correct."""
        from napari_spad.borders import BordersPanel

        return BordersPanel(self.desk)

    @cached_property
    def correct(self) -> CorrectPanel:
        """The tab Correct."""
        from napari_spad.correct import CorrectPanel

        panel = CorrectPanel(self.desk, self.form)
        panel.add_section(self.lessons)
        panel.add_section(self.areas, titled=True)
        panel.add_section(self.borders, titled=True)
        return panel

    @cached_property
    def review(self) -> ReviewPanel:
        """The tab Review."""
        from napari_spad.review import ReviewPanel

        return ReviewPanel(self.desk)

    @cached_property
    def measure(self) -> MeasurePanel:
        """The tab Measure."""
        from napari_spad.measure import MeasurePanel

        panel = MeasurePanel(self.desk, self.scores, self.review.reviews)
        self.form.image.layer_changed.connect(panel.follow_image)
        # No mm without the scale, on any tab.
        self._content.insertWidget(self._content.indexOf(self.panels), panel.scale)
        panel.follow_image(self.form.image.layer)
        return panel

    @cached_property
    def training(self) -> TrainingPanel:
        """The tab Train."""
        from napari_spad.learn import TrainingPanel

        panel = TrainingPanel(self.desk)
        panel.follow(self.form)
        self.review.reviews.changed.connect(panel.cases.refresh)
        panel.cases.accepted = self.desk.accepted  # the review's
        return panel

    def _make_next(self) -> None:
        """Make one panel; Qt draws, and hears the person, before the next one."""
        name = self._to_come.pop(0)
        try:
            if name in TABS:
                self.panels.widget(list(TABS).index(name))
            else:
                getattr(self, name)
        except Exception as error:  # the others come all the same
            self.desk.fail(error)
        if self._to_come:
            self._turn.start(0)
        else:
            widen(self._area)
            self._warmer.start()  # PyTorch's import holds up the event loop for a moment

    def complete(self) -> None:
        """Make at once what is not there yet."""
        while self._to_come:
            self._make_next()
        self._turn.stop()

    # ------------------------------------------------------------------ PyTorch

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
        if not self._to_come:
            self._warmer.start()

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

    def _score(self, result: Result | None) -> None:
        if result is not None:
            self.scores.segmentation.lead(result.layer)

    def _open_sample(self, _link: str = "") -> None:
        from napari_spad.read import phantom_stack

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
        self.complete()
        self._segmenting.start()

    def cancel(self) -> None:
        """End the run after its current step; B-scans already done stay."""
        self.desk.cancel()

    # ------------------------------------------------------------------ the room that it takes

    def showEvent(self, event: Any) -> None:
        """Look out for the canvas, of which the dock takes its room."""
        window = self.window()
        if isinstance(window, QMainWindow) and (canvas := window.centralWidget()) is not None:
            canvas.installEventFilter(self)
            self.desk.framing.note_fit()  # of what was opened just before
            self._settled.start()
        if "keep" in vars(self):
            self.keep.closing.watch(self)
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
        self._turn.stop()
        made = [vars(self)[name] for name in TO_COME if name in vars(self)]
        for panel in made:
            panel.disconnect_viewer()
        self.desk.shut_down()
        self._segmenting.disconnect_viewer()
        self.viewer.layers.events.removing.disconnect(self._thaw)
        self._thaw()
        self.form.image.disconnect_viewer()
        self.scores.disconnect_viewer()


TABS = {
    "form": "Segment",
    "correct": "Correct",
    "review": "Review",
    "measure": "Measure",
    "keep": "Keep",
    "training": "Train",
}
SCORELESS = ("Measure", "Keep", "Train")
TO_COME = ("keep", "review", "measure", "lessons", "areas", "borders", "correct", "training")
"""What is made when the dock is on screen: first what keeps the work."""
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
