"""The group “Export” of the panel Keep: which labels, as what, and where to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from napari_spad.desk import (
    Desk,
    FunctionWorker,
    LayerCombo,
    Question,
    Result,
    annotator,
    explain,
    form_layout,
    named,
    narrow,
    setting,
)
from napari_spad.keep.autosave import Autosave
from napari_spad.keep.export import FORMATS, export, file_name, targets
from napari_spad.layers import is_label_map
from napari_spad.write import sidecar_of

__all__ = ["ExportPanel", "tried"]


class ExportPanel(QGroupBox):
    """Writes a label layer for other programs; what is there already is asked about first.

    Parameters
    ----------
    desk : Desk
    autosave : Autosave
        Is told what was exported.
    """

    def __init__(self, desk: Desk, autosave: Autosave) -> None:
        super().__init__("Export")
        self.desk, self.settings, self.autosave = desk, desk.settings, autosave
        self._worker: FunctionWorker | None = None
        self._exporting: tuple[Labels, Any] | None = None  # the layer, and the labels as written
        self._make()
        self._lay_out()
        desk.result_changed.connect(self._on_result)

    def _make(self) -> None:
        self.layer = LayerCombo(self.desk.viewer, is_label_map, "no labels yet")
        self.layer.setObjectName("export_layer")
        self.format = narrow(named(QComboBox(), "export_format"))
        for form in FORMATS:
            self.format.addItem(form.title, form.suffix)
        self.format.setCurrentIndex(
            max(self.format.findData(setting(self.settings, "export_format", ".tif")), 0)
        )
        self.folder = named(QLineEdit(setting(self.settings, "export_folder", "")), "folder")
        self.folder.setPlaceholderText("choose a folder")
        self.folder.setToolTip("Where exported files go; each with a sidecar NAME.spad.json")
        self.browse = named(QPushButton("…"), "browse_folder")
        self.browse.setFixedWidth(28)
        self.browse.setToolTip("Choose the folder")
        self.button = named(QPushButton("Export"), "export")
        self.question = Question("replace")
        self.format.activated.connect(
            lambda: self.settings.setValue("export_format", self.format.currentData())
        )
        self.browse.clicked.connect(self._browse)
        self.button.clicked.connect(self.export)
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
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self.question)
        layout.addWidget(self.button)

    def _on_result(self, result: Result | None) -> None:
        if result is not None:
            self.layer.lead(result.layer)

    def _on_layer(self, _layer: Any = None) -> None:
        self.button.setEnabled(self.layer.layer is not None and self._worker is None)

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
        # Of an export in another format: what it says of that one would be lost.
        exist = exist or [beside for file in files if (beside := sidecar_of(file)).exists()]
        if not exist:
            self._start_export(layer, target)
            return
        what = f"“{exist[0].name}” exists" if len(exist) == 1 else f"{len(exist)} files exist"
        other = exist[0].name.endswith(".spad.json")
        self.question.ask(
            f"{what} there{', the sidecar of another format' if other else ''}.",
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
        metadata["annotator"] = metadata.get("annotator") or annotator(self.desk)
        data = data.copy()  # painting goes on while it is written
        self._exporting = (layer, data)
        args = (target, form, data, {**meta, "metadata": metadata})
        self._worker = FunctionWorker(tried, export, *args)
        self._worker.returned.connect(self._on_exported)
        self.button.setEnabled(False)
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

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.layer.disconnect_viewer()


def tried(work: Any, *args: Any) -> tuple[Any, str]:
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
