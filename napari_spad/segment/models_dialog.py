"""The list of all models: what is here and what can be downloaded, with licence and scores."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Question, explain, named
from spad.models import Entry, Listed, download_steps, listed, share, size_text

__all__ = ["ModelsDialog"]

_HEAD = ("Model", "Where", "Size", "Licence", "Scores", "Structures")
_NO_LIST = (
    "No list of models to download is here. Your site may give you one: "
    "spad models manifest URL (docs/models.md)."
)


class _Fetching(QObject):
    """A download in a thread of its own. `ended` comes once: with a Path, an error, or None."""

    progressed = Signal(object)
    ended = Signal(object)

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry, self.given_up = entry, threading.Event()

    def start(self) -> None:
        """Begin; who wants to hear of it has connected before."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        steps = download_steps(self.entry)
        outcome: Any = None
        try:
            while not self.given_up.is_set():
                self.progressed.emit(next(steps))
        except StopIteration as stop:
            outcome = stop.value
        except Exception as error:
            outcome = error
        steps.close()
        with contextlib.suppress(RuntimeError):  # the program has ended, and the signals with it
            self.ended.emit(outcome)


class ModelsDialog(QDialog):
    """All models; one can be taken, downloaded after a question, or shared as a folder.

    Parameters
    ----------
    files : iterable of Path
        Checkpoints that go by no name: opened, or learnt.
    parent : QWidget
    """

    chosen = Signal(object)
    """The file of the model that is to be used."""

    def __init__(self, files: Iterable[Path], parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("models")
        self.setWindowTitle("SPAD: models")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._files = list(files)
        self.models: list[Listed] = []
        self._fetching: _Fetching | None = None
        self.tree = named(QTreeWidget(), "models_list")
        self.tree.setHeaderLabels(list(_HEAD))
        self.tree.setRootIsDecorated(False)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.about = named(QPlainTextEdit(), "models_about")
        self.about.setReadOnly(True)
        self.question = Question("models_question")
        self.bar = named(QProgressBar(), "models_bar")
        self.status = named(QLabel(), "models_status")
        self.status.setWordWrap(True)
        self.use = named(QPushButton("Use"), "models_use")
        self.share = named(QPushButton("Share…"), "models_share")
        self.share.setToolTip("Write a folder to hand this model on: the file, its card, a list")
        self.stop = named(QPushButton("Stop"), "models_stop")
        close = QPushButton("Close")
        row = QHBoxLayout()
        for button in (self.use, self.share, self.stop, close):
            button.setAutoDefault(False)
            row.addWidget(button)
        layout = QVBoxLayout(self)
        for widget in (self.tree, self.about, self.question, self.bar, self.status):
            layout.addWidget(widget)
        layout.setStretch(0, 2)
        layout.setStretch(1, 3)
        layout.addLayout(row)
        self.resize(900, 520)
        self.tree.currentItemChanged.connect(self._on_row)
        self.tree.itemDoubleClicked.connect(lambda *_: self.use.click())
        self.use.clicked.connect(self._use)
        self.share.clicked.connect(self._share)
        self.stop.clicked.connect(self._give_up)
        close.clicked.connect(self.close)
        self._fill()
        self._busy(False)

    def _fill(self, name: str = "") -> None:
        self.models, faults = listed(self._files)
        self.tree.clear()
        for model in self.models:
            cells = (
                model.name, model.where, size_text(model.size), model.licence or "not stated",
                model.scores or "not stated", ", ".join(model.classes[1:]),
            )  # fmt: skip
            item = QTreeWidgetItem(list(cells))
            item.setToolTip(0, model.summary)
            self.tree.addTopLevelItem(item)
            if model.name == name:
                self.tree.setCurrentItem(item)
        for column in range(len(_HEAD)):
            self.tree.resizeColumnToContents(column)
        lists = any(model.entry is not None for model in self.models)
        self.status.setText(" ".join(faults) or ("" if lists else _NO_LIST))
        if self.tree.currentItem() is None and (first := self.tree.topLevelItem(0)) is not None:
            self.tree.setCurrentItem(first)

    def _row(self) -> Listed | None:
        item = self.tree.currentItem()
        return None if item is None else self.models[self.tree.indexOfTopLevelItem(item)]

    def _on_row(self, *_: Any) -> None:
        model = self._row()
        self.about.setPlainText(model.about if model else "")
        there = model is not None and model.path is not None
        self.use.setText("Use" if there or model is None else "Download…")
        self.use.setEnabled(model is not None and self._fetching is None)
        self.share.setEnabled(model is not None and model.here)

    def _use(self) -> None:
        model = self._row()
        if model is None:
            return
        if model.path is not None:
            self.chosen.emit(model.path)
            self.close()
        else:
            self.question.ask(
                model.question, {"Download": lambda: self._download(model), "Not now": _nothing}
            )

    def _download(self, model: Listed) -> None:
        assert model.entry is not None  # noqa: S101 - what is to be downloaded stands in a list
        self._fetching = _Fetching(model.entry)
        self._fetching.progressed.connect(self._on_progress)
        self._fetching.ended.connect(self._on_end)
        self.bar.setRange(0, 1000)
        self.bar.setValue(0)
        self._busy(True)
        self._fetching.start()

    def _busy(self, on: bool) -> None:
        self.bar.setVisible(on)
        self.stop.setVisible(on)
        self._on_row()

    def _on_progress(self, done: int) -> None:
        if self._fetching is not None:
            size = self._fetching.entry.size
            self.bar.setValue(1000 * done // size)
            self.status.setText(f"{size_text(done)} of {size_text(size)}")

    def _on_end(self, outcome: Any) -> None:
        fetched, self._fetching = self._fetching, None
        self._busy(False)
        if isinstance(outcome, Path) and fetched is not None:
            self._fill(fetched.entry.stem)
            self.chosen.emit(outcome)
            self.status.setText(f"“{fetched.entry.stem}” is here.")
        elif isinstance(outcome, Exception):
            self.status.setText(explain(outcome))
        else:
            self.status.setText("Stopped. The next download goes on from here.")

    def _give_up(self) -> None:
        if self._fetching is not None:
            self._fetching.given_up.set()

    def closeEvent(self, event: Any) -> None:
        """Give a download up; what has come is kept for the next one."""
        self._give_up()
        super().closeEvent(event)

    def _share(self) -> None:
        model = self._row()
        if model is None or model.path is None:
            return
        licence, sure = QInputDialog.getText(
            self,
            "Share a model",
            f"Licence under which “{model.name}” is handed on, such as CC-BY-4.0.\n"
            f"Stated so far: {model.licence or 'nothing'}.",
        )
        chosen = sure and QFileDialog.getExistingDirectory(self, "Where the folder is to be made")
        if not chosen:
            return
        folder = Path(chosen) / f"{model.path.stem} shared"
        try:
            path, _ = share(model.path, folder, licence=licence)
        except (ValueError, OSError) as error:
            self.status.setText(explain(error))
            return
        self.status.setText(f"{path.name}, its card and a list are in {folder}.")


def _nothing() -> None:
    """Leave all as it is."""
