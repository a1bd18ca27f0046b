"""The panel “Keep”: what is saved when, copies to recover, export, the annotation log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import FunctionWorker

from napari_spad.desk import Desk, LayerCombo, Question, Result, explain, form_layout, named, narrow
from napari_spad.keep.annotation_log import AnnotationLog, export_log
from napari_spad.keep.autosave import RETRY_MS, Autosave
from napari_spad.keep.export import FORMATS, export, file_name, targets
from napari_spad.keep.recovery_panel import RecoveryPanel
from napari_spad.layers import is_label_map

__all__ = ["KeepPanel"]


class KeepPanel(QWidget):
    """Autosave, export and log of what is done at a desk.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    autosave : Autosave
    kept : RecoveryPanel
        Its `offer` belongs where it is seen whatever panel is open.
    log : AnnotationLog
        Its `scores` is to be set by the dock.
    """

    offered = Signal()
    """There is something that a crash left: show `kept.offer`."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.settings = desk, desk.settings
        self.autosave = Autosave(desk)
        self.kept = RecoveryPanel(desk, self.autosave)
        self.log = AnnotationLog(desk)
        self._worker: FunctionWorker[Any] | None = None
        self._exporting: tuple[Labels, Any] | None = None  # the layer, and the labels as written
        self._make()
        self._lay_out()
        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._show_state)
        self._clock.start()
        self.kept.offered.connect(self.offered)
        self.autosave.saved.connect(self._show_state)
        self.autosave.trouble_changed.connect(self._on_trouble)
        self.log.written.connect(self._show_log)
        self.log.failed.connect(self._on_log_failed)
        desk.result_changed.connect(self._on_result)
        # napari's window goes without closing what is docked in it; these two outlive the panel.
        for one in (self.log, self.autosave):
            self.destroyed.connect(one.shut_down)
            if (app := QApplication.instance()) is not None:
                app.aboutToQuit.connect(one.shut_down)
        self._show_state()
        self._show_log()

    # ------------------------------------------------------------------ what it looks like

    def _make(self) -> None:
        self.state = named(QLabel(), "autosave_state")
        self.state.setWordWrap(True)
        self.state.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.state.setToolTip(f"Edits are saved within seconds in {self.autosave.root}")
        self.layer = LayerCombo(self.desk.viewer, is_label_map, "no labels yet")
        self.layer.setObjectName("export_layer")
        self.format = narrow(named(QComboBox(), "export_format"))
        for form in FORMATS:
            self.format.addItem(form.title, form.suffix)
        self.format.setCurrentIndex(
            max(self.format.findData(self.settings.value("export_format", ".tif", str)), 0)
        )
        self.folder = named(QLineEdit(str(self.settings.value("export_folder", ""))), "folder")
        self.folder.setPlaceholderText("choose a folder")
        self.folder.setToolTip("Where exported files go; each with a sidecar NAME.spad.json")
        self.browse = named(QPushButton("…"), "browse_folder")
        self.browse.setFixedWidth(28)
        self.browse.setToolTip("Choose the folder")
        self.export_button = named(QPushButton("Export"), "export")
        self.question = Question("replace")
        self.log_state = named(QLabel(), "log_state")
        self.log_state.setToolTip(
            "Time, strokes, pixels and Dice of each corrected B-scan, without file names or "
            f"anything of the patient, in {self.log.folder}"
        )
        self.log_button = named(QPushButton("Export log…"), "export_log")
        self.format.activated.connect(
            lambda: self.settings.setValue("export_format", self.format.currentData())
        )
        self.browse.clicked.connect(self._browse)
        self.export_button.clicked.connect(self.export)
        self.log_button.clicked.connect(self._choose_log_file)
        self.layer.layer_changed.connect(self._on_layer)
        self._on_layer()

    def _lay_out(self) -> None:
        folder = QHBoxLayout()
        folder.addWidget(self.folder, 1)
        folder.addWidget(self.browse)
        form = form_layout()
        form.addRow("Labels", self.layer)
        form.addRow("Format", self.format)
        form.addRow("Folder", folder)
        group = QGroupBox("Export")
        inside = QVBoxLayout(group)
        inside.setContentsMargins(6, 4, 6, 4)
        inside.setSpacing(4)
        inside.addLayout(form)
        inside.addWidget(self.question)
        inside.addWidget(self.export_button)
        log = QHBoxLayout()
        log.addWidget(self.log_state, 1)
        log.addWidget(self.log_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(6)
        layout.addWidget(self.kept.offer)
        layout.addWidget(self.state)
        layout.addWidget(group)
        layout.addWidget(self.kept)
        layout.addLayout(log)
        layout.addStretch(1)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)

    # ------------------------------------------------------------------ autosave

    def _show_state(self) -> None:
        if self.autosave.trouble:
            text = (
                f"Not autosaved: {self.autosave.trouble}. Your work stays in the viewer; it is "
                f"tried again every {RETRY_MS // 1000} s. Free some space, or export."
            )
        elif self.autosave.waiting:
            text = "Autosave: saving…"
        elif self.autosave.when is None:
            text = "Autosave: nothing to save yet."
        else:
            text = f"Autosave: all saved, {_ago(time.time() - self.autosave.when)}."
        if text != self.state.text():
            self.state.setText(text)

    def _on_trouble(self, why: str) -> None:
        self._show_state()
        if why:
            self.desk.fail(f"Edits cannot be autosaved: {why}. Your work stays in the viewer.")
        else:
            self.desk.say("Autosave works again.")

    # ------------------------------------------------------------------ export

    def _on_result(self, result: Result | None) -> None:
        if result is not None:
            self.layer.choose(result.layer)

    def _on_layer(self, _layer: Any = None) -> None:
        self.export_button.setEnabled(self.layer.layer is not None and self._worker is None)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for exports", self.folder.text())
        if chosen:
            self.folder.setText(chosen)
            self.settings.setValue("export_folder", chosen)

    def export(self) -> None:
        """Write the chosen layer into the chosen folder; what is there is asked about first."""
        layer = self.layer.layer
        if layer is None or self._worker is not None:
            return
        if not self.folder.text().strip():
            self._browse()
        if not self.folder.text().strip():
            return
        folder = Path(self.folder.text().strip()).expanduser()
        if not folder.is_absolute():
            self.desk.fail(f"“{folder}” is no full path; choose the folder with “…”")
            return
        self.settings.setValue("export_folder", str(folder))
        form = FORMATS[self.format.currentIndex()]
        target = folder / file_name(layer.name, form)
        files = list(targets(target, form, layer.data.shape).values())
        exist = [file for file in files if file.exists()]
        if not exist:
            self._start_export(layer, target)
            return
        what = f"“{exist[0].name}” exists" if len(exist) == 1 else f"{len(exist)} files exist"
        self.question.ask(
            f"{what} there.",
            {
                "Replace": lambda: self._start_export(layer, target),
                "Keep both": lambda: self._start_export(layer, _free(target, form.suffix)),
                "Cancel": lambda: None,
            },
        )

    def _start_export(self, layer: Labels, target: Path) -> None:
        form = FORMATS[self.format.currentIndex()]
        data, meta, _ = layer.as_layer_data_tuple()
        metadata = dict(meta.get("metadata") or {})
        metadata["annotator"] = metadata.get("annotator") or self.settings.value(
            "annotator", "", str
        )
        data = data.copy()  # painting goes on while it is written
        self._exporting = (layer, data)
        args = (target, form, data, {**meta, "metadata": metadata})
        self._worker = FunctionWorker(_try, export, *args)
        self._worker.returned.connect(self._on_exported)
        self.export_button.setEnabled(False)
        self.desk.say(f"writing {target.name}…")
        self._worker.start()

    def _on_exported(self, answer: tuple[Any, str]) -> None:
        written, error = answer
        exported, self._exporting, self._worker = self._exporting, None, None
        self._on_layer()
        if error:
            self.desk.fail(f"Nothing was exported: {error}")
            return
        if exported is not None and np.array_equal(exported[0].data, exported[1]):
            self.autosave.exported(exported[0])
        images = [Path(name) for name in written if not name.endswith(".spad.json")]
        more = f" and {len(images) - 1} more" if len(images) > 1 else ""
        self.desk.say(f"Exported {images[0].name}{more}, with sidecars, to {images[0].parent}")

    # ------------------------------------------------------------------ log

    def _show_log(self) -> None:
        count = self.log.lines
        self.log_state.setText(f"Log: {count} B-scan visit{'s' if count != 1 else ''}")

    def _on_log_failed(self, why: str) -> None:
        self.desk.say(why)

    def _choose_log_file(self) -> None:
        start = str(Path(self.folder.text() or Path.home()) / "spad-annotation-log.csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Export the log", start, "CSV (*.csv)")
        if chosen:
            self.export_log(Path(chosen))

    def export_log(self, target: Path) -> None:
        """Write the log of all sessions as a CSV table."""
        self._log_target = target
        self._log_worker = FunctionWorker(_try, export_log, self.log.folder, target)
        self._log_worker.returned.connect(self._on_log_exported)
        self._log_worker.start()

    def _on_log_exported(self, answer: tuple[Any, str]) -> None:
        count, error = answer
        if error:
            self.desk.fail(error)
        else:
            self.desk.say(f"Exported {count} lines to {self._log_target}")

    # ------------------------------------------------------------------ the end

    def disconnect_viewer(self) -> None:
        """Save what is not on the disk yet; let go of the viewer."""
        self._clock.stop()
        self.log.shut_down()
        self.kept.disconnect_viewer()
        self.layer.disconnect_viewer()
        self.autosave.shut_down()


def _try(work: Any, *args: Any) -> tuple[Any, str]:
    """What it returns, and what went wrong: an exception in a worker would show a traceback."""
    try:
        return work(*args), ""
    except Exception as error:
        return None, explain(error)


def _free(target: Path, suffix: str) -> Path:
    """A name like this one that is free: a number is added before the extension."""
    base, number = target.name[: -len(suffix)], 2
    while any(target.parent.glob(f"{_literal(base)} {number}*")):
        number += 1
    return target.with_name(f"{base} {number}{suffix}")


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in name)


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.0f} h ago"
