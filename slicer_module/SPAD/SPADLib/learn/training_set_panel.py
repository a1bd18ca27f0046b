"""The rows “Training set” of the panel “Save”: which B-scans are added, to which folder."""

from __future__ import annotations

from typing import Any

import slicer

from SPADLib.correct import ReviewPanel
from SPADLib.desk import Desk, RunBox, StructureMenu
from SPADLib.host import get
from SPADLib.learn.training_set import add, candidates_of

__all__ = ["TrainingPanel"]

FOLDER = "SPAD/trainingFolder"


class TrainingPanel:
    """Works on the rows of the training set.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    runs : RunBox
    reviews : ReviewPanel
        Knows which B-scans were accepted.
    """

    def __init__(self, desk: Desk, ui: Any, runs: RunBox, reviews: ReviewPanel) -> None:
        self.desk, self.ui, self.runs, self.reviews = desk, ui, runs, reviews
        self.annotated = StructureMenu(ui.annotatedButton)
        ui.trainingFolder.setCurrentPath(desk.settings.get(FOLDER) or "")
        ui.trainingFolder.currentPathChanged.connect(self._on_folder)
        ui.addThisButton.clicked.connect(lambda *_: self.add("this"))
        ui.addCorrectedButton.clicked.connect(lambda *_: self.add("corrected"))
        ui.addAllButton.clicked.connect(lambda *_: self.add("all"))
        self._result: Any = None
        self._counts = 0, 0
        desk.on("structures", lambda: self.annotated.add(desk.need_result().classes[1:]))
        for what in ("written", "edited", "reviewed"):
            desk.on(what, self._recount)
        for what in ("result", "busy", "parameters"):
            desk.on(what, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Follow the result at work."""
        result = None if self.desk.parameters is None else self.desk.result
        if result is not self._result:
            self._result = result
            self.annotated.fill(() if result is None else result.classes[1:])
            self.ui.ownPatientsCheck.setVisible(result is not None and result.depth > 1)
            self._recount()
        self._enable()

    def _recount(self) -> None:
        """Count what could be added: the segmentation is read for it, so not at every event."""
        corrected, labelled = self._candidates()
        self._counts = len(corrected), len(labelled)
        self._enable()

    def _enable(self) -> None:
        ui, ready = self.ui, self._result is not None
        free = ready and not self.runs.busy
        corrected, labelled = self._counts
        ui.addCorrectedButton.setText(f"Corrected ({corrected})")
        ui.addAllButton.setText(f"All ({labelled})")
        ui.annotatedButton.setEnabled(ready)
        ui.addThisButton.setEnabled(free)
        ui.addCorrectedButton.setEnabled(free and corrected > 0)
        ui.addAllButton.setEnabled(free and labelled > 0)

    def _candidates(self) -> tuple[list[int], list[int]]:
        if self._result is None or self._result.volume is None:
            return [], []
        review = self.reviews.review
        accepted = set() if review is None else review.accepted()
        return candidates_of(self._result, accepted, self.desk.labels)

    def _on_folder(self, path: str) -> None:
        self.desk.settings[FOLDER] = str(path)

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
                annotated=[c.name for c in self.annotated.ticked()],
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
                self.desk.worded(
                    f"Nobody corrected or accepted {untouched} of these B-scans: they teach a "
                    "model its own mistakes. Add them all the same?"
                )
            )
        )
