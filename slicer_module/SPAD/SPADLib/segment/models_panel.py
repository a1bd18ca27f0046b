"""The window “Models”: what is here and what can be downloaded, with licence and scores."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import qt
import slicer

from spad.cases import file_error
from spad.checkpoint import model_path
from spad.models import Listed, listed, share, size_text
from SPADLib.desk import Desk
from SPADLib.host import Cancelled, Pump, get, python_program, run_command, weakly

__all__ = ["ModelsPanel"]

_HEAD = ("Model", "Where", "Size", "Licence", "Scores", "Structures")
_NO_LIST = (
    "No list of models to download is here. Your site may give you one: "
    "PythonSlicer -m spad models manifest URL (docs/models.md)."
)


class ModelsPanel:
    """All models; one can be taken, downloaded after a question, or shared as a folder.

    Parameters
    ----------
    desk : Desk
    take : callable
        Takes the file of the model that is to be used.
    """

    def __init__(self, desk: Desk, take: Callable[[Path], None]) -> None:
        self.desk, self._take = desk, take
        self.models: list[Listed] = []
        self._files: list[Path] = []
        self._fetched = ""
        self._pump = Pump(self._on_event, self._on_end)
        self.window = qt.QDialog(slicer.util.mainWindow())
        self.window.setWindowTitle("SPAD: models")
        self.table = qt.QTableWidget()
        self.table.setColumnCount(len(_HEAD))
        self.table.setHorizontalHeaderLabels(list(_HEAD))
        self.table.verticalHeader().setVisible(False)
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.about = qt.QPlainTextEdit()
        self.about.setReadOnly(True)
        self.status = qt.QLabel()
        self.status.setWordWrap(True)
        self.use = qt.QPushButton("Use")
        self.share = qt.QPushButton("Share…")
        self.share.setToolTip("Write a folder to hand this model on: the file, its card, a list")
        self.stop_button = qt.QPushButton("Stop")
        row = qt.QHBoxLayout()
        for button, act in (
            (self.use, self._on_use),
            (self.share, self._on_share),
            (self.stop_button, self._on_stop),
        ):
            button.setAutoDefault(False)
            button.clicked.connect(weakly(act))  # the window has no owner that takes it along
            row.addWidget(button)
        layout = qt.QVBoxLayout(self.window)
        for widget in (self.table, self.about, self.status):
            layout.addWidget(widget)
        layout.addLayout(row)
        self.window.resize(900, 520)
        self.table.itemSelectionChanged.connect(weakly(self._on_row))

    def show(self, files: Iterable[Path]) -> None:
        """Show the list.

        Parameters
        ----------
        files : iterable of Path
            Checkpoints that go by no name: opened, or learnt.
        """
        self._files = list(files)
        if not self._pump.busy:
            self._fill()
        self.window.show()
        self.window.raise_()

    def stop(self) -> None:
        """Close the window; a download goes on the next time."""
        self._pump.cancel()
        self.window.hide()

    def _fill(self, name: str = "") -> None:
        self.models, faults = listed(self._files)
        self.table.setRowCount(len(self.models))
        for number, model in enumerate(self.models):
            cells = (
                model.name, model.where, size_text(model.size), model.licence or "not stated",
                model.scores or "not stated", ", ".join(model.classes[1:]),
            )  # fmt: skip
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(model.summary)
                self.table.setItem(number, column, item)
        self.table.resizeColumnsToContents()
        names = [model.name for model in self.models]
        self.table.selectRow(names.index(name) if name in names else 0)
        lists = any(model.entry is not None for model in self.models)
        self.status.setText(" ".join(faults) or ("" if lists else _NO_LIST))
        self._on_row()

    def _row(self) -> Listed | None:
        row = int(get(self.table, "currentRow"))
        return self.models[row] if 0 <= row < len(self.models) else None

    def _on_use(self, *_: object) -> None:
        self.desk.guarded(self._use)

    def _on_share(self, *_: object) -> None:
        self.desk.guarded(self._share)

    def _on_stop(self, *_: object) -> None:
        self._pump.cancel()

    def _on_row(self) -> None:
        model = self._row()
        there = model is not None and model.path is not None
        self.about.setPlainText(model.about if model else "")
        self.use.setText("Use" if there or model is None else "Download…")
        self.use.setEnabled(model is not None and not self._pump.busy)
        self.share.setEnabled(model is not None and model.here)
        self.stop_button.setVisible(self._pump.busy)

    def _use(self) -> None:
        model = self._row()
        if model is None:
            return
        if model.path is not None:
            self._take(model.path)
            self.window.hide()
        elif slicer.util.confirmOkCancelDisplay(model.question, "SPAD"):
            # A process, for Qt's loop lets no thread of Python run; killed, it goes on later.
            python = python_program("python-real", "PythonSlicer")
            self._fetched = model.name
            self._pump.start(run_command([python, "-m", "spad", "models", "get", model.name]))
            self._on_row()

    def _on_event(self, text: str) -> None:
        if text.startswith(self._fetched):  # how far it is; what goes wrong is told at the end
            self.status.setText(text)

    def _on_end(self, outcome: BaseException | None) -> None:
        if outcome is None:
            path = model_path(self._fetched)
            self._fill(self._fetched)
            self._take(path)
            self.status.setText(f"“{self._fetched}” is here.")
            return
        self._on_row()
        self.status.setText(_words(outcome))

    def _share(self) -> None:
        model = self._row()
        if model is None or model.path is None:
            return
        licence = qt.QInputDialog.getText(
            self.window,
            "Share a model",
            f"Licence under which “{model.name}” is handed on, such as CC-BY-4.0.\n"
            f"Stated so far: {model.licence or 'nothing'}.",
        )
        chosen = licence and qt.QFileDialog.getExistingDirectory(
            self.window, "Where the folder is to be made", ""
        )
        if not chosen:
            return
        folder = Path(str(chosen)) / f"{model.path.stem} shared"
        try:
            path, _ = share(model.path, folder, licence=str(licence))
        except (ValueError, OSError) as error:
            self.status.setText(file_error(error))
            return
        self.status.setText(f"{path.name}, its card and a list are in {folder}.")


def _words(outcome: BaseException) -> str:
    if isinstance(outcome, Cancelled):
        return "Stopped. The next download goes on from here."
    if isinstance(outcome, subprocess.CalledProcessError):
        said = [line for line in str(outcome.output).splitlines() if line.startswith("spad: ")]
        return said[-1].removeprefix("spad: ") if said else f"It failed: {outcome.output}"
    return str(outcome)
