"""The section “Batch”: a folder, or all open images, through the model of the tab Segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_spad.desk import Desk, Result, named
from napari_spad.layers import Source, is_image, open_source, segmented
from napari_spad.learn.batch import Batch, Choices, LayerItem, image_files
from napari_spad.learn.folder_row import FolderRow
from spad.cases import make_writable

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
            "All image layers, all B-scans; those that a result of this model has are skipped"
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
            make_writable(out)
            self._run(Batch(self._choices(), items))
        except (ValueError, OSError) as error:
            self.desk.fail(error)

    def segment_layers(self) -> None:
        """Segment what no result of this model has of the open images; the rest stays."""
        try:
            choices = self._choices()
            viewer, known = self.desk.viewer, {}
            images = [layer for layer in viewer.layers if is_image(layer)]
            found = [open_source(layer, viewer, whole_stack=True) for layer in images]
            if not found:
                raise ValueError("Open an image first: File › Open, or File › Open Sample › SPAD")
            for source in found:
                mine = [r for r in self.desk.results if r.fits(source, choices.model)]
                if mine:
                    fullest = max(mine, key=lambda r: len(_done(r)))
                    known[id(source)] = fullest
                    source.parts = tuple(
                        part
                        for part in source.parts
                        if part.index not in _done(fullest) and fullest.untouched(part)
                    )
            left = [source for source in found if source.parts]
            if not left:
                raise ValueError(
                    f"all {len(found)} open images have a result of this model; remove the one "
                    "that is to be made anew"
                )
            items: list[Any] = [LayerItem(source) for source in left]
            self._run(Batch(choices, items), known)
        except (ValueError, OSError) as error:
            self.desk.fail(error)

    def _run(self, batch: Batch, known: Mapping[int, Result] = MappingProxyType({})) -> None:
        self._open = dict(known)
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


def _done(result: Result) -> set[tuple[int, ...]]:
    """B-scans of a result that a model has segmented."""
    return segmented(result.layer) or set()
