"""The panel “Save”: files for other programs, DICOM SEG, and the training set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer

from SPADLib import dicom_seg
from SPADLib.correct_panel import CorrectPanel
from SPADLib.desk import Desk
from SPADLib.dialect import get
from SPADLib.run_panel import RunBox
from SPADLib.save import SUFFIXES, save, storage_names
from SPADLib.training_set import add, candidates

__all__ = ["SavePanel"]

FOLDER = "SPAD/trainingFolder"


class SavePanel:
    """Works on the section “Save” of the module's panel.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    runs : RunBox
    correct : CorrectPanel
        Knows which B-scans were accepted.
    """

    def __init__(self, desk: Desk, ui: Any, runs: RunBox, correct: CorrectPanel) -> None:
        self.desk, self.ui, self.runs, self.correct = desk, ui, runs, correct
        self._annotated = qt.QMenu(ui.annotatedButton)
        ui.annotatedButton.setMenu(self._annotated)
        ui.trainingFolder.setCurrentPath(desk.settings.get(FOLDER) or "")
        ui.trainingFolder.currentPathChanged.connect(self._on_folder)
        ui.saveButton.clicked.connect(lambda *_: self.ask())
        ui.dicomButton.clicked.connect(lambda *_: self.export_dicom())
        ui.addThisButton.clicked.connect(lambda *_: self.add("this"))
        ui.addCorrectedButton.clicked.connect(lambda *_: self.add("corrected"))
        ui.addAllButton.clicked.connect(lambda *_: self.add("all"))
        for what in ("result", "written", "edited", "busy", "parameters"):
            desk.on(what, self.refresh)
        self._result: Any = None
        self.refresh()

    def refresh(self) -> None:
        """Count what could be added, and name the structures."""
        result = None if self.desk.parameters is None else self.desk.result
        ui, ready = self.ui, result is not None
        if result is not self._result:
            self._result = result
            self._annotated.clear()
            for one in () if result is None else result.classes[1:]:
                action = self._annotated.addAction(one.name)
                action.setCheckable(True)
                action.setChecked(True)
                action.toggled.connect(lambda *_: self._name_structures())
            ui.ownPatientsCheck.setVisible(result is not None and result.depth > 1)
            self._name_structures()
        free = ready and not self.runs.busy
        corrected, labelled = self._candidates()
        ui.addCorrectedButton.setText(f"Corrected ({len(corrected)})")
        ui.addAllButton.setText(f"All ({len(labelled)})")
        for widget in (ui.saveButton, ui.dicomButton, ui.annotatedButton):
            widget.setEnabled(ready)
        ui.addThisButton.setEnabled(free)
        ui.addCorrectedButton.setEnabled(free and bool(corrected))
        ui.addAllButton.setEnabled(free and bool(labelled))

    def _candidates(self) -> tuple[list[int], list[int]]:
        if self._result is None or self._result.volume is None:
            return [], []
        review = self.correct.review
        accepted = set() if review is None else review.accepted()
        return candidates(self._result, accepted, self.desk.labels)

    def annotated(self) -> list[str]:
        """Names of the structures that are ticked."""
        return [get(a, "text") for a in self._annotated.actions() if a.isChecked()]

    def _name_structures(self) -> None:
        ticked = self.annotated()
        every = len(ticked) == len(self._annotated.actions())
        self.ui.annotatedButton.setText("all structures" if every else ", ".join(ticked) or "none")

    def _on_folder(self, path: str) -> None:
        self.desk.settings[FOLDER] = str(path)

    # ------------------------------------------------------------------ files

    def ask(self) -> None:
        """Ask for a file, and write the result to it."""
        try:
            result = self.desk.need_result()
            filters = ";;".join(f"{what} (*{suffix})" for suffix, what in SUFFIXES.items())
            path = qt.QFileDialog.getSaveFileName(
                self.ui.saveButton,
                "Save the segmentation",
                next(iter(storage_names(result).values())),
                filters,
            )
            if path:
                path = Path(str(path))
                # The dialog has asked whether a file that exists may be replaced.
                written = save(result, path, replace=path.exists())
                self.desk.say(f"Saved: {written[0]}, and how it was made in {written[1].name}")
        except Exception as error:
            self.desk.fail(error)

    def export_dicom(self) -> None:
        """Ask for a folder, and write DICOM SEG to it."""
        try:
            result = self.desk.need_result()
            if missing := dicom_seg.available():
                raise ValueError(missing)
            folder = qt.QFileDialog.getExistingDirectory(
                self.ui.dicomButton, "Folder for DICOM SEG", ""
            )
            if folder:
                written = dicom_seg.export(result, str(folder))
                self.desk.say(f"Saved: {', '.join(str(path) for path in written)}")
        except Exception as error:
            self.desk.fail(error)

    # ------------------------------------------------------------------ training set

    def add(self, which: str) -> None:
        """Add B-scans to the training set.

        Parameters
        ----------
        which : {"this", "corrected", "all"}
        """
        try:
            result = self.desk.need_result()
            folder = get(self.ui.trainingFolder, "currentPath")
            if not folder:
                raise ValueError("No training set is chosen: choose a folder for it first")
            corrected, labelled = self._candidates()
            bscans = {"this": [self.desk.bscan()], "corrected": corrected, "all": labelled}[which]
            untouched = len(bscans) - len(set(bscans) & set(corrected))
            if which == "all" and untouched and not self._sure(untouched):
                return
            run = add(
                result,
                bscans,
                str(folder),
                annotated=self.annotated(),
                own_patients=self.ui.ownPatientsCheck.isChecked(),
            )
            self.runs.start(
                run,
                [result.segmentation, result.volume],
                kept="B-scans that were added stay in the set.",
            )
        except Exception as error:
            self.desk.fail(error)

    def _sure(self, untouched: int) -> bool:
        return bool(
            slicer.util.confirmYesNoDisplay(
                f"Nobody corrected or accepted {untouched} of these B-scans: they teach a model "
                "its own mistakes. Add them all the same?"
            )
        )
