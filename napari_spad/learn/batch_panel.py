"""The section “Batch”: a folder, or all open images, through the model of the tab Segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_spad.desk import Desk, Result, named
from napari_spad.layers import Source, is_image, open_source
from napari_spad.learn.batch import Batch, Choices, LayerItem, image_files
from napari_spad.learn.folder_row import FolderRow

__all__ = ["BatchPanel"]


class BatchPanel(QWidget):
    """Two folders, two buttons, and what came of it.

    Parameters
    ----------
    desk : Desk
    choices : callable
        Gives the `Choices`; raises ValueError with what to do first.
    """

    def __init__(self, desk: Desk, choices: Callable[[], Choices]) -> None:
        super().__init__()
        self.desk, self._choices = desk, choices
        self._open: dict[int, Result] = {}  # results that this run fills, by their source
        self.images = FolderRow(desk, "batch_images", "Folder of images", "no folder yet")
        self.results = FolderRow(desk, "batch_results", "Folder of the results", "images/spad")
        self.folder = named(QPushButton("Segment folder"), "batch_folder")
        self.folder.setToolTip(
            "Label maps (PNG; stacks TIFF) with a sidecar each. What this model did before with "
            "the same settings is skipped"
        )
        self.layers = named(QPushButton("Segment open images"), "batch_layers")
        self.layers.setToolTip(
            "All image layers, all B-scans; those that have a result of this model are skipped"
        )
        self.status = named(QLabel(), "batch_status")
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        grid, row = QGridLayout(), QHBoxLayout()
        for line, (text, folder) in enumerate((("Images", self.images), ("Results", self.results))):
            grid.addWidget(QLabel(text), line, 0)
            grid.addWidget(folder, line, 1)
        grid.setColumnStretch(1, 1)
        row.addWidget(self.folder, 1)
        row.addWidget(self.layers, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addLayout(row)
        layout.addWidget(self.status)
        self.folder.clicked.connect(self.segment_folder)
        self.layers.clicked.connect(self.segment_layers)
        desk.busy_changed.connect(self._on_busy)
        self._on_busy(desk.busy)

    def segment_folder(self) -> None:
        """Segment the files of the folder that are not done yet."""
        if self.images.path is None and not self.images.ask():
            return
        try:
            images = self.images.path or Path()
            out = self.results.path or images / "spad"
            items: list[Any] = list(image_files(images, out))
            self._run(Batch(self._choices(), items))
        except (ValueError, OSError) as error:
            self.desk.fail(error)

    def segment_layers(self) -> None:
        """Segment the open image layers that have no result of this model."""
        try:
            choices = self._choices()
            viewer, results = self.desk.viewer, self.desk.results
            images = [layer for layer in viewer.layers if is_image(layer)]
            found = [open_source(layer, viewer, whole_stack=True) for layer in images]
            if not found:
                raise ValueError("Open an image first: File › Open, or File › Open Sample › SPAD")
            left = [s for s in found if not any(r.fits(s, choices.model) for r in results)]
            if not left:
                raise ValueError(
                    f"all {len(found)} open images have a result of this model; remove the one "
                    "that is to be made anew"
                )
            items: list[Any] = [LayerItem(source) for source in left]
            self._run(Batch(choices, items))
        except (ValueError, OSError) as error:
            self.desk.fail(error)

    def _run(self, batch: Batch) -> None:
        self._open = {}
        self.status.clear()
        work: Any = batch  # the desk asks of a request that it can `work`
        self.desk.run(
            work,
            lambda event: self._on_part(batch, event),
            lambda whole: self._on_end(batch, whole),
        )

    def _on_part(self, batch: Batch, event: Any) -> None:
        if isinstance(event, tuple):
            source, finished = event
            self._put(batch, source, finished)
            return
        batch.outcomes.append(event)
        self.status.setText(batch.summary())

    def _put(self, batch: Batch, source: Source, finished: Any) -> None:
        result = self._open.get(id(source))
        if result is None:
            result = Result(
                self.desk.viewer, source, finished.segmentation.classes, batch.choices.model
            )
            self._open[id(source)] = result
            self.desk.add_result(result)
        elif result not in self.desk.results:
            return  # its layer was removed meanwhile
        if result.put(finished, undoable=False):
            self.desk.written.emit(result, finished.part.index)

    def _on_end(self, batch: Batch, complete: bool) -> str:
        self.status.setText(batch.summary())
        self._open = {}
        said = batch.summary().splitlines()[0]
        return said if complete else f"cancelled: {said}"

    def _on_busy(self, busy: bool) -> None:
        self.folder.setEnabled(not busy)
        self.layers.setEnabled(not busy)
