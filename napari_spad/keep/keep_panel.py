"""The panel “Keep”: what is saved when, copies to recover, export, the annotation log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, FunctionWorker, named
from napari_spad.keep.annotation_log import AnnotationLog
from napari_spad.keep.autosave import RETRY_MS, Autosave
from napari_spad.keep.closing import Closing
from napari_spad.keep.export_panel import ExportPanel, tried
from napari_spad.keep.log_lines import export_log
from napari_spad.keep.recovery_panel import RecoveryPanel

__all__ = ["KeepPanel"]


class KeepPanel(QWidget):
    """Autosave, export and log of what is done at a desk.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    autosave : Autosave
    export_panel : ExportPanel
    kept : RecoveryPanel
        Its `offer` belongs where it is seen whatever panel is open.
    closing : Closing
        It is to be told which window to watch.
    log : AnnotationLog
        Its `scores` is to be set by the dock.
    """

    offered = Signal()
    """There is something that a crash left: show `kept.offer`."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.autosave = Autosave(desk)
        self.kept = RecoveryPanel(desk, self.autosave)
        self.log = AnnotationLog(desk)
        self.export_panel = ExportPanel(desk, self.autosave)
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
        # napari's window goes without closing what is docked in it; these two outlive the panel.
        for one in (self.log, self.autosave):
            self.destroyed.connect(one.shut_down)
            if (app := QApplication.instance()) is not None:
                app.aboutToQuit.connect(one.shut_down)
        self.closing = Closing(desk)
        desk.savers += [self.autosave.unsaved, self.log.flush]
        self._show_state()
        self._show_log()

    # ------------------------------------------------------------------ what it looks like

    def _make(self) -> None:
        self.state = named(QLabel(), "autosave_state")
        self.state.setWordWrap(True)
        self.state.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.state.setToolTip(f"Edits are saved within seconds in {self.autosave.root}")
        self.log_state = named(QLabel(), "log_state")
        self.log_state.setToolTip(
            "Time, strokes, pixels and Dice of each corrected B-scan, without file names or "
            f"anything of the patient, in {self.log.folder}"
        )
        self.log_button = named(QPushButton("Export log…"), "export_log")
        self.log_button.clicked.connect(self._choose_log_file)

    def _lay_out(self) -> None:
        log = QHBoxLayout()
        log.addWidget(self.log_state, 1)
        log.addWidget(self.log_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(6)
        layout.addWidget(self.kept.offer)
        layout.addWidget(self.state)
        layout.addWidget(self.export_panel)
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

    # ------------------------------------------------------------------ log

    def _show_log(self) -> None:
        count = self.log.lines
        self.log_state.setText(f"Log: {count} B-scan visit{'s' if count != 1 else ''}")

    def _on_log_failed(self, why: str) -> None:
        self.desk.say(why)

    def _choose_log_file(self) -> None:
        start = str(
            Path(self.export_panel.folder.text() or Path.home()) / "spad-annotation-log.csv"
        )
        chosen, _ = QFileDialog.getSaveFileName(self, "Export the log", start, "CSV (*.csv)")
        if chosen:
            self.export_log(Path(chosen))

    def export_log(self, target: Path) -> None:
        """Write the log of all sessions as a CSV table."""
        self._log_target = target
        self._log_worker = FunctionWorker(tried, export_log, self.log.folder, target)
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
        self.export_panel.disconnect_viewer()
        self.autosave.shut_down()


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.0f} h ago"
