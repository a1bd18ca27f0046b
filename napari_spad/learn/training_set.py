"""The section “Training set”: corrected B-scans into a case folder that `spad train` reads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSignalBlocker, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Desk, EngineError, FunctionWorker, Result, explain, named
from napari_spad.layers import FIRST, Edit, Source, bscan_sizes, part_at, segmented, turned_view
from napari_spad.learn.folder_row import FolderRow

__all__ = ["TrainingSet", "png_bytes"]

Place = tuple[int, ...]


@dataclass(frozen=True)
class _Job:
    """What to add: taken in the main thread, so that painting on changes none of it."""

    folder: Path
    source: Source
    labels: dict[Place, NDArray[Any]]
    names: dict[int, str]
    annotated: list[str]
    patient: str | None
    own_patients: bool

    def addition(self) -> Any:
        """The job as the engine does it."""
        from spad.annotation import Addition, Corrected

        stacked = len(self.source.shape) > 2
        first = (*next(iter(self.labels))[:-1], 0) if stacked else ()
        each = self.source.layer.metadata.get("bscan_patients")
        return Addition(
            self.folder,
            [
                Corrected(
                    place[-1] + 1 if place else 1,
                    labels,
                    partial(self._read, place),
                    each[place[-1]] if each and place else None,
                )
                for place, labels in self.labels.items()
            ],
            self.names,
            annotated=self.annotated,
            patient=self.patient,
            one_patient=None if self.own_patients else partial(self._read, first),
            encode=png_bytes,
            spacing_mm=self.source.spacing_mm,
            first=FIRST,
        )

    def _read(self, place: Place) -> Any:
        from spad.annotation import Pixels

        source = self.source
        pixels = source.read(part_at(source.layer, place, source.shape[-2:]))
        return Pixels(pixels, pixels.ndim == 3, source.inverted)


class _Teller(QObject):
    """Tells from the worker's thread how far it is."""

    told = Signal(str)


class TrainingSet(QWidget):
    """Choose a case folder, and add B-scans of the result at work to it.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    accepted : callable
        Gives the places of the B-scans of a `Result` that were accepted; the dock sets it.
    """

    written = Signal(object)
    """Cases were written: what `spad.cases.write_cases` returns."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.accepted: Callable[[Result], Iterable[Place]] = lambda _: ()
        self._edited: set[Place] = set()
        self._unticked: WeakKeyDictionary[Result, set[str]] = WeakKeyDictionary()
        self._own: WeakKeyDictionary[Result, bool] = WeakKeyDictionary()
        self._worker: Any = None
        self._stop = False
        self._teller = _Teller()
        self._teller.told.connect(desk.say)
        self._make()
        desk.result_changed.connect(self._on_result)
        desk.result_described.connect(self._on_described)
        desk.edited.connect(self._on_edit)
        desk.written.connect(lambda *_: self.refresh())
        self._on_result(desk.result)

    def _make(self) -> None:
        self.folder = FolderRow(
            self.desk, "training_folder", "Folder of the training set", "no training set yet"
        )
        self.this = named(QPushButton("This B-scan"), "add_this")
        self.this.setToolTip("Add the B-scan on screen, as it is labelled now")
        self.done = named(QPushButton("Corrected"), "add_done")
        self.done.setToolTip("Add all B-scans that you painted in, or accepted")
        self.all = named(QPushButton("All"), "add_all")
        self.all.setToolTip(
            "Add all B-scans that are segmented. What nobody corrected teaches the model its own "
            "mistakes: look at them first"
        )
        self.stop = named(QPushButton("Stop"), "add_stop")
        self.stop.hide()
        self.structures = named(QPushButton(), "annotated")
        self.structures.setToolTip(
            "The structures that you looked for. What the model drew of others is not learned"
        )
        self._menu = QMenu(self.structures)
        self.structures.setMenu(self._menu)
        self.own = named(QCheckBox("Each B-scan is another patient"), "own_patients")
        self.own.setToolTip(
            "For stacks of images of different people. Otherwise all B-scans of an image are of "
            "one patient, and train together or validate together"
        )
        self.status = named(QLabel(), "training_set_status")
        self.status.setWordWrap(True)
        add, row = QHBoxLayout(), QHBoxLayout()
        add.addWidget(QLabel("Add"))
        for button in (self.this, self.done, self.all, self.stop):
            add.addWidget(button, 1)
        row.addWidget(QLabel("Annotated"))
        row.addWidget(self.structures, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.folder)
        layout.addLayout(add)
        layout.addLayout(row)
        layout.addWidget(self.own)
        layout.addWidget(self.status)
        self.this.clicked.connect(self._add_this)
        self.done.clicked.connect(lambda: self.add(self.corrected()))
        self.all.clicked.connect(lambda: self.add(self.labelled()))
        self.stop.clicked.connect(self.cancel)
        self.own.toggled.connect(self._on_own)

    # ------------------------------------------------------------------ which B-scans

    def corrected(self) -> list[Place]:
        """B-scans of the result at work that were painted in or accepted."""
        return self._candidates()[0]

    def labelled(self) -> list[Place]:
        """B-scans of the result at work that a model or a person has been at."""
        return self._candidates()[1]

    def _candidates(self) -> tuple[list[Place], list[Place]]:
        from spad.annotation import candidates

        if (result := self.desk.result) is None:
            return [], []
        return candidates(self._edited, self.accepted(result), segmented(result.layer) or ())

    def _on_result(self, result: Result | None) -> None:
        self._edited = set()
        self._menu.clear()
        if result is not None:
            painted = result.hand.mask.any(axis=(-2, -1))
            self._edited = {tuple(map(int, p)) for p in np.argwhere(painted)}
            unticked = self._unticked.get(result, set())
            for one in result.classes:
                if one.value:
                    action = self._menu.addAction(one.name)
                    action.setCheckable(True)
                    action.setChecked(one.name not in unticked)
                    action.toggled.connect(self._on_structures)
            image = result.image
            known = {"patient", "bscan_patients"} & set(image.metadata)
            self.own.setVisible(image.ndim > 2 and not known)
            # B-scans of one scan are of one size.
            proposed = len(set(bscan_sizes(image))) > 1
            with QSignalBlocker(self.own):  # what is proposed is not the user's
                self.own.setChecked(self._own.get(result, proposed))
        else:
            self.own.hide()
        self._on_structures()
        self.refresh()

    def _on_described(self, result: Result) -> None:
        if result is self.desk.result:  # it may have a structure more
            self._on_result(result)

    def _on_edit(self, result: Result, edit: Edit) -> None:
        if result is not self.desk.result:
            return
        painted = result.hand.mask
        for place in edit.bscans:
            (self._edited.add if painted[place].any() else self._edited.discard)(place)
        self.refresh()

    def _on_structures(self, _on: bool = False) -> None:
        chosen, every = self.annotated(), self._menu.actions()
        text = "all structures" if len(chosen) == len(every) else ", ".join(chosen) or "none"
        self.structures.setText(text if every else "–")
        if self.desk.result is not None:
            self._unticked[self.desk.result] = {a.text() for a in every} - set(chosen)

    def _on_own(self, on: bool) -> None:
        if self.desk.result is not None:
            self._own[self.desk.result] = on

    def annotated(self) -> list[str]:
        """Names of the structures that are ticked."""
        return [action.text() for action in self._menu.actions() if action.isChecked()]

    def refresh(self) -> None:
        """Count anew what could be added."""
        ready = self.desk.result is not None and self._worker is None
        corrected, labelled = len(self.corrected()), len(self.labelled())
        self.done.setText(f"Corrected ({corrected})")
        self.all.setText(f"All ({labelled})")
        self.this.setEnabled(ready)
        self.done.setEnabled(ready and corrected > 0)
        self.all.setEnabled(ready and labelled > 0)
        self.structures.setEnabled(ready)
        if self.desk.result is None and self._worker is None:
            self.status.setText("Segment an image first; what you then correct can train a model.")
        elif self.status.text().startswith("Segment an image"):
            self.status.clear()

    # ------------------------------------------------------------------ adding

    def _add_this(self) -> None:
        place = self.desk.place()
        if place and (why := turned_view(self.desk.viewer)):
            self.desk.say(why)
        else:
            self.add([place])

    def add(self, places: list[Place]) -> None:
        """Write these B-scans of the result at work, in a worker."""
        if self._worker is not None:
            return
        try:
            job = self._job(places)
        except Exception as error:
            self.desk.fail(error)
            return
        if job is None:
            return
        self._stop = False
        self._worker = FunctionWorker(self._write, job)
        self._worker.returned.connect(self._on_written)
        self._worker.errored.connect(lambda error: self.desk.fail(error))
        self._worker.finished.connect(self._on_finished)
        self._show_stop(True)
        self.refresh()
        self._worker.start()

    def cancel(self) -> None:
        """Stop after the B-scan at hand; those that are written stay."""
        self._stop = True

    def _job(self, places: list[Place]) -> _Job | None:
        from spad.annotation import refuse_empty

        result = self.desk.result
        if result is None:
            raise ValueError("Segment an image first")
        refuse_empty(places, self.labelled(), FIRST)
        if self.folder.path is None and not self.folder.ask():
            return None
        folder = self.folder.path
        if folder is None:
            return None
        source = result.open_image()
        patient = result.image.metadata.get("patient")
        return _Job(
            folder,
            source,
            {place: np.array(result.layer.data[place]) for place in places},
            {c.value: c.name for c in result.classes},
            self.annotated(),
            str(patient) if patient else None,
            self.own.isChecked() and not self.own.isHidden(),
        )

    def _write(self, job: _Job) -> tuple[Any, bool]:
        """Write a job's cases; whether all. In a worker."""
        try:
            adding = job.addition()
            for told in adding.steps():
                if self._stop:
                    return adding, False
                self._teller.told.emit(told)
        except Exception as error:
            raise EngineError(f"Not added: {explain(error)}") from error
        return adding, True

    def _on_written(self, returned: tuple[Any, bool]) -> None:
        adding, complete = returned
        self.status.setText(adding.told)
        count = len(adding.written.splits)
        self.desk.say(
            f"{'' if complete else 'stopped: '}{count} B-scan{'s' * (count != 1)} added to "
            f"“{self.folder.path.name if self.folder.path else ''}”"
        )
        self.written.emit(adding.written)

    def _on_finished(self, _: object = None) -> None:
        self._worker = None
        self._show_stop(False)
        self.refresh()

    def _show_stop(self, on: bool) -> None:
        self.stop.setVisible(on)
        self.all.setVisible(not on)  # four buttons are wider than the dock


def png_bytes(array: NDArray[Any]) -> bytes:
    """Encode (H, W) uint8 or uint16 as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()
