"""The panel “En face”: a map of the stack seen from above, in a dock of its own."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_spad.desk import Desk, named, narrow
from napari_spad.layers import Edit, leading_index, level_0, numbered
from napari_spad.measure.counting import grid_of
from napari_spad.measure.enface_view import Drawing, EnFaceView
from napari_spad.measure.maps import (
    colour_bar,
    flattened,
    fundus_of,
    greys,
    under_review,
    with_values,
)
from napari_spad.measure.stack_measures import StackMeasures
from napari_spad.review import Reviews
from napari_spad.scale import source_of
from spad.cases import foreign, luminance
from spad.measuring import Grid, projection

__all__ = ["EnFacePanel"]

IMAGE, DOUBT, REVIEW, FUNDUS, FLAT = "image", "uncertainty", "review", "fundus", "flat"
LINES = "lines: "
ROUND_UM = 50
NO_STACK = "no stack to be seen from above"
NO_LINE = "no line to be made straight: label this B-scan first, or open the vendor's lines with it"
BAR = (90, 8)


class EnFacePanel(QWidget):
    """The map, what it shows, and what its colours mean.

    Parameters
    ----------
    desk : Desk
    measures : StackMeasures
    reviews : Reviews
    """

    def __init__(self, desk: Desk, measures: StackMeasures, reviews: Reviews) -> None:
        super().__init__()
        self.desk, self.measures, self.reviews = desk, measures, reviews
        self._ground: tuple[Any, tuple[int, ...], NDArray[np.uint8]] | None = None
        self._doubt: tuple[Any, tuple[int, ...], NDArray[np.float32]] | None = None
        self._colours: NDArray[np.uint8] | None = None
        self._build()
        self.shown.currentIndexChanged.connect(self.refresh)
        self.view.clicked.connect(self._go)
        self.view.fovea_dragged.connect(lambda z, x: self._draw((z, x)))
        self.view.fovea_placed.connect(self._place)
        self.view.tip = self._tip
        measures.changed.connect(self.refresh)
        measures.facts_changed.connect(self.refresh)
        reviews.changed.connect(self._on_review)
        desk.written.connect(self._forget_doubt)
        desk.edited.connect(self._on_edited)
        desk.viewer.dims.events.current_step.connect(self._on_step)

    def _build(self) -> None:
        self.shown = narrow(named(QComboBox(), "enface_map"))
        self.shown.setToolTip("What the map shows, over the image's projection")
        self.shown.addItem("image", IMAGE)
        self.view = named(EnFaceView(), "enface")
        self.low, self.bar, self.high = QLabel("0"), QLabel(), QLabel()
        pixels = np.repeat(colour_bar(), BAR[1], 0)
        image = QImage(pixels.data, 256, BAR[1], 3 * 256, QImage.Format.Format_RGB888)
        self.bar.setPixmap(QPixmap.fromImage(image.scaled(*BAR)))
        legend = QHBoxLayout()
        legend.setSpacing(4)
        legend.addWidget(self.shown, 1)
        for label in (self.low, self.bar, self.high):
            legend.addWidget(label)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(legend)
        layout.addWidget(self.view, 1)

    # ------------------------------------------------------------------ what is shown

    def refresh(self, _event: Any = None) -> None:
        """Draw what is known now."""
        if self.isVisible():
            self._list_maps()
            self._paint()

    def showEvent(self, event: Any) -> None:
        """Measure while the map is seen."""
        super().showEvent(event)
        self.refresh()

    def _list_maps(self) -> None:
        facts = self.measures.facts
        names: list[tuple[str, Any]] = []
        if facts is None or facts.shape[0] > 1:
            names.append(("image", IMAGE))
        if facts is not None and fundus_of(facts.image) is not None:
            names.append(("fundus", FUNDUS))
        if self.measures.live is not None:
            names.append(("B-scan, flattened", FLAT))
            found = {row.value: row.structure for row in self.measures.rows}
            names += [(f"height of {name}", value) for value, name in found.items()]
        names += [(f"thickness {name}", LINES + name) for name in self.measures.line_maps()]
        if self.measures.result is not None:
            names += [("uncertainty", DOUBT), ("review", REVIEW)]
        old = [(self.shown.itemText(n), self.shown.itemData(n)) for n in range(self.shown.count())]
        if names != old:
            chosen = self.shown.currentText()
            with QSignalBlocker(self.shown):
                self.shown.clear()
                for text, key in names:
                    self.shown.addItem(text, key)
                self.shown.setCurrentIndex(max(0, self.shown.findText(chosen)))

    def _projection(self) -> NDArray[np.uint8]:
        facts = self.measures.facts
        assert facts is not None  # noqa: S101 - callers have looked
        pixels, lead = level_0(facts.image), self._stack()
        if self._ground is None or self._ground[0] is not pixels or self._ground[1] != lead:
            flat = np.zeros(facts.shape[::2], np.float32)  # where only labels are known
            if not isinstance(facts.image, Labels):
                for z in range(len(flat)):
                    with contextlib.suppress(Exception), foreign():  # of lazy layers: it stays dark
                        flat[z] = projection(pixels[(*lead, slice(z, z + 1))])
            self._ground = pixels, lead, greys(flat)
        return self._ground[2]

    def _stack(self) -> tuple[int, ...]:
        """Which stack of several is on screen: its place on the axes before it."""
        facts = self.measures.facts
        return () if facts is None else leading_index(facts.image, self.desk.viewer)[:-1]

    def _paint(self) -> None:
        facts, top = self.measures.facts, ""
        fundus = None if facts is None else fundus_of(facts.image)
        if self.shown.currentData() == FUNDUS and fundus is not None:
            self._colours = None
            colours = np.repeat(fundus[0][..., None], 3, -1)
            drawing = Drawing(colours, (1.0, 1.0), upward=False, scans=fundus[1])
            self.view.draw(drawing, self._bscan())
        elif self.shown.currentData() == FLAT and facts is not None:
            self._colours = None
            self.view.empty = NO_LINE
            self.view.draw(self._flat(), 0)
        elif facts is None or facts.shape[0] < 2:
            self._colours = None
            self.view.empty = NO_STACK
            self.view.draw(None, 0)
        else:
            self._colours, top = self._map(self.shown.currentData())
            self._draw(None)
        self.high.setText(top)
        for label in (self.low, self.bar, self.high):
            label.setVisible(bool(top))

    def _flat(self) -> Drawing | None:
        """The B-scan on screen, its vendor's lowest line or the labels' lower edge straight."""
        facts, live = self.measures.facts, self.measures.scores.live
        layer = live.segmentation
        if facts is None or layer is None or isinstance(facts.image, Labels):
            return None
        at = leading_index(layer, self.desk.viewer)
        try:
            with foreign():
                image = np.asarray(level_0(facts.image)[at])
        except Exception as error:  # whatever the reader of a lazy layer raises
            self.view.empty = f"this B-scan cannot be read ({str(error) or type(error).__name__})"
            return None
        image = luminance(image) if facts.image.rgb else image
        line, layers = None, self.desk.viewer.layers
        for other in layers:
            if "vendor_lines" in other.metadata and source_of(other, layers) is facts.image:
                rows = np.arange(image.shape[0])[:, None]
                lowest = np.where(np.asarray(other.data[at]) > 0, rows, -1).max(0)
                line = np.where(lowest >= 0, lowest, np.nan)
        colours = {c.value: c.color for c in live.classes if c.value}
        found = flattened(image, live.class_maps(at)[0], colours, line)
        if found is None:
            return None
        ends = np.array([[found[1], 0], [found[1], image.shape[1] - 1]], float)
        return Drawing(found[0], (1.0, 1.0), upward=False, scans=[ends])

    def _map(self, shown: Any) -> tuple[NDArray[np.uint8], str]:
        """Colours, and the value of the brightest in words."""
        ground, result, lead = self._projection(), self.measures.result, self._stack()
        heights = self._heights(shown)
        if heights is not None:
            most = float(np.nan_to_num(heights).max())
            top = max(ROUND_UM, ROUND_UM * np.ceil(most / ROUND_UM))
            return with_values(ground, heights, top), f"{top:.0f} µm"
        if shown == DOUBT and result is not None:
            if self._doubt is None or self._doubt[0] is not result or self._doubt[1] != lead:
                # Each column has unsure borders: their sum tells, not their most.
                sums = np.asarray(result.uncertainty.data[lead]).sum(-2, dtype=np.float32)
                self._doubt = result, lead, sums.reshape(ground.shape[:2])
            doubt = self._doubt[2]
            return with_values(ground, doubt, float(np.percentile(doubt, 99))), "most"
        if shown == REVIEW and result is not None:
            queue = self.reviews.bench(result).queue
            states = {p[-1]: s for p, s in queue.state.items() if p and p[:-1] == lead}
            errors = {p[-1]: e for p, e in queue.error.items() if p and p[:-1] == lead}
            return under_review(ground, states, errors), ""
        return ground, ""

    def _heights(self, shown: Any) -> NDArray[np.float32] | None:
        """The map of heights that was chosen, in µm: of a structure, or between lines."""
        if isinstance(shown, str):
            return self.measures.line_maps().get(shown.removeprefix(LINES))
        live = self.measures.live
        return live.heights_um(shown) if isinstance(shown, int) and live is not None else None

    def _draw(self, fovea: tuple[float, float] | None) -> None:
        """Draw the map with the grid about a fovea; the one that is known, where none is given."""
        facts = self.measures.facts
        if facts is None or self._colours is None:
            return
        between, _, column = facts.scale.spacing_mm
        steps = (between or 1.0, column or 1.0) if between and column else self._unknown()
        known = facts.fovea
        at = fovea or (None if known is None else known.at)
        lines, texts = [], {}
        if at is not None and between and column:
            deep, _, wide = facts.shape
            grid = Grid(at, (between, column), (deep, wide), facts.eye, facts.first or "inferior")
            lines, texts = grid.lines(), self._texts(grid)
        corners = {"OD": ("T", "N"), "OS": ("N", "T")}.get(facts.eye or "", ("", ""))
        drawing = Drawing(
            self._colours, steps, facts.first != "superior", lines, texts, at, corners
        )
        self.view.draw(drawing, self._bscan())

    def _unknown(self) -> tuple[float, float]:
        """Steps that draw a square, where mm are not known."""
        deep, wide = self._projection().shape[:2]
        return 1 / deep, 1 / wide

    def _texts(self, grid: Grid) -> dict[tuple[float, float], str]:
        """Nanolitres of the structure that is shown in each field; mean µm between lines."""
        shown = self.shown.currentData()
        if isinstance(shown, str) and (um := self._heights(shown)) is not None:
            facts = self.measures.facts
            laid = None if facts is None else grid_of(facts)  # while it is dragged: the last one
            means = (laid or grid).means(um)
            places = grid.middles().items()
            return {at: f"{means[n]:.0f}" for n, at in places if np.isfinite(means[n])}
        volumes = {r.region: r.volume_nl for r in self.measures.rows if r.value == shown}
        middles = grid.middles().items()
        return {at: f"{nl:.3g}" for name, at in middles if (nl := volumes.get(name)) is not None}

    def _tip(self, bscan: int, share: float) -> str:
        column = self._column(share)
        text = f"B-scan {numbered(bscan)}, column {numbered(column)}"
        shown = self.shown.currentData()
        heights = self._heights(shown)
        if heights is not None:
            um = heights[bscan, column]
            text += f": {um:.0f} µm" if np.isfinite(um) else ": not known"
        if shown == FLAT:
            return (
                f"column {numbered(column)}\n"
                "The yellow line is straight here. Click: go to the column."
            )
        if shown == FUNDUS:
            return f"{text}\nClick: go there."
        return f"{text}\nClick: go there. Drag the cross, or double click: the fovea is here."

    # ------------------------------------------------------------------ what happens to it

    def _bscan(self) -> int:
        facts = self.measures.facts
        if facts is None or facts.image.ndim < 3:
            return 0
        return leading_index(facts.image, self.desk.viewer)[-1]

    def _on_step(self, _event: Any = None) -> None:
        other = self._ground is not None and self._ground[1] != self._stack()
        if self.shown.currentData() == FLAT or other:
            self.refresh()
            return
        self.view.show_bscan(self._bscan())

    def _forget_doubt(self, *_event: Any) -> None:
        self._doubt = None

    def _on_edited(self, _result: Any, edit: Edit) -> None:
        if edit.by_model:  # with its labels came its doubt
            self._forget_doubt()

    def _on_review(self) -> None:
        if self.shown.currentData() == REVIEW:
            self.refresh()

    def _column(self, share: float) -> int:
        facts = self.measures.facts
        return 0 if facts is None else round(share * (facts.shape[2] - 1))

    def _go(self, bscan: int, share: float) -> None:
        facts = self.measures.facts
        if facts is not None:
            lead = leading_index(facts.image, self.desk.viewer)
            bscan = self._bscan() if self.shown.currentData() == FLAT else bscan
            place = (*lead[:-1], bscan) if lead else ()
            self.desk.go_to(facts.image, place, (facts.shape[1] / 2, self._column(share)))

    def _place(self, bscan: float, column: float) -> None:
        if self.measures.facts is not None:
            self.measures.facts.place_fovea((bscan, column))

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.desk.viewer.dims.events.current_step.disconnect(self._on_step)
