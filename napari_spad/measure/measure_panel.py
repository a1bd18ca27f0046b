"""The tab Measure: how much of each structure there is, where, how sure, and against whom."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, form_layout, named, narrow, setting, whose
from napari_spad.measure.counting import PART, grid_of
from napari_spad.measure.enface_panel import EnFacePanel
from napari_spad.measure.plot_view import PlotWindow
from napari_spad.measure.saving import Saving
from napari_spad.measure.sheets import LINES, SHEETS, agreement, line_sheet, sheet
from napari_spad.measure.stack_measures import StackMeasures
from napari_spad.measure.table import MeasureTable
from napari_spad.measure.visits_panel import VisitsPanel
from napari_spad.review import Reviews
from napari_spad.scale import ScaleRow
from napari_spad.scores import ScoresPanel
from spad.borders import Thickness, missing_columns
from spad.measuring import Agreement, Measurement, agreement_plot

__all__ = ["MeasurePanel"]

EYES = {"unknown": None, "OD, right": "OD", "OS, left": "OS"}
FIRST = {"first: ?": None, "first: below": "inferior", "first: above": "superior"}
EN_FACE = "enface"


class MeasurePanel(QWidget):
    """The numbers, what they rest on, and the ways out of here.

    Parameters
    ----------
    desk : Desk
    scores : ScoresPanel
        Its labels are measured, and its reference stands beside them.
    reviews : Reviews
        For the map of what was reviewed.

    Attributes
    ----------
    scale : ScaleRow
        For the dock to place: it is seen on every tab.
    """

    def __init__(self, desk: Desk, scores: ScoresPanel, reviews: Reviews) -> None:
        super().__init__()
        self.desk, self.scores = desk, scores
        self.measures = StackMeasures(desk, scores)
        self.scale = ScaleRow(desk)
        self.enface = EnFacePanel(desk, self.measures, reviews)
        self.saving = Saving(desk, self.measures, reviews, self)
        self.visits = VisitsPanel(desk, self.measures, self.saving, self)
        self.agreement = PlotWindow(desk, self.saving, self)
        self._dock: Any = None
        self._facts: Any = None
        self._build()
        self.shown.currentIndexChanged.connect(self.refresh)
        self.eye.activated.connect(self._on_eye)
        self.first.activated.connect(self._on_first)
        self.propose.clicked.connect(self._on_propose)
        self.plot.clicked.connect(self.show_agreement)
        self.open_visits.clicked.connect(self.visits.open)
        self.table.asked.connect(self._go)
        self.map.clicked.connect(self._on_map)
        self.measures.changed.connect(self.refresh)
        self.measures.facts_changed.connect(self._on_facts)
        self._on_facts()

    def _build(self) -> None:
        self.eye = narrow(named(QComboBox(), "eye"))
        for text, eye in EYES.items():
            self.eye.addItem(text, eye)
        self.eye.setToolTip("Tells nasal from temporal in the ETDRS grid")
        self.first = narrow(named(QComboBox(), "first_bscan"))
        for text, first in FIRST.items():
            self.first.addItem(text, first)
        self.first.setToolTip("Where the first B-scan lies: inferior (below) or superior (above)")
        which = QHBoxLayout()
        for chooser in (self.eye, self.first):
            chooser.setMinimumContentsLength(3)
            which.addWidget(chooser)
        self.fovea = named(QLabel(), "fovea")
        self.fovea.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.fovea.setWordWrap(True)
        self.propose = named(QPushButton("Propose"), "propose_fovea")
        self.propose.setToolTip("Look for the pit of the fovea in the image")
        self.shown = narrow(named(QComboBox(), "measure_sheet"))
        for key, text in SHEETS.items():
            self.shown.addItem(text, key)
        self.plot = named(QPushButton("Plot…"), "agreement_plot")
        self.plot.setToolTip("Areas B-scan by B-scan, against the reference (Bland and Altman)")
        self.open_visits = named(QPushButton("Visits…"), "visits")
        self.open_visits.setToolTip("Volumes over visits, and two scans laid on each other")
        self.table = named(MeasureTable(), "measure_table")
        self.note = named(QLabel(), "measure_note")
        self.note.setWordWrap(True)
        self.map = named(QPushButton("En face"), "show_enface")
        self.map.setCheckable(True)
        self.map.setToolTip("The stack seen from above, beside the image: maps, grid, fovea")
        where = QHBoxLayout()
        where.addWidget(self.fovea, 1)
        where.addWidget(self.propose)
        form = form_layout()
        form.addRow("Eye", which)
        form.addRow("Fovea", where)
        what = QHBoxLayout()
        what.addWidget(self.shown, 1)
        what.addWidget(self.plot)
        form.addRow("Show", what)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        saving = self.saving
        for button in (self.map, self.open_visits, saving.copy, saving.csv, saving.pdf):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.note)
        layout.addLayout(buttons)

    # ------------------------------------------------------------------ what is shown

    def showEvent(self, event: Any) -> None:
        """Measure while somebody looks."""
        super().showEvent(event)
        self.fovea.setFixedHeight(2 * self.fovea.fontMetrics().lineSpacing() + 2)
        self._wake()
        if setting(self.desk.settings, EN_FACE, True) and not self.map.isChecked():
            self._show_map(True)

    def hideEvent(self, event: Any) -> None:
        """Rest, unless the map is seen."""
        super().hideEvent(event)
        self._wake()

    def _wake(self) -> None:
        self.measures.wake(self.isVisible() or self.enface.isVisible())

    def follow_image(self, image: Any) -> None:
        """Take the image that is chosen in the tab Segment: its scale is shown."""
        self.measures.follow_image(image)
        self.scale.follow(self.measures.facts_of(image))

    def _on_facts(self) -> None:
        if self._facts is not self.measures.facts:
            self._facts = self.measures.facts
            self.scale.follow(self._facts)
        self.scale.refresh()
        self.refresh()

    def refresh(self, _event: Any = None) -> None:
        """Show the numbers as they are."""
        if not self.isVisible():
            return
        measures, which = self.measures, self.shown.currentData()
        live = self.scores.live
        colours = {c.value: c.hex for c in live.classes}
        agreed = self._agreed() if which == "against" else {}
        self.plot.setVisible(which == "against")
        self.plot.setEnabled(bool(agreed))
        layers = measures.layers() if which == LINES else ()
        if which == LINES:
            shown = line_sheet(layers)
        else:
            shown = sheet(which, self._rows(which), measures.reference_rows, agreed)
        self.table.show_sheet(shown, colours)
        facts = measures.facts
        self.eye.setCurrentIndex(self.eye.findData(None if facts is None else facts.eye))
        self.first.setCurrentIndex(self.first.findData(None if facts is None else facts.first))
        fovea = None if facts is None else facts.fovea
        if fovea is None:
            self.fovea.setText("not known")
        else:
            self.fovea.setText(fovea.words)
        self.fovea.setToolTip(self.fovea.text())
        stack = facts is not None and facts.shape[0] > 1
        for widget in (self.eye, self.first, self.fovea, self.propose):
            widget.setEnabled(stack)
        self.map.setEnabled(facts is not None)
        self.saving.allow(bool(measures.rows), bool(measures.line_maps()))
        if which == LINES:
            self._say_of_lines(layers)
        else:
            self._say(which)

    def _say(self, which: str) -> None:
        measures, lines = self.measures, []
        if measures.problem:
            lines.append(measures.problem)
        elif measures.counting is not None:
            lines.append("counting…")
        else:
            if which == "against" and measures.reference is None:
                lines.append("Choose a reference in the score table of the tab Segment or Correct.")
            lines += [PART] * (which == "against" and measures.beside is not measures.live)
            lines += measures.remarks
            facts = measures.facts
            if facts is not None and facts.fovea is None and facts.scale.bscan.mm is not None:
                lines.append("the fovea is not known: double click in the map, where it is")
            ranges = any(m.low_nl is not None for m in measures.rows)
            if ranges and which in ("volumes", "fields"):
                lines.append(
                    "Below each volume: the least and the most that a sample says. Pixels by hand "
                    "and accepted B-scans are certain."
                )
        self._note(lines)

    def _say_of_lines(self, layers: Sequence[Thickness]) -> None:
        facts, lines = self.measures.facts, []
        if facts is None or facts.scale.row.mm is None:
            lines.append(
                "the height of a row is not known; type it: ✎ beside the scale, at the top"
            )
        elif not layers:
            lines.append("two lines over this image are needed: tab Correct, Lines, Add…")
        lines += filter(None, [missing_columns(layers)])
        if layers and facts is not None and grid_of(facts) is None:
            lines.append(
                "there are no fields: they need the fovea (Propose, or double click in the map) "
                "and the distances of B-scans and columns"
            )
        lines += self.measures.layer_remarks if layers else ()
        self._note(lines)

    def _note(self, lines: Sequence[str]) -> None:
        self.note.setText(
            "\n".join(
                f"{line[:1].upper()}{line[1:]}".rstrip(".") + "." * (line[-1] != "…")
                for line in lines
            )
        )

    def _agreed(self) -> dict[int, Agreement]:
        """Areas of the labels at work against the reference's, by class value."""
        measures = self.measures
        if measures.beside is None or measures.reference is None:
            return {}
        values = {m.value for m in measures.rows}
        return agreement(measures.beside, measures.reference, values)

    def _rows(self, which: str) -> tuple[Measurement, ...]:
        """What a sheet shows of the labels at work."""
        measures = self.measures
        if which != "against" or measures.beside is None or measures.beside is measures.live:
            return measures.rows
        return measures.beside.rows(parts=False)

    # ------------------------------------------------------------------ what a person does

    def show_agreement(self) -> None:
        """Plot the areas against the reference's, in a window."""
        live = self.scores.live
        ours, theirs = live.segmentation, live.reference
        if ours is None or theirs is None:
            return
        names = {c.value: c.name for c in live.classes}
        agreed = {names[value]: one for value, one in self._agreed().items()}
        readers = (whose(theirs) or "reference", whose(ours) or "here")
        title = f"Areas, B-scan by B-scan: {ours.name} against {theirs.name}"
        self.agreement.show_plot(
            title,
            lambda kind: agreement_plot(agreed, "mm²", title=title, readers=readers, kind=kind),
        )

    def _on_eye(self, _index: int) -> None:
        if self.measures.facts is not None:
            self.measures.facts.choose_eye(self.eye.currentData())

    def _on_first(self, _index: int) -> None:
        if self.measures.facts is not None:
            self.measures.facts.choose_first(self.first.currentData())

    def _on_propose(self) -> None:
        if not self.measures.propose():
            self.desk.say(
                "No pit is seen in this image, or its scale is not known: double click in the map, "
                "where the fovea is."
            )

    def _go(self, bscan: int, column: int, value: int) -> None:
        facts, layer = self.measures.facts, self.scores.live.segmentation
        if facts is None or layer is None:
            return
        pixel = None
        if column >= 0:
            rows = self.scores.live.class_maps((bscan,) if layer.ndim > 2 else ())[0][:, column]
            found = (rows == value).nonzero()[0]
            pixel = (float(found.mean()), float(column)) if len(found) else None
        self.desk.go_to(layer, (bscan,) if layer.ndim > 2 else (), pixel)

    def _on_map(self, on: bool) -> None:
        self.desk.settings.setValue(EN_FACE, bool(on))
        self._show_map(bool(on))

    def _show_map(self, on: bool) -> None:
        """Show the map in a dock of napari's window, or hide it."""
        window = getattr(self.desk.viewer, "window", None)
        if window is None:
            return
        height = window._qt_window.height()  # not that of this dock, which may float
        if on and self._dock is None:
            self._dock = window.add_dock_widget(
                self.enface, name="SPAD en face", area="left", add_vertical_stretch=False
            )
            self._dock.visibilityChanged.connect(self._on_dock)
            self._dock.destroyed.connect(self._on_closed)
        if self._dock is not None:
            self._dock.setVisible(on)
            if on:
                self._fit_in(height)
                self._dock.raise_()
        self.map.setChecked(on)
        self._wake()

    def _fit_in(self, height: int) -> None:
        """Share the layer list's place where the window would grow, else float beside the window.

        Qt makes a window as high as its docks ask for, even where the screen ends before.
        """
        window = self._dock.window()
        for make_room in (self._join_layer_list, partial(self._dock.setFloating, True)):
            if self._dock.isFloating() or window.minimumSizeHint().height() <= height:
                return
            make_room()
            window.layout().activate()
            window.resize(window.width(), height)  # it has grown when the dock came

    def _join_layer_list(self) -> None:
        window = self._dock.window()
        layer_list = window.findChild(QDockWidget, "layer list")
        if layer_list is not None and layer_list.isVisible() and not layer_list.isFloating():
            window.tabifyDockWidget(layer_list, self._dock)

    def _on_dock(self, seen: bool) -> None:
        self.map.setChecked(self._dock is not None and not self._dock.isHidden())
        self._wake()

    def _on_closed(self, _object: Any = None) -> None:
        """The person closed it; the map is there to be shown again."""
        self._dock = None
        self.map.setChecked(False)
        self.desk.settings.setValue(EN_FACE, False)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.measures.disconnect_viewer()
        self.scale.follow(None)
        self.enface.disconnect_viewer()
        self.visits.disconnect_viewer()
        self.agreement.work.forget()
        self.agreement.close()
        dock, self._dock = self._dock, None
        if dock is not None:
            dock.visibilityChanged.disconnect(self._on_dock)
            dock.destroyed.disconnect(self._on_closed)
            dock.hide()
