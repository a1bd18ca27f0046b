"""The section “Fine-tune”: start the trainer as a process, watch it, take over the new model."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, Number, explain, named, setting
from napari_spad.learn.trainer_process import Ending, Training, find, start
from napari_spad.learn.training_curve import Curve
from spad.cases import replaced

if TYPE_CHECKING:
    from spad.annotation import Progress, Validation

__all__ = ["FineTune"]

PATIENCE_S = 20
"""After Stop; then the process is killed."""
GUESS_S = 1.0
"""A step's seconds, before any was measured on this machine."""
VALIDATIONS = 4
"""During a run, so that Stop finds something to offer."""


class FineTune(QWidget):
    """Choices, the live curve, and what came of it.

    Parameters
    ----------
    desk : Desk
    checkpoint : callable
        Gives the checkpoint to start from, or None.
    cases : callable
        Gives the folder of the training set, or None.
    device : callable
        Gives the device.
    """

    checkpoint_ready = Signal(object)
    """The user wants to work with this new checkpoint (a Path)."""

    def __init__(
        self,
        desk: Desk,
        checkpoint: Callable[[], Path | None],
        cases: Callable[[], Path | None],
        device: Callable[[], str],
    ) -> None:
        super().__init__()
        self.desk = desk
        self._checkpoint, self._cases, self._device = checkpoint, cases, device
        self.training: Training | None = None
        self._stopping = math.inf  # when Stop was pressed
        self._killed = False
        self._timer = QTimer(self)
        self._timer.setInterval(500)
        self._timer.timeout.connect(self.look)
        self._make()
        self.refresh()
        self._find()

    def _find(self) -> None:
        """Take up the fine-tuning of an earlier session; nothing in its files stops the dock."""
        try:
            self.training = find(self.desk.folder)
            if self.training is not None:
                self._timer.start()
                self.look()
        except Exception as error:
            self.training = None
            self._timer.stop()
            self.status.setText(f"The last fine-tuning is not shown: {explain(error)}")

    def _make(self) -> None:
        self.origin = named(QLabel(), "fine_tune_origin")
        self.origin.setWordWrap(True)
        self.name = named(QLineEdit(), "fine_tune_name")
        self.name.setToolTip("Name of the new model; the old one stays")
        self.minutes = named(Number(), "fine_tune_minutes")
        self.minutes.setRange(0.1, 600)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        self.minutes.setValue(setting(self.desk.settings, "minutes", 5.0))
        self.minutes.setToolTip(
            "Time to train; loading and the two validations come on top. The set alone is trained "
            "on: what the model was made from does not come with it, so it may forget"
        )
        self.button = named(QPushButton("Fine-tune"), "fine_tune")
        self.stop_button = named(QPushButton("Stop"), "fine_tune_stop")
        self.stop_button.setToolTip("Save and end; the best model so far is offered")
        self.curve = Curve()
        self.status = named(QLabel(), "fine_tune_status")
        self.status.setWordWrap(True)
        self.table = named(QLabel(), "fine_tune_scores")
        self.table.setWordWrap(True)
        self.use = named(QPushButton("Use the new model"), "use_new_model")
        self.use.setToolTip("Put it into the list of models, and choose it; the old one stays")
        form, row = QGridLayout(), QHBoxLayout()
        form.addWidget(QLabel("New model"), 0, 0)
        form.addWidget(self.name, 0, 1)
        form.setColumnStretch(1, 1)
        for widget in (self.minutes, self.button, self.stop_button):
            row.addWidget(widget, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.origin)
        layout.addLayout(form)
        layout.addLayout(row)
        for part in (self.curve, self.status, self.table, self.use):
            layout.addWidget(part)
        for later in (self.stop_button, self.curve, self.table, self.use):
            later.hide()
        self.button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.use.clicked.connect(self.use_new)
        self.minutes.valueChanged.connect(lambda x: self.desk.settings.setValue("minutes", x))

    # ------------------------------------------------------------------ choices

    def refresh(self, _path: Path | None = None) -> None:
        """Take note of another checkpoint or training set."""
        path, cases = self._checkpoint(), self._cases()
        old = f"<b>{escape(_title(path))}</b>" if path else "no model yet"
        new = f"“{escape(cases.name)}”" if cases else "a training set (choose its folder above)"
        self.origin.setText(f"From {old}, with {new}")
        self.button.setEnabled(path is not None and cases is not None and not self.running)
        self.name.setEnabled(not self.running)
        self.minutes.setEnabled(not self.running)
        if self.running and self.training is not None:
            self.name.setText(self.training.name)
        elif path is not None and not self.name.isModified():
            self.name.setText(self._free_name(_title(path)))

    def _free_name(self, old: str) -> str:
        base = re.sub(r"-tuned(-\d+)?$", "", old) + "-tuned"
        number = 1
        while self._folder(name := base if number == 1 else f"{base}-{number}").exists():
            number += 1
        return name

    def _folder(self, name: str) -> Path:
        return self.desk.folder / "runs" / name

    @property
    def running(self) -> bool:
        """Whether a fine-tuning is going on, so far as is known."""
        return not self.stop_button.isHidden()

    def start(self) -> None:
        """Write the configuration and start the process."""
        try:
            training, config = self._plan()
            self.training = start(training, config, self._device(), self.desk.folder)
        except Exception as error:
            self.desk.fail(f"Not started: {explain(error)}")
            return
        self.name.setModified(False)
        self._stopping, self._killed = math.inf, False
        self.table.hide()
        self.use.hide()
        self._timer.start()
        self.look()

    def _plan(self) -> tuple[Training, str]:
        from spad.annotation import config_text
        from spad.cases import open_folder
        from spad.checkpoint import read_card, refuse_at_server

        path, cases, name = self._checkpoint(), self._cases(), self.name.text().strip()
        if path is None or cases is None:
            raise ValueError("choose a model and the folder of a training set first")
        refuse_at_server(path)
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,59}", name):
            raise ValueError(f"“{name}” is no name for a model; 1 to 60 letters, digits or _-. are")
        folder = open_folder(cases)
        if folder.problems:
            raise ValueError("; ".join(folder.problems[:3]))
        train = folder.splits.get("train", ())
        if not train:
            raise ValueError(f"{cases} has no B-scans that train; add some of a new patient")
        # The trainer itself refuses to validate with one patient's own B-scans unasked.
        alone = not folder.splits.get("val") and len({case.patient for case in train}) < 2
        seconds = max(setting(self.desk.settings, "seconds_a_step", GUESS_S), 1e-3)
        minutes = self.minutes.value()
        config = config_text(
            read_card(path),
            path,
            cases,
            folder.names.values(),
            name=name,
            minutes=minutes,
            every=max(5, round(60 * minutes / seconds / VALIDATIONS)),
            validation="train" if alone else "val",
        )
        return Training(name, _title(path), str(self._folder(name)), minutes, alone), config

    # ------------------------------------------------------------------ watching

    def look(self) -> None:
        """Read how far the process is, and show it."""
        from spad.annotation import read_progress

        if self.training is None:
            return
        progress = read_progress(self.training.folder)
        ending = self.training.ending()
        self.curve.setVisible(bool(progress.losses or progress.validations))
        self.curve.show_progress(progress)
        self.stop_button.setVisible(ending is None)
        self.button.setVisible(ending is not None)
        if ending is None:
            self._watch(self.training, progress)
        else:
            self._timer.stop()
            self._show_end(self.training, progress, ending)
        self.refresh()

    def _watch(self, training: Training, progress: Progress) -> None:
        waited = time.monotonic() - self._stopping
        if waited > PATIENCE_S and not self._killed:
            self._killed = True
            training.kill()
        if math.isfinite(self._stopping):
            left = max(0, PATIENCE_S - int(waited))
            self.status.setText(f"Stopping: saves and ends, or is killed in {left} s…")
            return
        self.status.setText(f"“{training.name}”: {_phase(training, progress)}")

    def stop(self) -> None:
        """Ask the process to save and end."""
        if self.training is not None and math.isinf(self._stopping):
            self._stopping = time.monotonic()
            self.training.stop()
            self.look()

    def _show_end(self, training: Training, progress: Progress, ending: Ending) -> None:
        from spad.annotation import verdict

        before, best = progress.before, progress.best
        new = best is not None and best.step > 0 and training.best.is_file()
        said = f"“{training.name}”: {progress.step} steps done."
        if ending.how == "failed" and self._killed:
            said = f"“{training.name}” did not end within {PATIENCE_S} s and was killed."
        elif ending.how == "failed":
            said = f"“{training.name}” failed: {ending.words}"
        elif ending.how == "stopped":
            said = f"“{training.name}” was stopped at step {progress.step}."
            if new and best is not None:
                said += f" The best so far is that of step {best.step}."
            else:
                said += " No later validation had come yet, so there is no new model."
        self.status.setText(said)
        if before is not None and best is not None and (new or ending.how == "done"):
            # Where none was better, what the last step scored.
            after = best if new else progress.validations[-1]
            note = verdict(before, best)
            if training.own_images:
                kept = f"{note} " if not new else ""
                note = (
                    f"{kept}These are the very B-scans that trained it, for the set has one "
                    "patient: they show whether it learns, not whether it is better. Add "
                    "a second patient."
                )
            self.table.setText(_table(training, before, after, note))
            self.table.show()
        self.use.setVisible(new)
        if progress.training_seconds and progress.step:
            speed = progress.training_seconds / progress.step
            self.desk.settings.setValue("seconds_a_step", speed)

    def use_new(self) -> None:
        """Copy the new model beside the others under its name, and say that it is wanted."""
        if self.training is None:
            return
        target = self.desk.folder / "models" / f"{self.training.name}.safetensors"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replaced(target) as beside:  # on a full disk, no half model among the others
                shutil.copyfile(self.training.best, beside)
        except OSError as error:
            self.desk.fail(f"The new model could not be copied to {target}: {explain(error)}")
            return
        self.checkpoint_ready.emit(target)
        self.desk.say(
            f"“{self.training.name}” is chosen; “{self.training.start}” stays in the list"
        )

    def close_down(self) -> None:
        """Look no more; the process goes on."""
        self._timer.stop()


def _title(path: Path) -> str:
    return path.stem


def _phase(training: Training, progress: Progress) -> str:
    """Say what it is doing, and how long that will take."""
    from spad.annotation import duration

    if not progress.validations:
        if progress.scoring:
            return f"scoring “{training.start}” on the validation B-scans…"
        return "starting: loads PyTorch and checks the training set…"
    if progress.scoring:
        return "scoring the new model on the validation B-scans…"
    loss = f", loss {progress.losses[-1][1]:.3g}" if progress.losses else ""
    left = 60 * training.minutes - progress.training_seconds
    words = duration(max(left, 0.0))
    return f"step {progress.step}{loss}; {words} of training left. You may go on working."


def _table(training: Training, before: Validation, after: Validation, note: str) -> str:
    """Both scores side by side, as rich text."""
    head = "".join(
        f'<td align="right"><b>{escape(text)}</b>&nbsp;&nbsp;</td>'
        for text in ("before", "after", "B-scans")
    )
    lines = [f"<tr><td><b>Dice</b></td>{head}</tr>"]
    for old, new in zip((*before.rows, before.mean), (*after.rows, after.mean), strict=True):
        images = new.images if new is not after.mean else after.images
        cells = "".join(
            f'<td align="right">{text}&nbsp;&nbsp;</td>'
            for text in (_figure(old.dice), _figure(new.dice), str(images))
        )
        lines.append(f"<tr><td>{escape(new.name)}&nbsp;&nbsp;&nbsp;</td>{cells}</tr>")
    caption = f"before: {escape(training.start)}; after: step {after.step}"
    return f"<table>{''.join(lines)}</table><p>{caption}. {escape(note)}</p>"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
