"""The section “Measure” below the scores: numbers that follow every edit, and lead to B-scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer

from spad.borders import Thickness, by_region, missing_columns
from spad.cases import file_stem
from spad.checkpoint import NOTICE
from spad.measuring import Measurement
from SPADLib.desk import Desk, go_to, numbered
from SPADLib.host import get, ink, one_shot_timer, set_up_table
from SPADLib.measure.fovea_node import proposed, put_fovea
from SPADLib.measure.map_node import refresh_map, show_map, to_map
from SPADLib.measure.result_measures import ResultMeasures
from SPADLib.measure.table_node import to_csv, to_pdf, to_table
from SPADLib.scene import EYE, fovea_of, scale_of

__all__ = ["MeasurePanel"]

COLUMNS = (
    "Structure", "Volume (nL)", "in 1 mm", "in 3 mm", "in 6 mm", "Largest area (mm²)",
    "Largest height (µm)", "Parts",
)  # fmt: skip
EYES = ("eye?", "OD", "OS")
PAUSE_MS = 100


class MeasurePanel:
    """Makes the section and works on it.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
        The section goes below its ``compareSection``.
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk = desk
        self.measures: ResultMeasures | None = None
        self._rows: tuple[Measurement, ...] = ()
        self._clicked: int | None = None  # class value of the row
        self._seen: Any = None
        self._point: tuple[Any, list[int]] | None = None
        self._soon = one_shot_timer(PAUSE_MS, self._on_moved)
        self._build(ui)
        desk.on("parameters", self.refresh)
        desk.on("result", self.refresh)
        for what in ("edited", "reviewed"):  # what is accepted is certain
            desk.on(what, self._on_edited)
        desk.on("lines", self._fill)
        desk.on("left", self._on_left)

    def _build(self, ui: Any) -> None:
        self.section = ctk.ctkCollapsibleButton()
        self.section.setText("Measure")
        self.table, self.label = qt.QTableWidget(), qt.QLabel()
        self.eye = qt.QComboBox()
        self.fovea = qt.QPushButton("Propose the fovea")
        self.fovea.setToolTip("A point at the retina's pit: drag it to where the fovea is")
        self.to_table = qt.QPushButton("To a table")
        self.to_csv = qt.QPushButton("CSV…")
        self.to_map = qt.QPushButton("En-face map")
        self.to_map.setToolTip(
            "The height of the structure whose row was clicked last, seen from above, as a volume "
            "that follows every edit"
        )
        self.to_pdf = qt.QPushButton("PDF…")
        self.to_pdf.setToolTip("One page: map, three B-scans, table, scale, model")
        for text in EYES:
            self.eye.addItem(text)
        self.eye.setToolTip("Tells nasal from temporal in the ETDRS fields (table and CSV)")
        set_up_table(self.table, COLUMNS)
        self.table.setMinimumHeight(150)
        self.label.setWordWrap(True)
        self.label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.MinimumExpanding)
        box = qt.QVBoxLayout(self.section)
        for widget in (self.table, self.label):
            box.addWidget(widget)
        out = (self.to_map, self.to_table, self.to_csv, self.to_pdf)
        for widgets in ((self.eye, self.fovea), out):
            row = qt.QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget)
            box.addLayout(row)
        around = ui.compareSection.parentWidget().layout()
        around.insertWidget(around.indexOf(ui.compareSection) + 1, self.section)
        self.section.setProperty("collapsed", True)
        self.section.contentsCollapsed.connect(lambda *_: self.refresh())
        self.table.cellClicked.connect(self.act)
        self.eye.currentIndexChanged.connect(lambda *_: self.desk.guarded(self._choose_eye))
        self.fovea.clicked.connect(lambda *_: self.desk.guarded(self.propose))
        self.to_table.clicked.connect(lambda *_: self.desk.guarded(self.make_table))
        self.to_csv.clicked.connect(lambda *_: self.desk.guarded(self.export))
        self.to_map.clicked.connect(lambda *_: self.desk.guarded(self.make_map))
        self.to_pdf.clicked.connect(lambda *_: self.desk.guarded(self.export_page))

    # ------------------------------------------------------------------ what is measured

    @property
    def _open(self) -> bool:
        return not get(self.section, "collapsed")

    def refresh(self) -> None:
        """Follow the result at work, while the section is open."""
        result = self.desk.result if self._open else None
        seen = result and result.segmentation
        if seen is self._seen:
            return
        self.stop()
        self._seen = seen
        if result is not None:
            self._measure(result)

    def stop(self) -> None:
        """Measure and watch nothing."""
        self._soon.stop()
        self._unwatch()
        self._seen = self.measures = None
        self._rows = ()
        self.table.setRowCount(0)
        self.label.setText("")

    def _measure(self, result: Any) -> None:
        try:
            self.measures = ResultMeasures(result)
        except ValueError as error:
            self._warn(str(error))
            return
        was = self.eye.blockSignals(True)
        self.eye.setCurrentIndex(EYES.index(self.measures.eye or EYES[0]))
        self.eye.blockSignals(was)
        self._watch()
        self._on_moved()

    def _on_edited(self) -> None:
        if self.measures is None and self._seen is None:
            return
        try:
            if self.measures is None or self.measures.scale != scale_of(self.measures.result):
                self._measure(self.desk.need_result())  # the spacing was set, or set right
                return
            self.measures.refresh(self.desk.labels)
        except ValueError as error:
            seen = self._seen
            self.stop()
            self._seen = seen  # it is looked at again with the next edit
            self._warn(str(error))
            return
        self._fill()

    def _watch(self) -> None:
        """Follow the fovea's point while it is dragged."""
        self._unwatch()
        node = None if self.measures is None else fovea_of(self.measures.result)
        if node is not None:
            kind = slicer.vtkMRMLMarkupsNode
            events = (kind.PointModifiedEvent, kind.PointRemovedEvent)
            tags = [node.AddObserver(event, lambda *_: self._soon.start()) for event in events]
            self._point = node, tags

    def _unwatch(self) -> None:
        if self._point is not None:
            for tag in self._point[1]:
                self._point[0].RemoveObserver(tag)
            self._point = None

    def _on_left(self) -> None:
        """The fovea's point may have left the scene."""
        if self._point is not None and self._point[0].GetScene() is None:
            self._unwatch()
            self._on_moved()

    def _on_moved(self) -> None:
        if self.measures is None:
            return
        try:
            self.measures.place()
        except ValueError as error:
            self.measures.live.place(None)  # else tables and files had the grid of before
            self._fill()
            self._warn(str(error))
            return
        self._fill()

    # ------------------------------------------------------------------ what is shown

    def _fill(self) -> None:
        if self.measures is None:
            return
        rows = {(m.value, m.region): m for m in self.measures.rows()}
        self._rows = tuple(m for (_, region), m in rows.items() if region == "total")
        self.table.setRowCount(len(self._rows))
        for number, one in enumerate(self._rows):
            circles = [rows.get((one.value, f"{d} mm")) for d in (1, 3, 6)]
            texts = (
                one.structure, _volume(one), *("" if c is None else _volume(c) for c in circles),
                f"{one.largest_area_mm2:.3g}", f"{one.largest_height_um:.0f}", str(one.parts),
            )  # fmt: skip
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                if column == 0:
                    item.setToolTip("Click: the B-scan with its largest area")
                self.table.setItem(number, column, item)
        self.table.resizeColumnsToContents()
        refresh_map(self.measures)
        found = self.measures.layers()
        said = [*self.measures.remarks(), *filter(None, [missing_columns(found)])]
        told = [f"Scale (column × row): {self.measures.scale.words}.", *_thicknesses(found)]
        self._warn(" ".join([*told, *(f"⚠ {one}." for one in said), NOTICE]), warn=bool(said))

    def _warn(self, text: str, *, warn: bool = True) -> None:
        self.label.setStyleSheet(ink(self.label, "warning" * warn))
        self.label.setText(text)

    # ------------------------------------------------------------------ what it does

    def act(self, number: int, _column: int = 0) -> None:
        """Show the B-scan with a structure's largest area."""
        if self.measures is None or number >= len(self._rows):
            return
        one, view = self._rows[number], self.desk.view
        self._clicked = one.value
        if one.largest_area_bscan is None:
            self.desk.say(f"{one.structure} is in no {self.desk.word}")
        elif view is not None:
            result = self.measures.result
            go_to(view, result.volume, result.layout, one.largest_area_bscan)
            self.desk.tell("view")
            self.desk.say(
                f"{one.structure}: largest in {self.desk.word} {numbered(one.largest_area_bscan)}"
            )

    def _need(self) -> ResultMeasures:
        if self.measures is None:
            raise ValueError("There is nothing to measure: segment a volume with a true spacing")
        return self.measures

    def _choose_eye(self) -> None:
        text = EYES[get(self.eye, "currentIndex")]
        self._need().result.volume.SetAttribute(EYE, text if text in EYES[1:] else None)
        self._on_moved()

    def propose(self) -> None:
        """Put the fovea's point where the pit is, else into the middle of the scan."""
        measures = self._need()
        between, row, column = measures.live.spacing_mm
        if between is None:
            raise ValueError("A single B-scan has no circles about the fovea")
        found = proposed(measures.result, (between, row, column))
        deep, _, width = measures.live.shape
        put_fovea(measures.result, *(found or ((deep - 1) / 2, (width - 1) / 2)))
        self._watch()
        self._on_moved()
        where = "at the retina's pit" if found else "in the middle of the scan, for no pit is seen"
        self.desk.say(f"The fovea is proposed {where}: drag the point to where it is")

    def make_table(self) -> None:
        """Put the measurements into a table node."""
        node = to_table(self._need())
        self.desk.say(f"The measurements are in the table “{node.GetName()}”")

    def make_map(self) -> None:
        """Show from above how high a structure is: the one clicked last, else the largest."""
        measures = self._need()
        found = {one.value: one for one in self._rows}
        largest = max(self._rows, key=lambda one: one.volume_nl or 0)
        one = found.get(self._clicked or 0, largest)
        node = to_map(measures, one.value)
        where = show_map(node, self.desk.view)
        self.desk.say(
            f"The height of {one.structure} in µm is the volume “{node.GetName()}”"
            + (f", in the view {where}" if where else "")
        )

    def export(self) -> None:
        """Ask for a file, and write the measurements to it."""
        self._save(to_csv, "csv")

    def export_page(self) -> None:
        """Ask for a file, and write the page to it."""
        self._save(to_pdf, "pdf")

    def _save(self, write: Callable[[ResultMeasures, Path], None], suffix: str) -> None:
        measures = self._need()
        stem = file_stem(measures.result.segmentation.GetName(), "segmentation")
        name = f"{stem} measurements.{suffix}"
        path = qt.QFileDialog.getSaveFileName(
            self.to_csv, "Save the measurements", name, f"{suffix.upper()} (*.{suffix})"
        )
        if path:
            write(measures, Path(str(path)))
            self.desk.say(f"The measurements are in {path}")


def _thicknesses(found: Sequence[Thickness]) -> list[str]:
    """Mean thickness between lines, in all and in the central subfield."""
    out = []
    for layer, means in by_region(found).items():
        um, centre = means["total"], means.get("C1")
        if um is not None:
            middle = "" if centre is None else f" (C1 {centre:.0f})"
            out.append(f"{layer}: {um:.0f} µm{middle}.")
    return ["Mean thickness between lines: " + " ".join(out)] if out else []


def _volume(one: Measurement) -> str:
    if one.volume_nl is None:
        return "–"
    text = f"{one.volume_nl:.3g}"
    if one.low_nl is not None and one.high_nl is not None:
        text += f" ({one.low_nl:.3g}–{one.high_nl:.3g})"
    return text
