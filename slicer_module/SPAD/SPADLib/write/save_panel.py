"""The panel “Save”: files for other programs, and DICOM SEG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt

from SPADLib.desk import Desk, overlapping
from SPADLib.write import dicom_seg
from SPADLib.write.volume_files import SUFFIXES, overlap_of, save, storage_names

__all__ = ["SavePanel"]


class SavePanel:
    """Works on the buttons of the section “Save” that write files.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        ui.saveButton.clicked.connect(lambda *_: self.ask())
        ui.dicomButton.clicked.connect(lambda *_: self.export_dicom())
        for what in ("result", "parameters"):
            desk.on(what, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Follow the result at work."""
        ready = self.desk.result is not None
        for widget in (self.ui.saveButton, self.ui.dicomButton):
            widget.setEnabled(ready)

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
                self.desk.tell("saved")
                said = f"Saved: {written[0]}, and how it was made in {written[1].name}"
                if pixels := overlap_of(result, path):
                    said += f". ⚠ {overlapping(pixels)} A .seg.nrrd keeps them all"
                self.desk.say(said)
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
