"""The score table: Dice, IoU, HD95 and area of each structure, live while painting; and it acts."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

from napari_spad.desk import Desk, LayerCombo, Result, form_layout, named
from napari_spad.layers import (
    StructureControls,
    is_label_map,
    leading_index,
    outline,
    segmented,
    spacing_mm,
    structure_names,
)
from napari_spad.scores.alone import Alone
from napari_spad.scores.annotators import annotator
from napari_spad.scores.difference_layer import Differences
from napari_spad.scores.hd95_worker import Distances
from napari_spad.scores.live_scores import LiveScores, mismatch
from napari_spad.scores.menu import ScoreMenu
from napari_spad.scores.table import AREA, DICE, EYE, HD95, IOU, LOCK, NAME, ScoreTable
from spad.metrics import (
    StructureScore,
    difference_map,
    largest_disagreement,
    mean_scores,
    structure_scores,
    worst_slices,
)

__all__ = ["ScoresPanel"]

GLANCE_MS = 100
"""While events come that may hide an edit, the B-scan on screen is looked over this often."""
QUIET_MS = 200
"""And the whole layer, when this long nothing came."""
HD95_MS = 350
"""HD95 waits for a pause this long; it is too slow to follow every stroke."""
IN_WORDS = {
    "absent": ("absent in both", "Neither the segmentation nor the reference has it."),
    "missed": ("missed", "Only the reference has it: Dice and IoU are 0."),
    "invented": ("invented", "Only the segmentation has it: Dice and IoU are 0."),
}


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
        self._shown: list[StructureScore] = []
        self._build()
        self.live = LiveScores(self._on_change, self._on_stale)
        self.structures = StructureControls(self._values_of, self._on_held, desk.say)
        self.alone = Alone(self.live, self.structures, self._on_change)
        self._differences = Differences(viewer)
        self._glance = self._timer(GLANCE_MS, self._on_glance)
        self._quiet = self._timer(QUIET_MS, self._on_quiet)
        self._pause = self._timer(HD95_MS, self._start_hd95)
        self._repaint = self._timer(0, self._show_differences)
        self._distances = Distances(self)
        self._distances.found.connect(self._on_distance)
        self.segmentation.layer_changed.connect(self._on_segmentation)
        self.reference.layer_changed.connect(self._watch)
        self.stack.toggled.connect(self.refresh)
        self.differences.toggled.connect(self._on_differences)
        self.table.named_clicked.connect(self._on_row)
        self.table.named_double_clicked.connect(self._on_double_click)
        self.table.eye_clicked.connect(self._on_eye)
        self.table.lock_clicked.connect(self._on_lock)
        self.table.escaped.connect(self.alone.show_all)
        desk.result_added.connect(self._on_result)
        viewer.dims.events.current_step.connect(self._on_slice)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        self._on_inserted()
        self._watch()

    def _timer(self, ms: int, work: Any) -> QTimer:
        timer = QTimer(self, singleShot=True, interval=ms)
        timer.timeout.connect(work)
        return timer

    def _build(self) -> None:
        self.segmentation = LayerCombo(self.viewer, is_label_map, "–", optional=True)
        self.segmentation.setObjectName("segmentation")
        self.reference = LayerCombo(self.viewer, is_label_map, "–", optional=True)
        self.reference.setObjectName("reference")
        self.stack = named(QCheckBox("Whole stack"), "scores_whole_stack")
        self.stack.setToolTip("Score all B-scans together; otherwise the one on screen")
        self.differences = named(QPushButton("Differences"), "differences")
        self.differences.setCheckable(True)
        self.differences.setToolTip(
            "Show in the B-scan on screen where the labels are too much (orange) and where they "
            "are missing (blue), while you paint.\nOf the structure that is shown alone, or of all."
        )
        self.menu = ScoreMenu(self)
        self.more = named(QPushButton("⋯"), "scores_menu")
        self.more.setFixedWidth(28)
        self.more.setToolTip("Copy, save, annotators")
        self.more.clicked.connect(
            lambda: self.menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))
        )
        self.note = named(QLabel(), "score_note")
        self.note.setWordWrap(True)
        self.note.hide()
        self.table = named(ScoreTable(), "score_table")
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
        row.addWidget(self.more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self.note)
        layout.addWidget(self.table, 1)

    # ------------------------------------------------------------------ which layers

    def show_segmentation(self, layer: Labels) -> None:
        """Score this layer from now on."""
        self.segmentation.choose(layer)

    def others(self, layer: Labels) -> list[Labels]:
        """Label layers that can be compared with one: all of its shape, the lowest first."""
        return [o for o in self.viewer.layers if is_label_map(o) and not mismatch(layer, o)]

    def take_note(self, layer: Labels, index: tuple[int, ...]) -> None:
        """Count a B-scan that was just written to `layer`, if it is the one scored."""
        if layer is self.live.segmentation:
            self.live.glance(index)
            if self.place in (None, index):
                self.refresh()

    def _on_result(self, result: Result) -> None:
        self.structures.attend(result.layer, result.locked)
        if (name := annotator(self.desk)) and "annotator" not in result.layer.metadata:
            result.layer.metadata["annotator"] = name

    def _on_removed(self, event: Any) -> None:
        self.structures.forget(event.value)
        if event.value is self._differences.layer:
            self.differences.setChecked(False)

    def _on_active(self, _event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if isinstance(active, Labels) and "spad" in active.metadata:
            self.segmentation.choose(active)

    def _on_inserted(self, _event: Any = None) -> None:
        for layer in filter(is_label_map, self.viewer.layers):
            outline(layer)
        self._choose_reference()

    def _choose_reference(self) -> None:
        """Propose a reference where none is chosen that fits: one that no model made."""
        ours, chosen = self.segmentation.layer, self.reference.layer
        if ours is None or (chosen is not None and not mismatch(ours, chosen)):
            return
        fitting = [
            layer
            for layer in reversed(self.viewer.layers)
            if is_label_map(layer)
            and not {"spad", "vendor_lines"} & set(layer.metadata)  # those are other structures
            and not mismatch(ours, layer)
        ]
        self.reference.choose(fitting[0] if fitting else None)

    def _on_segmentation(self, _layer: Any = None) -> None:
        before = self.reference.layer
        self._choose_reference()
        if self.reference.layer is before:  # otherwise its change has done it
            self._watch()

    def _watch(self, _layer: Any = None) -> None:
        ours, theirs = self.segmentation.layer, self.reference.layer
        self._let_go()
        self._problem = ""
        if ours is not None and theirs is not None and (why := mismatch(ours, theirs)):
            self._problem, theirs = f"No scores with “{theirs.name}”: {why}.", None
        try:
            self.live.watch(ours, theirs)
        except ValueError as error:
            self._problem = str(error)
        if (layer := self.live.segmentation) is not None:
            layer.events.selected_label.connect(self._on_selected_label)
            self.structures.attend(layer)
            self.alone.follow(layer, self.live.reference)
        self.menu.follow(layer)
        if self.live.reference is None:
            self.differences.setChecked(False)
        self.differences.setEnabled(self.live.reference is not None)
        self._on_change()

    def _let_go(self) -> None:
        """Follow the layers of before no more; the reference is seen as it was."""
        if (layer := self.alone.segmentation) is not None:
            layer.events.selected_label.disconnect(self._on_selected_label)
        self.alone.let_go()

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
        try:
            self.live.settle()
        except ValueError:  # the layer's data were replaced by something else
            self._watch()

    def _on_slice(self, _event: Any = None) -> None:
        if not self.stack.isChecked():
            self.refresh()
        self._show_differences()

    def _on_change(self) -> None:
        self.refresh()
        if self.differences.isChecked():
            self._repaint.start()

    @property
    def place(self) -> tuple[int, ...] | None:
        """The B-scan that is scored; None for the whole stack."""
        layer = self.live.segmentation
        if layer is None or (self.stack.isChecked() and layer.ndim > 2):
            return None
        return leading_index(layer, self.viewer)

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
        place = self.place
        matrix = live.matrix(place)
        self._shown = list(structure_scores(matrix, live.classes))
        self._headers(place is None)
        others = int(matrix[:, -1].sum())
        self.table.setRowCount(len(self._shown) + 1 + (others > 0))
        for row, score in enumerate(self._shown):
            self._show_structure(row, score)
        self._show_mean(len(self._shown))
        if others:
            self._show_others(len(self._shown) + 1, others)
        self._pause.start()

    def _show_structure(self, row: int, score: StructureScore) -> None:
        table, layer = self.table, self.live.segmentation
        color, value = self.live.classes[score.value].hex, self.live.values[score.value]
        alone = score.value == self.alone.code
        key = f", key {row + 1}" if row < 9 else ""
        table.cell(row, NAME, score.name, f"Label {value}{key}", color, bold=alone)
        table.marks(
            row,
            seen=value not in self.structures.hidden(layer),
            locked=value in self.structures.locked(layer),
        )
        if self.live.reference is not None and score.state in IN_WORDS:
            table.say_over(row, *IN_WORDS[score.state])
        else:
            table.say_apart(row)
            if self.live.reference is None:
                for column in (DICE, IOU, HD95):
                    table.cell(row, column, "–", "Choose a reference to see scores")
            else:
                table.cell(row, DICE, f"{score.dice:.3f}")
                table.cell(row, IOU, f"{score.iou:.3f}")
                table.cell(row, HD95, "…", "counted when you pause")
        table.cell(row, AREA, self._area(score.predicted_pixels))

    def _show_mean(self, row: int) -> None:
        dice, iou, count = mean_scores(self._shown)
        tip = f"Over the {count} structures in either map; missed and invented ones count as 0"
        known = self.live.reference is not None and count
        self.table.say_apart(row)
        self.table.blank(row, (HD95, AREA, EYE, LOCK))
        self.table.cell(row, NAME, "Mean", tip, bold=True)
        self.table.cell(row, DICE, f"{dice:.3f}" if known else "–", tip, bold=True)
        self.table.cell(row, IOU, f"{iou:.3f}" if known else "–", tip, bold=True)

    def _show_others(self, row: int, pixels: int) -> None:
        self.table.cell(row, NAME, "undefined", "Pixels whose value is no structure", "#ff00ff")
        self.table.say_over(row, "value without a name", "Its number is in the status bar")
        self.table.cell(row, AREA, self._area(pixels))

    def _headers(self, whole: bool) -> None:
        layer: Any = self.live.segmentation
        axes = 3 if whole and layer.ndim > 2 else 2
        self._spacing = spacing_mm(layer, axes)
        unit = "mm" if self._spacing else "px"
        size = "Volume" if axes == 3 else "Area"
        power = "³" if axes == 3 else "²"
        measure = f"{size}\n{unit}{power}" if self._spacing else f"{size}\npx"
        self.table.headers("Dice", "IoU", f"HD95\n{unit}", measure)

    def _area(self, pixels: int) -> str:
        if self._spacing is None:
            return f"{pixels:,}".replace(",", " ")
        size = pixels * math.prod(self._spacing)
        if size < 0.001:
            return "<0.001" if pixels else "0"
        return f"{size:.3f}" if size < 10 else f"{size:.1f}"

    def _say(self) -> None:
        text = self._problem or self._remark()
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _remark(self) -> str:
        layer = self.live.segmentation
        if layer is None:
            return "Segment an image, or choose a Labels layer, to see its structures."
        shape = tuple(layer.data.shape)
        if self.live.reference is None:
            wanted = " × ".join(map(str, shape))
            return f"For scores add a reference: a Labels layer of {wanted}."
        done, place, count = segmented(layer), self.place, math.prod(shape[:-2])
        if done is not None and place is not None and place not in done:
            return "This B-scan is not segmented yet."
        if done is not None and place is None and len(done) < count:
            return f"{len(done)} of {count} B-scans are segmented."
        return self.live.remark

    # ------------------------------------------------------------------ HD95

    def _start_hd95(self) -> None:
        compared = [s.value for s in self._shown if s.state == "compared"]
        if self.live.segmentation is None or self.live.reference is None or not compared:
            self._distances.stop()
            return
        self._distances.start(*self.live.masks(self.place), compared, self._spacing)

    def _on_distance(self, value: int, distance: float) -> None:
        row = next((r for r, s in enumerate(self._shown) if s.value == value), None)
        if row is not None and self._shown[row].state == "compared":
            text = f"{distance:.3f}" if self._spacing else f"{distance:.1f}"
            self.table.cell(row, HD95, text, "95th percentile of the distances between the borders")

    # ------------------------------------------------------------------ what it does

    def _values_of(self, layer: Labels) -> Sequence[int]:
        """Values of a layer's structures, in the order of the table's rows."""
        if layer is self.live.segmentation:
            return self.live.values[1:]
        known = layer.metadata.get("spad", {}).get("classes")
        values = [c["value"] for c in known] if known else list(structure_names(layer))
        return sorted(v for v in values if v > 0) or range(1, 10)

    def _on_selected_label(self, _event: Any = None) -> None:
        """Follow the structure that is chosen by key, by the picker or in napari's controls."""
        layer = self.live.segmentation
        value = layer.selected_label  # type: ignore[union-attr]
        code = self.live.values.index(value) if value in self.live.values else 0
        row = next((r for r, s in enumerate(self._shown) if s.value == code), -1)
        if row < 0:
            self.table.clearSelection()
        elif row != self.table.currentRow() or not self.table.selectedItems():
            self.table.setCurrentCell(row, NAME)
        if code and self.alone.code is not None and code != self.alone.code:
            self.alone.show(code)

    def _on_row(self, row: int) -> None:
        layer = self.live.segmentation
        if layer is None or row >= len(self._shown):
            return
        code = self._shown[row].value
        again = self.alone.code == code
        self.viewer.layers.selection.active = layer
        layer.selected_label = self.live.values[code]
        self.table.setCurrentCell(row, NAME)
        if again:
            self.alone.show_all()
        else:
            self.alone.show(code)

    def _on_eye(self, row: int) -> None:
        layer = self.live.segmentation
        if layer is not None and row < len(self._shown):
            value = self.live.values[self._shown[row].value]
            self.structures.looks(layer).hidden ^= {value}
            self.alone.dress()

    def _on_lock(self, row: int) -> None:
        layer = self.live.segmentation
        if layer is not None and row < len(self._shown):
            locked = self.structures.locked(layer)
            locked ^= {self.live.values[self._shown[row].value]}
            self.refresh()

    def _on_held(self, layer: Labels, values: set[int]) -> None:
        names = dict(zip(self.live.values, (c.name for c in self.live.classes), strict=True))
        if layer is not self.live.segmentation:
            names = structure_names(layer)
        held = ", ".join(names.get(v, f"label {v}") for v in sorted(values))
        self.desk.say(f"{held}: locked, and kept as it is. Its padlock in the table unlocks it.")

    def _on_double_click(self, row: int) -> None:
        layer = self.live.segmentation
        if layer is None or row >= len(self._shown):
            return
        score = self._shown[row]
        self.alone.show(score.value)
        if self.live.reference is None:
            self.desk.say("Choose a reference: the worst B-scan is the one with the lowest Dice.")
            return
        worst = worst_slices(self.live.slices, score.value, 1)
        if not worst:
            self.desk.say(f"{score.name} is in no B-scan, neither here nor in the reference.")
            return
        index = self.live.index(worst[0])
        box = largest_disagreement(difference_map(*self.live.masks(index), score.value))
        if box is None:
            self.desk.go_to(layer, index)
        else:
            middle = [(side.start + side.stop - 1) / 2 for side in box]
            self.desk.go_to(layer, index, (middle[0], middle[1]))
            self.desk.framing.zoom_to(layer, box)
        here = structure_scores(self.live.matrix(index), self.live.classes)
        dice = next(s.dice for s in here if s.value == score.value)
        where = f"B-scan {index[-1] + 1} of {layer.data.shape[-3]}, " if index else ""
        self.desk.say(
            f"{score.name}: {'lowest ' * bool(index)}Dice {dice:.3f}, {where}"
            f"{'the largest disagreement is centred' if box else 'nothing differs'}."
        )

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
        found = difference_map(*self.live.masks(index), self.alone.code)
        self._differences.show(index, found, layer)

    # ------------------------------------------------------------------ the end

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        for timer in (self._glance, self._quiet, self._pause, self._repaint):
            timer.stop()
        self._distances.stop()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._let_go()
        self._differences.hide()
        self.structures.release()
        self.menu.follow(None)
        self.live.stop()
        self.segmentation.disconnect_viewer()
        self.reference.disconnect_viewer()
        self.viewer.dims.events.current_step.disconnect(self._on_slice)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
