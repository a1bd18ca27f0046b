"""The panel “Review”: which B-scan to look at next, and how far the stack is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, Keys, Result, link, named
from napari_spad.layers import numbered
from napari_spad.review.findings_panel import FindingsPanel
from napari_spad.review.records import Reviews
from napari_spad.review.strip import Cell, Legend, Strip

__all__ = ["KEYS", "ReviewPanel"]

KEYS = {"accept": "A", "skip": "S", "next": "N"}
"""Free in the viewer and in Labels layers of napari 0.8 to 0.9."""
REFRESH_MS = 150
LISTED = 50
"""Rows of the list; the strip shows them all."""
NUMBER, NAME, ERROR, STATE = range(4)
ABOUT_ERROR = (
    "Expected error: 1 less the mean Dice that the model's uncertainty lets expect. It is good for "
    "a rank, not for a score. Structures that phantoms alone have taught the model count only "
    "where there are no others."
)
ABOUT_TEACHER = (
    "Until a B-scan is accepted: the one whose draft shows most. If the model is to learn this eye "
    "(key K), it is a better beginning than the worst one, which often shows little."
)


class ReviewPanel(QWidget):
    """Ranks the B-scans of the result at work by expected error, and keeps what became of each.

    Parameters
    ----------
    desk : Desk
        The record of reviews is kept in its folder, by the hashes of the B-scans.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.viewer = desk, desk.viewer
        self.reviews = Reviews(desk)
        self._lay_out()
        self._pause = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._pause.timeout.connect(self.refresh)
        self.reviews.changed.connect(self._refresh_soon)
        self.keys = Keys(desk.viewer)
        for name, call in (("accept", self.accept), ("skip", self.skip), ("next", self.next)):
            self.keys.bind(KEYS[name], call)
        self.refresh()

    # ------------------------------------------------------------------ what it looks like

    def _lay_out(self) -> None:
        self.progress = named(QLabel(), "review_progress")
        self.progress.setWordWrap(True)
        self.progress.linkActivated.connect(lambda _: self._go_to_teacher())
        self.progress.setToolTip(ABOUT_TEACHER)
        self.strip = named(Strip(), "strip")
        self.strip.clicked.connect(lambda number: self.go(self._cells()[number]))
        self.legend = named(Legend(), "legend")
        self.table = named(QTableWidget(0, 4), "queue")
        self.table.setHorizontalHeaderLabels(["", "B-scan", "Error", "State"])
        self.table.setToolTip(ABOUT_ERROR)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(20)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay with the canvas
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names differ at their ends
        self.table.setWordWrap(False)
        self.table.setShowGrid(False)
        self.table.setFixedHeight(4 * 20 + 26)
        header = self.table.horizontalHeader()
        # Of fixed widths: fitted to the contents, the columns cost more than all the rest.
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, widest in ((NUMBER, "500"), (ERROR, "Error "), (STATE, "accepted ")):
            header.resizeSection(column, self.fontMetrics().horizontalAdvance(widest) + 14)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        self.table.cellClicked.connect(lambda row, _: self.go(self._ranked()[row]))
        buttons = QHBoxLayout()
        self.accept_button = self._button(
            "Accept", "accept", self.accept, "This B-scan is right: show the next one"
        )
        self.skip_button = self._button(
            "Skip", "skip", self.skip, "Come back to this B-scan when all others are done"
        )
        self.next_button = self._button(
            "Next", "next", self.next, "Show the worst B-scan that you have not been to"
        )
        for button in (self.accept_button, self.skip_button, self.next_button):
            buttons.addWidget(button)
        self.checks = FindingsPanel(self.desk)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        for widget in (self.progress, self.strip, self.legend, self.table):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        layout.addWidget(self.checks)
        layout.addStretch(1)

    def _button(self, text: str, name: str, call: Callable[[], None], tip: str) -> QPushButton:
        button = named(QPushButton(f"{text} ({KEYS[name]})"), f"review_{name}")
        button.setToolTip(f"{tip} (key {KEYS[name]})")
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: call())
        return button

    # ------------------------------------------------------------------ what the keys do

    def accept(self) -> None:
        """Accept the B-scan on screen, and show the next."""
        if (at := self._here()) is not None:
            self.reviews.accept(*at)
            self.next(f"{self.desk.about(at[0])}{self._name(at[1])} is accepted. ")

    def skip(self) -> None:
        """Put the B-scan on screen at the end, and show the next."""
        if (at := self._here()) is not None:
            self.reviews.skip(*at)
            self.next(f"{self.desk.about(at[0])}{self._name(at[1])} is skipped. ")

    def next(self, done: str = "") -> None:
        """Show the worst B-scan that was not looked at yet, and say before it what was done."""
        result = self.desk.result
        if result is None:
            self.desk.say("There is nothing to review yet: press Segment first.")
            return
        here, queue = self.desk.place(result), self.reviews.bench(result).queue
        there = queue.next(here if here in queue.error else None)
        self.refresh()
        if there is not None:
            self.go(there)
            state = "; it was skipped" if queue.state[there] == "skipped" else ""
            error = f"expected error {queue.error[there]:.2f}{state}"
            self.desk.say(f"{done}{self._name(there)}: {error}.")
        elif queue.error and queue.count("accepted") == len(queue.error):
            self.desk.say(f"All {len(queue.error)} segmented B-scans are accepted.", result)
        else:
            self.desk.say(f"{done}No other B-scan is left to review.")

    def _here(self) -> tuple[Result, tuple[int, ...]] | None:
        """The B-scan on screen, if it can be reviewed; else say why not."""
        result, place = self.desk.result, self.desk.place()
        if result is None:
            self.desk.say("There is nothing to review yet: press Segment first.")
        elif why := self.desk.hindered(result):
            self.desk.say(why)
        elif place not in self.reviews.bench(result).queue.error:
            self.desk.say(f"{self._name(place)} is not segmented yet: press Segment first.", result)
        else:
            return result, place
        return None

    def go(self, place: tuple[int, ...]) -> None:
        """Show a B-scan, centred on its largest uncertain region."""
        if (result := self.desk.result) is not None:
            self.viewer.layers.selection.active = result.layer
            self.desk.go_to(result.layer, place, self.reviews.bench(result).spots.get(place))

    # ------------------------------------------------------------------ what is shown

    def _cells(self) -> list[tuple[int, ...]]:
        """The B-scans of the strip: those of the stack on screen."""
        if (result := self.desk.result) is None:
            return []
        if not (shape := result.written.shape[:-2]):
            return [()]
        lead = self.desk.place()[:-1]
        return [(*lead, z) for z in range(shape[-1])]

    def _ranked(self) -> list[tuple[int, ...]]:
        result = self.desk.result
        return [] if result is None else self.reviews.bench(result).queue.ranked()[:LISTED]

    def _name(self, place: tuple[int, ...]) -> str:
        if not place:
            return "B-scan"
        metadata = self.desk.result.image.metadata if self.desk.result is not None else {}
        names = dict(enumerate(metadata.get("bscan_names") or ()))
        name, number = names.get(place[-1]), numbered(place[-1])
        return f"B-scan {number}" if name is None else f"{number} · {name}"

    def _refresh_soon(self) -> None:
        if not self._pause.isActive():
            self._pause.start()

    def refresh(self) -> None:
        """Show the current states."""
        result = self.desk.result
        shown = result is not None
        for widget in (self.strip, self.legend, self.table, self.checks):
            widget.setVisible(shown)
        for button in (self.accept_button, self.skip_button, self.next_button):
            button.setEnabled(shown)
        if result is None:
            self.progress.setText(
                "Nothing to review yet. Segment a stack: its B-scans are listed here, those first "
                "that are most likely to be wrong."
            )
            return
        queue, cells, place = self.reviews.bench(result).queue, self._cells(), self.desk.place()
        done = sum(queue.state.get(c) == "accepted" for c in cells)
        ready = sum(c in queue.error for c in cells)
        text = f"<b>{done} of {len(cells)}</b> accepted"
        text = text if ready == len(cells) else f"{text}, {ready} segmented"
        if (teacher := queue.teacher()) is not None:  # in one line: its name may be long
            text += f". Learn from {link(f'B-scan {numbered(teacher[-1])}', 'teacher')} first"
        self.progress.setText(text)
        self.strip.show_cells(
            [Cell(*self._look(queue, c)) for c in cells],
            cells.index(place) if place in cells else -1,
        )
        self._fill(queue, place)

    def _go_to_teacher(self) -> None:
        if (result := self.desk.result) is not None:
            teacher = self.reviews.bench(result).queue.teacher()
            if teacher is not None:
                self.go(teacher)

    def _look(self, queue: Any, place: tuple[int, ...]) -> tuple[str, str]:
        """How a cell is drawn, and what it says."""
        if place not in queue.error:
            return "", f"{self._name(place)}: not segmented yet"
        state = queue.state[place]
        words = f"{self._name(place)}: expected error {queue.error[place]:.2f}, {state}"
        if queue.uncertain(place):
            return "uncertain", f"{words}, uncertain"
        return ("seen" if state == "skipped" else state), words

    def _fill(self, queue: Any, place: tuple[int, ...]) -> None:
        ranked = self._ranked()
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(ranked))
            for row, each in enumerate(ranked):
                tip = self._look(queue, each)[1]
                texts = (str(row + 1), self._name(each), f"{queue.error[each]:.2f}")
                for column, text in enumerate((*texts, queue.state[each])):
                    self._cell(row, column, text, tip)
            if place in ranked:
                self.table.selectRow(ranked.index(place))
            else:
                self.table.clearSelection()

    def _cell(self, row: int, column: int, text: str, tip: str) -> None:
        item = self.table.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.table.setItem(row, column, item)
            if column in (NUMBER, ERROR):
                side = Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        if item.toolTip() != tip or item.text() != text:
            item.setText(text)
            item.setToolTip(tip)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._pause.stop()
        self.reviews.disconnect_viewer()
        self.checks.disconnect_viewer()
        self.keys.release()
