"""The panel “Scores”: the scores of each structure, live while painting; and they act."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
)

from napari_spad.desk import Desk, Result, annotator, form_layout, named
from napari_spad.layers import (
    Edit,
    leading_index,
    segmented,
    spacing_mm,
)
from napari_spad.scores.compared_layers import ComparedLayers
from napari_spad.scores.difference_layer import Differences
from napari_spad.scores.hd95_worker import Distances
from napari_spad.scores.live_scores import LiveScores
from napari_spad.scores.menu import ScoreMenu
from napari_spad.scores.row_actions import RowActions
from napari_spad.scores.table import ScoreTable
from spad.metrics import (
    difference_map,
    structure_scores,
)

__all__ = ["ScoresPanel"]

GLANCE_MS = 100
"""While events come that may hide an edit, the B-scan on screen is looked over this often."""
QUIET_MS = 200
"""And the whole layer, when this long nothing came."""
HD95_MS = 350
"""HD95 waits for a pause this long; it is too slow to follow every stroke."""
SPACING_PX = 4


class ScoresPanel(QGroupBox):
    """Scores of a segmentation layer against a reference layer.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__("Scores")
        self.desk = desk
        self.viewer = viewer = desk.viewer
        self._problem = ""
        self._spacing: tuple[float, ...] | None = None
        self._scored: tuple[int, ...] = ()
        self.live = LiveScores(self._on_change, self._on_stale)
        self.compared = ComparedLayers(viewer)
        self.segmentation, self.reference = self.compared.segmentation, self.compared.reference
        self._build()
        self.row_actions = RowActions(desk, self.live, self.table, self._on_change)
        self.structures, self.alone = self.row_actions.structures, self.row_actions.alone
        self._differences = Differences(viewer)
        self._glance = self._timer(GLANCE_MS, self._on_glance)
        self._quiet = self._timer(QUIET_MS, self._on_quiet)
        self._pause = self._timer(HD95_MS, self._start_hd95)
        self._repaint = self._timer(0, self._show_differences)
        self._distances = Distances(self)
        self._distances.found.connect(self._on_distance)
        self.compared.changed.connect(self._watch)
        self.stack.toggled.connect(self.refresh)
        self.differences.toggled.connect(self._on_differences)
        self.menu.compare.triggered.connect(self._compare)
        self.menu.handed_over.connect(self.show_segmentation)
        self.menu.structure_asked.connect(self._add_structure)
        desk.result_added.connect(self._on_result)
        desk.edited.connect(self._on_edited)
        viewer.dims.events.current_step.connect(self._on_slice)
        viewer.layers.events.removed.connect(self._on_removed)
        self.compared.look()
        self._watch()

    def _timer(self, ms: int, work: Any) -> QTimer:
        timer = QTimer(self, singleShot=True, interval=ms)
        timer.timeout.connect(work)
        return timer

    def _build(self) -> None:
        self.stack = named(QCheckBox("Whole stack"), "scores_whole_stack")
        self.stack.setToolTip(
            "Score all B-scans of the stack on screen together; otherwise the one on screen"
        )
        self.differences = named(QPushButton("Differences"), "differences")
        self.differences.setCheckable(True)
        self.differences.setToolTip(
            "Show in the B-scan on screen where the labels are too much (orange) and where they "
            "are missing (blue), while you paint.\nOf the structure that is shown alone, or of all."
        )
        self.table = named(ScoreTable(), "score_table")
        self.menu = ScoreMenu(self.desk, self.live, self.table, self)
        self.more = named(QPushButton("⋯"), "scores_menu")
        self.more.setFixedWidth(28)
        self.more.setToolTip("Copy, save, annotators")
        self.more.clicked.connect(
            lambda: self.menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))
        )
        self.add = named(QPushButton("+"), "add_structure")
        self.add.setFixedWidth(28)
        self.add.setToolTip(self.menu.add.toolTip())
        self.add.clicked.connect(self.menu.add.trigger)
        self.note = named(QLabel(), "score_note")
        self.note.setWordWrap(True)
        self.note.hide()
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(
            lambda at: self.menu.popup(self.table.viewport().mapToGlobal(at))
        )
        form = form_layout()
        form.addRow("Labels", self.segmentation)
        form.addRow("Reference", self.reference)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.stack)
        row.addStretch(1)
        row.addWidget(self.differences)
        row.addWidget(self.add)
        row.addWidget(self.more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(SPACING_PX)
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self.note)
        layout.addWidget(self.table, 1)

    # ------------------------------------------------------------------ which layers

    def show_segmentation(self, layer: Labels) -> None:
        """Score this layer from now on."""
        self.segmentation.choose(layer)

    def take_note(self, layer: Labels, index: tuple[int, ...]) -> None:
        """Count a B-scan that was just written to `layer`, if it is the one scored."""
        if layer is self.live.segmentation:
            self.live.glance(index)
            if index[: len(self.place)] == self.place:
                self.refresh()

    def _on_result(self, result: Result) -> None:
        self.structures.attend(result.layer, result.locked)
        if (name := annotator(self.desk)) and "annotator" not in result.layer.metadata:
            result.layer.metadata["annotator"] = name

    def _on_edited(self, result: Result, edit: Edit) -> None:
        """Undo and redo: of labels that are not seen napari tells nothing."""
        if edit.kind != "stroke" and result.layer is self.live.segmentation:
            self._on_stale()

    def _on_removed(self, event: Any) -> None:
        self.structures.forget(event.value)
        if event.value is self._differences.layer:
            self.differences.setChecked(False)

    def _watch(self) -> None:
        self.row_actions.let_go()
        ours, theirs, self._problem = self.compared.chosen()
        try:
            self.live.watch(ours, theirs)
        except ValueError as error:
            self._problem = str(error)
            with suppress(ValueError):  # sizes alone
                self.live.watch(ours, None)
        if (layer := self.live.segmentation) is not None:
            self.row_actions.follow(layer, self.live.reference)
        self.menu.follow(layer)
        if self.live.reference is None:
            self.differences.setChecked(False)
        self.differences.setEnabled(self.live.reference is not None)
        self.add.setEnabled(self.live.segmentation is not None)
        self._on_change()

    # ------------------------------------------------------------------ when to count

    def _on_stale(self) -> None:
        if not self._glance.isActive():
            self._glance.start()
        self._quiet.start()

    def _on_glance(self) -> None:
        layer = self.live.segmentation
        if layer is not None and layer.data.ndim == layer.ndim:
            self.live.glance(leading_index(layer, self.viewer))

    def _on_quiet(self) -> None:
        before = self.live.reference
        try:
            self.live.settle()
        except ValueError:  # the layer's data were replaced by something else
            self._watch()
        if self.live.reference is not before:  # what was painted in it made it one, or none
            self._watch()

    def _on_slice(self, _event: Any = None) -> None:
        if self.place != self._scored:
            self.refresh()
        self._show_differences()

    def _on_change(self) -> None:
        self.refresh()
        if self.differences.isChecked():
            self._repaint.start()

    @property
    def place(self) -> tuple[int, ...]:
        """Place on the leading axes of the B-scan that is scored, or of the stack on screen."""
        layer = self.live.segmentation
        index = () if layer is None else leading_index(layer, self.viewer)
        return index[:-1] if self.stack.isChecked() else index

    # ------------------------------------------------------------------ what is shown

    def refresh(self, _checked: bool = False) -> None:
        """Show the current numbers."""
        live, layer = self.live, self.live.segmentation
        self.stack.setVisible(layer is not None and layer.ndim > 2)
        self._say()
        if layer is None or not live.classes:
            self.table.setRowCount(0)
            self._distances.stop()
            return
        self._scored = place = self.place
        matrix = live.matrix(place)
        axes = layer.ndim - len(place) if layer.ndim > 2 else 2
        self._spacing = spacing_mm(layer, axes)
        self.table.show_units(self._spacing, axes)
        self.table.show_scores(
            live,
            structure_scores(matrix, live.classes),
            others=int(matrix[:, -1].sum()),
            alone=self.alone.code,
            hidden=self.structures.hidden(layer),
            locked=self.structures.locked(layer),
        )
        self._pause.start()

    def _say(self) -> None:
        text = self._problem or self._remark()
        self.note.setText(text)
        self.note.setVisible(bool(text))
        self.table.make_room(self.note.fontMetrics().lineSpacing() + SPACING_PX if text else 0)

    def _remark(self) -> str:
        layer = self.live.segmentation
        if layer is None:
            return "Segment an image, or choose a Labels layer, to see its structures."
        shape, place = tuple(layer.data.shape), self.place
        if self.live.reference is None:
            wanted = " × ".join(map(str, shape))
            return self.live.remark or f"For scores add a reference: {wanted}."
        known = segmented(layer)
        here = math.prod(shape[len(place) : -2])
        done = sum(at[: len(place)] == place for at in known) if known is not None else here
        if not done and len(place) == len(shape) - 2:
            return "This B-scan is not segmented yet."
        if done < here:
            return f"{done} of {here} B-scans are segmented."
        return self.live.remark

    # ------------------------------------------------------------------ HD95

    def _start_hd95(self) -> None:
        compared = [s.value for s in self.table.scores if s.state == "compared"]
        if self.live.segmentation is None or self.live.reference is None or not compared:
            self._distances.stop()
            return
        self._distances.start(*self.live.class_maps(self.place), compared, self._spacing)

    def _on_distance(self, value: int, distance: float) -> None:
        row = next((r for r, s in enumerate(self.table.scores) if s.value == value), None)
        if row is not None and self.table.scores[row].state == "compared":
            self.table.show_distance(row, distance)

    # ------------------------------------------------------------------ differences

    def _on_differences(self, on: bool) -> None:
        if on:
            self._show_differences()
        else:
            self._differences.hide()

    def _show_differences(self) -> None:
        layer = self.live.segmentation
        if not self.differences.isChecked() or layer is None or self.live.reference is None:
            return
        index = leading_index(layer, self.viewer)
        found = difference_map(*self.live.class_maps(index), self.alone.code)
        self._differences.show(index, found, layer)

    # ------------------------------------------------------------------ a new structure

    def _add_structure(self, name: str) -> None:
        layer = self.live.segmentation
        result = next((r for r in self.desk.results if r.layer is layer), None)
        if result is None:
            self.desk.say("Structures are added to what a model segmented: choose it as “Labels”.")
            return
        self.row_actions.let_go()  # of its colours
        try:
            new = result.add_class(name)
        except ValueError as error:
            self.desk.fail(error)
            return
        finally:
            self._watch()
        result.layer.selected_label = new.value
        self.desk.result_described.emit(result)
        number = len(result.classes) - 1
        key = f" (key {number})" if number < 10 else ""
        self.desk.say(
            f"“{new.name}”{key} is there to be painted. The model learns it by Learn (K), from one "
            "to three B-scans."
        )

    # ------------------------------------------------------------------ annotators

    def _compare(self, _checked: bool = False) -> None:
        from napari_spad.scores.annotators_compared import Comparison

        whole = self.stack.isChecked()
        Comparison(self.desk, self.live, whole_stack=whole, parent=self).show()

    # ------------------------------------------------------------------ the end

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        for timer in (self._glance, self._quiet, self._pause, self._repaint):
            timer.stop()
        self._distances.stop()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.row_actions.let_go()
        self._differences.hide()
        self.structures.release()
        self.menu.follow(None)
        self.live.stop()
        self.compared.disconnect_viewer()
        self.viewer.dims.events.current_step.disconnect(self._on_slice)
