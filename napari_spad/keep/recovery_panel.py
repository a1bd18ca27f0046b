"""What autosave holds beyond the open layers: the offer after a crash, and the list of copies."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGroupBox,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
)

from napari_spad.desk import Desk, FunctionWorker, Question, explain, named
from napari_spad.keep.autosave import Autosave
from napari_spad.keep.recovery import Recovery
from spad.autosave import KEPT_BYTES, KEPT_DAYS, AutosavedLayer, kept_layers, prune, throw_away

__all__ = ["RecoveryPanel"]


@dataclass(frozen=True)
class _Copy:
    saved: AutosavedLayer
    name: str
    bscans: int
    seconds: float
    lost: bool
    what: str

    @property
    def line(self) -> str:
        count = f"{self.bscans} B-scan{'s' if self.bscans != 1 else ''}"
        return f"{self.name}\n{count} · {self.what} {_when(self.seconds)}"


class RecoveryPanel(QGroupBox):
    """The list of copies, and the offer to recover what a crash left.

    Parameters
    ----------
    desk : Desk
    autosave : Autosave

    Attributes
    ----------
    offer : Question
        To be shown where it is seen whatever panel is open.
    """

    offered = Signal()
    """There is something that a crash left."""

    def __init__(self, desk: Desk, autosave: Autosave) -> None:
        super().__init__("Kept copies")
        self.desk, self.autosave = desk, autosave
        self.recovery = Recovery(desk, autosave)
        self.offer = Question("offer")
        self.question = Question("question")
        self.copies: list[_Copy] = []
        self._asked = self._over = self._told = False
        self._worker: FunctionWorker | None = None
        self.list = named(QListWidget(), "kept_list")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip(
            "Layers that were removed, or open when napari was closed. Kept for "
            f"{KEPT_DAYS} days, at most {KEPT_BYTES / 1e9:.0f} GB; the oldest go first"
        )
        self.list.setMaximumHeight(110)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.recover_button = named(QPushButton("Recover"), "recover_kept")
        self.recover_button.setToolTip("Put the chosen copies back into the viewer")
        self.delete_button = named(QPushButton("Delete…"), "delete_kept")
        row = QHBoxLayout()
        row.addWidget(self.recover_button)
        row.addWidget(self.delete_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addWidget(self.question)
        layout.addLayout(row)
        self.recover_button.clicked.connect(lambda: self._recover(self._chosen()))
        self.delete_button.clicked.connect(self._ask_to_delete)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.list.itemDoubleClicked.connect(lambda _: self._recover(self._chosen()))
        self.recovery.finished.connect(self._on_recovered)
        autosave.kept_changed.connect(self.look)
        self.hide()
        # Not before the dock is on screen.
        QTimer.singleShot(0, self.look)

    # ------------------------------------------------------------------ what there is

    def look(self) -> None:
        """Look what is kept, in a worker thread."""
        if self._worker is None and not self._over:
            self._worker = FunctionWorker(_look, self.autosave.root)
            self._worker.returned.connect(self._on_looked)
            self._worker.start()

    def _on_looked(self, answer: tuple[list[_Copy], str]) -> None:
        found, trouble = answer
        self._worker = None
        if self._over:  # its widgets may be gone already
            return
        if trouble and not self._told:
            self._told = True
            self.desk.fail(f"What autosave kept cannot be listed: {trouble}")
        ours = [
            _Copy(w.saved, w.layer.name, n, w.saved.seconds(), lost=False, what="removed")
            for w in self.autosave.removed
            if (n := len(w.saved.places()))
        ]
        self.copies = sorted([*ours, *found], key=lambda copy: -copy.seconds)
        self.list.clear()
        for copy in self.copies:
            item = QListWidgetItem(copy.line)
            item.setToolTip(copy.line)
            self.list.addItem(item)
        self.setVisible(bool(self.copies))
        self._on_selection()
        lost = [copy for copy in self.copies if copy.lost]
        if lost and not self._asked:
            self._asked = True
            self._offer(lost)

    def _offer(self, lost: Sequence[_Copy]) -> None:
        what = (
            f"“{lost[0].name}” with {lost[0].bscans} B-scans"
            if len(lost) == 1
            else f"{len(lost)} label layers with {sum(c.bscans for c in lost)} B-scans"
        )
        self.offer.ask(
            f"napari did not close properly. Autosaved until {_when(lost[0].seconds)}: {what}.",
            {
                "Recover": lambda: self._recover(lost),
                "Not now": lambda: None,
                "Discard…": lambda: self._ask(self.offer, lost, lambda: self._offer(lost)),
            },
        )
        self.offered.emit()

    def _chosen(self) -> list[_Copy]:
        rows = sorted(index.row() for index in self.list.selectedIndexes())
        return [self.copies[row] for row in rows]

    def _on_selection(self) -> None:
        chosen = bool(self.list.selectedItems())
        self.recover_button.setEnabled(chosen)
        self.delete_button.setEnabled(chosen)

    # ------------------------------------------------------------------ what is done with it

    def _recover(self, copies: Sequence[_Copy]) -> None:
        if copies:
            self.desk.say("recovering…")
            self.offer.hide()
            for copy in copies:  # of this session: no longer in the list of removed ones
                self.autosave.forget_removed(copy.saved)
            self.recovery.recover([copy.saved for copy in copies])

    def _on_recovered(self, said: list[str]) -> None:
        self.desk.say("Recovered: " + "; ".join(said) if said else "Nothing to recover.")
        self.look()

    def _ask_to_delete(self) -> None:
        self._ask(self.question, self._chosen(), lambda: None)

    def _ask(self, where: Question, copies: Sequence[_Copy], keep: Any) -> None:
        what = f"“{copies[0].name}”" if len(copies) == 1 else f"{len(copies)} layers"
        where.ask(
            f"Delete the autosaved labels of {what} for good?",
            {"Delete": lambda: self._delete(copies), "Keep": keep},
        )

    def _delete(self, copies: Sequence[_Copy]) -> None:
        said = []
        for copy in copies:
            try:
                if self.autosave.forget_removed(copy.saved):
                    shutil.rmtree(copy.saved.folder)
                else:
                    throw_away(copy.saved)
            except OSError as error:
                said.append(f"“{copy.name}” was not deleted: {explain(error)}")
        if said:
            self.desk.fail("; ".join(said))
        self.look()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._over = True
        self.recovery.disconnect_viewer()


def _look(root: Path) -> tuple[list[_Copy], str]:
    """What is kept, and why it cannot be told; nothing raised here would reach the window."""
    try:
        prune(root)
        kept = kept_layers(root)
    except Exception as error:
        return [], f"{explain(error)} (look into {root})"
    copies = [
        _Copy(
            one.saved,
            one.name,
            one.bscans,
            one.seconds,
            one.lost,
            "left by a crash" if one.lost else "closed",
        )
        for one in kept
        if one.bscans
    ]
    return copies, ""


def _when(seconds: float) -> str:
    then = time.localtime(seconds)
    today = time.strftime("%Y%m%d", then) == time.strftime("%Y%m%d")
    return time.strftime("%H:%M" if today else "%d %b %H:%M", then)
