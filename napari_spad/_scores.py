"""The score table: Dice, IoU, HD95 and area of each structure, live while painting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGroupBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_spad._choose import LayerCombo, named
from napari_spad._distances import Distances
from napari_spad._form import form_layout
from napari_spad._layers import is_aid, leading_index, segmented, spacing_mm
from napari_spad._live import LiveScores, mismatch
from napari_spad._sample import outline
from spad.metrics import StructureScore, mean_scores, structure_scores

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ScoreTable"]

GLANCE_MS = 100
"""While events come that may hide an edit, the B-scan on screen is looked over this often."""
QUIET_MS = 200
"""And the whole layer, when this long nothing came."""
HD95_MS = 350
"""HD95 waits for a pause this long; it is too slow to follow every stroke."""
NAME, DICE, IOU, HD95, AREA = range(5)
IN_WORDS = {
    "absent": ("absent in both", "Neither the segmentation nor the reference has it."),
    "missed": ("missed", "Only the reference has it: Dice and IoU are 0."),
    "invented": ("invented", "Only the segmentation has it: Dice and IoU are 0."),
}


class ScoreTable(QGroupBox):
    """Scores of a segmentation layer against a reference layer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__("Scores")
        self.viewer = viewer
        self._problem = ""
        self._shown: list[StructureScore] = []
        self._build()
        self.live = LiveScores(self.refresh, self._on_stale)
        self._glance = QTimer(self, singleShot=True, interval=GLANCE_MS)
        self._glance.timeout.connect(self._on_glance)
        self._quiet = QTimer(self, singleShot=True, interval=QUIET_MS)
        self._quiet.timeout.connect(self._on_quiet)
        self._pause = QTimer(self, singleShot=True, interval=HD95_MS)
        self._pause.timeout.connect(self._start_hd95)
        self._distances = Distances(self)
        self._distances.found.connect(self._on_distance)
        self.segmentation.layer_changed.connect(self._on_segmentation)
        self.reference.layer_changed.connect(self._watch)
        self.stack.toggled.connect(self.refresh)
        self.table.cellClicked.connect(self._on_row)
        viewer.dims.events.current_step.connect(self._on_slice)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.layers.events.inserted.connect(self._on_inserted)
        self._on_inserted()
        self._watch()

    def _build(self) -> None:
        self.segmentation = LayerCombo(self.viewer, _is_labels, "–", optional=True)
        self.segmentation.setObjectName("segmentation")
        self.reference = LayerCombo(self.viewer, _is_labels, "–", optional=True)
        self.reference.setObjectName("reference")
        self.stack = named(QCheckBox("Whole stack"), "scores_whole_stack")
        self.stack.setToolTip("Score all B-scans together; otherwise the one on screen")
        self.note = named(QLabel(), "score_note")
        self.note.setWordWrap(True)
        self.note.hide()
        self.table = named(QTableWidget(0, 5), "score_table")
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(24)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setToolTip("Click a structure to paint with it")
        self.table.setShowGrid(False)
        self.table.setIconSize(QSize(12, 12))
        self.table.setMinimumHeight(120)
        self.table.setHorizontalHeaderLabels(["", "Dice", "IoU", "HD95", "Area"])
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)

        form = form_layout()
        form.addRow("Labels", self.segmentation)
        form.addRow("Reference", self.reference)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self.stack)
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
            self.refresh()

    def _on_active(self, _event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if isinstance(active, Labels) and "spad" in active.metadata:
            self.segmentation.choose(active)

    def _on_inserted(self, _event: Any = None) -> None:
        for layer in filter(_is_labels, self.viewer.layers):
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
            if _is_labels(layer)
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
        self._problem = ""
        if ours is not None and theirs is not None and (why := mismatch(ours, theirs)):
            self._problem, theirs = f"No scores with “{theirs.name}”: {why}.", None
        try:
            self.live.watch(ours, theirs)
        except ValueError as error:
            self._problem = str(error)
        self.refresh()

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
        except ValueError as error:  # the layer's data were replaced by something else
            self._problem = str(error)
            self.live.stop()
            self.refresh()

    def _on_slice(self, _event: Any = None) -> None:
        if not self.stack.isChecked():
            self.refresh()

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
        self.table.clearSpans()
        self.table.setRowCount(len(self._shown) + 1 + (others > 0))
        for row, score in enumerate(self._shown):
            self._show_structure(row, score)
        self._show_mean(len(self._shown))
        if others:
            row = len(self._shown) + 1
            self._cell(row, NAME, "undefined", "Pixels whose value is no structure", "#ff00ff")
            self._cell(row, DICE, "value without a name")
            self.table.setSpan(row, DICE, 1, 3)
            self._cell(row, AREA, self._area(others))
        self._pause.start()

    def _show_structure(self, row: int, score: StructureScore) -> None:
        color = self.live.classes[score.value].hex
        value = self.live.values[score.value]
        self._cell(row, NAME, score.name, f"Label {value}: click to paint with it", color)
        if self.live.reference is None:
            for column in (DICE, IOU, HD95):
                self._cell(row, column, "–", "Choose a reference to see scores")
        elif score.state in IN_WORDS:
            self._cell(row, DICE, *IN_WORDS[score.state])
            self.table.setSpan(row, DICE, 1, 3)
        else:
            self._cell(row, DICE, f"{score.dice:.3f}")
            self._cell(row, IOU, f"{score.iou:.3f}")
            self._cell(row, HD95, "…", "counted when you pause")
        self._cell(row, AREA, self._area(score.predicted_pixels))

    def _show_mean(self, row: int) -> None:
        dice, iou, count = mean_scores(self._shown)
        tip = f"Over the {count} structures in either map; missed and invented ones count as 0"
        self._cell(row, NAME, "Mean", tip, bold=True)
        known = self.live.reference is not None and count
        self._cell(row, DICE, f"{dice:.3f}" if known else "–", tip, bold=True)
        self._cell(row, IOU, f"{iou:.3f}" if known else "–", tip, bold=True)
        self._cell(row, HD95, "")
        self._cell(row, AREA, "")

    def _headers(self, whole: bool) -> None:
        layer: Any = self.live.segmentation
        axes = 3 if whole and layer.ndim > 2 else 2
        self._spacing = spacing_mm(layer, axes)
        unit = "mm" if self._spacing else "px"
        size = "Volume" if axes == 3 else "Area"
        power = "³" if axes == 3 else "²"
        measure = f"{size}\n{unit}{power}" if self._spacing else f"{size}\npx"
        self.table.setHorizontalHeaderLabels(["", "Dice", "IoU", f"HD95\n{unit}", measure])

    def _area(self, pixels: int) -> str:
        if self._spacing is None:
            return f"{pixels:,}".replace(",", " ")
        size = pixels * math.prod(self._spacing)
        if size < 0.001:
            return "<0.001" if pixels else "0"
        return f"{size:.3f}" if size < 10 else f"{size:.1f}"

    def _cell(
        self, row: int, column: int, text: str, tip: str = "", color: str = "", bold: bool = False
    ) -> None:
        item = self.table.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.table.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(tip)
        side = Qt.AlignmentFlag.AlignLeft if column == NAME else Qt.AlignmentFlag.AlignRight
        item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        item.setIcon(_swatch(color) if color else QIcon())
        font = self.table.font()
        font.setBold(bold)
        item.setFont(font)

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
            self._cell(row, HD95, text, "95th percentile of the distances between the borders")

    def _on_row(self, row: int, _column: int) -> None:
        if row < len(self._shown) and self.live.segmentation is not None:
            layer = self.live.segmentation
            layer.selected_label = self.live.values[self._shown[row].value]
            self.viewer.layers.selection.active = layer

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        for timer in (self._glance, self._quiet, self._pause):
            timer.stop()
        self._distances.stop()
        self.live.stop()
        self.segmentation.disconnect_viewer()
        self.reference.disconnect_viewer()
        self.viewer.dims.events.current_step.disconnect(self._on_slice)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)


def _is_labels(layer: Any) -> bool:
    return isinstance(layer, Labels) and not is_aid(layer)


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
