"""The window “Visits”: stacks of one eye over time, and how their scans lie on each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Background, Desk, named, narrow
from napari_spad.layers import numbered
from napari_spad.measure.enface_view import Drawing, EnFaceView
from napari_spad.measure.plot_view import PlotView
from napari_spad.measure.saving import Saving
from napari_spad.measure.stack_measures import StackMeasures
from napari_spad.measure.table import MeasureTable
from napari_spad.measure.visit_stacks import (
    VisitStack,
    counted,
    laid,
    line_rows,
    show_counterpart,
    stacks,
    visit_sheet,
)
from spad.borders import missing_columns
from spad.checkpoint import LabelClass
from spad.measuring import (
    Alignment,
    Visit,
    as_day,
    checkerboard,
    table_csv,
    visit_remarks,
    visit_rows,
    visits_page,
    visits_plot,
)

__all__ = ["VisitsPanel"]

NAME, DAY, EYE = range(3)
REGIONS = ("total", "6 mm", "3 mm", "1 mm")


class VisitsPanel(QWidget):
    """A window: which stacks are visits, their volumes, and two of them laid on each other.

    Parameters
    ----------
    desk : Desk
    measures : StackMeasures
        Knows scale, eye and fovea of each image.
    saving : Saving
        Asks for files.
    parent : QWidget

    Attributes
    ----------
    stacks : list of VisitStack
        The rows of the list.
    visits : list of Visit
        As they were measured last.
    alignment : Alignment or None
        Of the two that were laid on each other last.
    """

    def __init__(
        self, desk: Desk, measures: StackMeasures, saving: Saving, parent: QWidget
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("SPAD visits")
        self.desk, self.measures, self._saving = desk, measures, saving
        self.stacks: list[VisitStack] = []
        self.visits: list[Visit] = []
        self.classes: list[LabelClass] = []  # of all the visits, by name
        self.alignment: Alignment | None = None
        self._pair: tuple[VisitStack, VisitStack] | None = None
        self._counted: list[VisitStack] = []  # those of the visits
        self._work = Background(self._say)
        self._build()
        self._drawing = Background(self.plot.say)
        self.list.itemChanged.connect(self._on_item)
        self.measure.clicked.connect(self.count)
        self.region.currentIndexChanged.connect(self._show_table)
        self.csv.clicked.connect(self._save_csv)
        self.pdf.clicked.connect(self._save_pdf)
        self.lay.clicked.connect(self.lay_on_each_other)
        self.board.clicked.connect(self._on_board)
        self.board.tip = self._tip
        self.counterpart.clicked.connect(self._on_counterpart)
        for event in self._layer_events():
            event.connect(self._on_layers)

    def _build(self) -> None:
        self.list = named(QTableWidget(0, 3), "visit_stacks")
        self.list.setHorizontalHeaderLabels(["stack", "day of the visit", "eye"])
        self.list.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.list.verticalHeader().hide()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setToolTip("Tick the stacks of one eye. Days come from the files, or are typed")
        self.measure = named(QPushButton("Measure"), "measure_visits")
        self.region = narrow(named(QComboBox(), "visit_region"))
        for region in REGIONS:
            self.region.addItem(region.replace("total", "all").replace(" mm", " mm circle"), region)
        self.csv = named(QPushButton("CSV…"), "save_visits")
        self.pdf = named(QPushButton("PDF…"), "visits_page")
        self.table = named(MeasureTable(), "visits_table")
        self.plot = named(PlotView(), "visits_plot")
        self.first, self.second = (
            narrow(named(QComboBox(), name)) for name in ("laid_first", "laid_second")
        )
        self.lay = named(QPushButton("Lay on each other"), "lay_visits")
        self.lay.setToolTip("Find how the two scans lie on each other, by their vessels")
        self.board = named(EnFaceView(), "checkerboard")
        self.counterpart = named(QPushButton("⇄ Counterpart"), "counterpart")
        self.counterpart.setToolTip("Show the B-scan of the other visit in place of this one")
        self.note = named(QLabel(), "visits_note")
        self.note.setWordWrap(True)
        self._lay_out()
        self.resize(980, 640)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        for widget in (self.measure, self.region, self.csv, self.pdf):
            row.addWidget(widget)
        left = QVBoxLayout()
        left.addWidget(self.list, 1)
        left.addLayout(row)
        left.addWidget(self.table, 2)
        left.addWidget(self.note)
        on = QWidget()
        grid = QGridLayout(on)
        grid.addWidget(self.first, 0, 0)
        grid.addWidget(self.second, 0, 1)
        grid.addWidget(self.lay, 1, 0)
        grid.addWidget(self.counterpart, 1, 1)
        grid.addWidget(self.board, 2, 0, 1, 2)
        grid.setRowStretch(2, 1)
        self.shown = named(QTabWidget(), "visits_shown")
        self.shown.addTab(self.plot, "Course")
        self.shown.addTab(on, "Laid on each other")
        whole = QHBoxLayout(self)
        whole.addLayout(left, 1)
        whole.addWidget(self.shown, 1)

    # ------------------------------------------------------------------ which stacks

    def _layer_events(self) -> tuple[Any, ...]:
        events = self.desk.viewer.layers.events
        return events.inserted, events.removed

    def _on_layers(self, _event: Any = None) -> None:
        if self.isVisible():
            self.look()

    def open(self) -> None:
        """Show the window, with the stacks that the viewer has now."""
        self.look()
        self.show()
        self.raise_()

    def look(self) -> None:
        """List the stacks that the viewer has now; what was ticked stays so."""
        before = {stack.layer: self._ticked(n) for n, stack in enumerate(self.stacks)}
        self.stacks = [VisitStack(layer, self.measures) for layer in stacks(self.measures)]
        with QSignalBlocker(self.list):
            self.list.setRowCount(len(self.stacks))
            for row, stack in enumerate(self.stacks):
                name = QTableWidgetItem(stack.layer.name)
                name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                name.setToolTip(f"{stack.layer.name}, of “{stack.facts.image.name}”")
                ours = "spad" in stack.layer.metadata
                on = before.get(stack.layer, ours)
                name.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
                self.list.setItem(row, NAME, name)
                self.list.setItem(row, DAY, QTableWidgetItem(stack.facts.date))
                eye = QTableWidgetItem(stack.facts.eye or "?")
                eye.setFlags(Qt.ItemFlag.ItemIsEnabled)
                self.list.setItem(row, EYE, eye)
        self._list_pair()

    def _list_pair(self) -> None:
        names = [stack.layer.name for stack in self.stacks]
        for combo, proposed in ((self.first, 0), (self.second, 1)):
            at = combo.currentIndex()
            combo.clear()
            combo.addItems(names)
            combo.setCurrentIndex(at if 0 <= at < len(names) else min(proposed, len(names) - 1))

    def _ticked(self, row: int) -> bool:
        item = self.list.item(row, NAME)
        return item is not None and item.checkState() == Qt.CheckState.Checked

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() != DAY:
            return
        facts = self.stacks[item.row()].facts
        try:
            facts.type_date(as_day(item.text()))
        except ValueError as error:
            self._say(str(error))
        with QSignalBlocker(self.list):
            item.setText(facts.date)

    # ------------------------------------------------------------------ volumes

    def count(self) -> None:
        """Measure the ticked stacks, in a worker thread."""
        chosen = [stack for row, stack in enumerate(self.stacks) if self._ticked(row)]
        try:
            if len(chosen) < 2:
                raise ValueError(f"{len(chosen)} stack is ticked; tick at least 2 of one eye")
            tasks = [stack.task() for stack in chosen]
        except ValueError as error:
            self._say(str(error))
            return
        self.classes = list({c.name: c for stack in chosen for c in stack.classes}.values())
        self._say("counting…")
        self._work.start(lambda: counted(tasks), lambda found: self._on_counted(chosen, found))

    def _on_counted(self, chosen: list[VisitStack], found: list[Any]) -> None:
        try:
            visits = [stack.visit(one) for stack, one in zip(chosen, found, strict=True)]
            visit_rows(visits)
        except ValueError as error:
            self._say(str(error))
            return
        self.visits, self._counted = visits, chosen
        self._show_table()
        some = [
            f"“{stack.layer.name}”: {said}"
            for stack in chosen
            for said in (stack.partly, missing_columns(stack.layers))
            if said
        ]
        self._say("\n".join((*some, *visit_remarks(visits))))
        classes = self.classes
        self.plot.say("drawing…")
        self._drawing.start(lambda: visits_plot(visits, classes), self.plot.show_png)

    def _show_table(self) -> None:
        if self.visits:
            classes = self.classes
            layers = [stack.layers for stack in self._counted]
            shown = visit_sheet(self.visits, layers, self.region.currentData(), classes)
            self.table.show_sheet(shown, {c.value: c.hex for c in classes})
        for button in (self.csv, self.pdf):
            button.setEnabled(bool(self.visits))

    def event(self, event: Any) -> bool:
        """Say on coming back to the window which numbers are old."""
        if event.type() == QEvent.Type.WindowActivate:
            self._old()
        return super().event(event)

    def _old(self) -> bool:
        """Whether the numbers are not those of the stacks as they are now; which ones is said."""
        changed = [f"“{s.layer.name}”" for s in self._counted if s.changed]
        if changed:
            self._say(f"{', '.join(changed)}: changed since the numbers; press Measure")
        return bool(changed)

    def _save_csv(self) -> None:
        if self._old():
            return
        if self.visits and (path := self._saving.ask("visits", ".csv")) is not None:
            rows = visit_rows(self.visits)
            rows += line_rows(self.visits, self._counted, rows)
            self._saving.write(path, table_csv(rows))

    def _save_pdf(self) -> None:
        if not self.visits or self._old() or (path := self._saving.ask("visits", ".pdf")) is None:
            return
        visits, classes = list(self.visits), self.classes
        eye = next((v.eye for v in visits if v.eye), "")
        title = f"Visits of one eye {eye}".strip()
        self._work.start(
            lambda: visits_page(visits, classes, title=title),
            lambda pdf: self._saving.write(path, pdf),
        )

    # ------------------------------------------------------------------ laid on each other

    def lay_on_each_other(self) -> None:
        """Find how the two chosen visits lie on each other, in a worker thread."""
        pair = self.first.currentIndex(), self.second.currentIndex()
        if -1 in pair or self.stacks[pair[0]].facts is self.stacks[pair[1]].facts:
            self._say("Choose the stacks of two visits, each with its image")
            return
        first, second = (self.stacks[n] for n in pair)
        self._say("laying them on each other…")
        self._work.start(
            lambda: laid(first.facts, second.facts),
            lambda found: self._on_laid(first, second, found),
        )

    def _on_laid(self, first: VisitStack, second: VisitStack, found: Alignment | str) -> None:
        if isinstance(found, str):
            self._say(found)
            return
        self.alignment, self._pair = found, (first, second)
        squares = np.nan_to_num(checkerboard(found))
        colours = np.repeat((squares * 255).astype(np.uint8)[..., None], 3, -1)
        upward = first.facts.first != "superior"
        self.board.draw(Drawing(colours, found.first.step_mm, upward), 0)
        words = found.words
        if found.found:
            words = f"“{second.layer.name}” is {words}. Where vessels run on, it lies right"
        self._say(words)

    def _tip(self, bscan: int, share: float) -> str:
        column = self._column(share)
        place = None if self.alignment is None else self.alignment.counterpart(bscan, column)
        here = f"B-scan {numbered(bscan)}, column {numbered(column)}"
        if place is None:
            return f"{here}: not scanned at the other visit"
        there = f"B-scan {numbered(place[0], 1)}, column {numbered(place[1])}"
        return f"{here}; at the other visit {there}"

    def _column(self, share: float) -> int:
        return 0 if self._pair is None else round(share * (self._pair[0].facts.shape[2] - 1))

    def _on_board(self, bscan: int, share: float) -> None:
        if self._pair is not None and not self._gone():
            facts = self._pair[0].facts
            self.desk.go_to(facts.image, (bscan,), (facts.shape[1] / 2, self._column(share)))
            self.board.show_bscan(bscan)
            self._say(self._tip(bscan, share))

    def _gone(self) -> bool:
        """Whether one of the two that were laid on each other is not here; that is said."""
        gone = [f"“{s.layer.name}”" for s in self._pair or () if not s.here]
        if gone:
            self._say(
                f"{' and '.join(gone)}: it or its image is not in the viewer any more; open it "
                "again, and lay the visits on each other anew"
            )
        return bool(gone)

    def _on_counterpart(self) -> None:
        if self._pair is None or self.alignment is None:
            self._say("Lay two visits on each other first")
            return
        if self._gone():
            return
        (first, second), found = self._pair, self.alignment
        if not first.facts.image.visible:  # the second is on screen
            first, second, found = second, first, found.turned()
        self._say(show_counterpart(first, second, found, self.desk))

    # ------------------------------------------------------------------ work and words

    def _say(self, text: str) -> None:
        lines = [line for line in text.splitlines() if line]
        self.note.setText("\n".join(f"{line[:1].upper()}{line[1:]}" for line in lines))

    def disconnect_viewer(self) -> None:
        """Forget what is under way."""
        for event in self._layer_events():
            event.disconnect(self._on_layers)
        self._work.forget()
        self._drawing.forget()
        self.close()
