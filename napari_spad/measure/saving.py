"""The numbers out of the tab Measure: into the clipboard, a CSV file, a page of PDF."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_spad.desk import Background, Desk, named, setting, whose
from napari_spad.layers import level_0
from napari_spad.measure.stack_measures import StackMeasures
from napari_spad.review import Reviews
from spad.borders import by_region, missing_columns, thickness_rows
from spad.cases import foreign, luminance, write_bytes
from spad.checkpoint import plain_text
from spad.measuring import as_rows, page_pdf, table_csv
from spad.metrics import write_text

__all__ = ["Saving"]

FOLDER = "measures_folder"


class Saving(QObject):
    """The buttons, and what they do.

    Parameters
    ----------
    desk : Desk
    measures : StackMeasures
    reviews : Reviews
        Says which B-scans are to be doubted most.
    parent : QWidget
        Of the dialogs.
    """

    def __init__(
        self, desk: Desk, measures: StackMeasures, reviews: Reviews, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._desk, self._measures, self._reviews = desk, measures, reviews
        self._parent = parent
        self._work = Background(desk.fail)
        self.copy = named(QPushButton("Copy"), "copy_measures")
        self.copy.setToolTip("All structures and regions, for a spreadsheet")
        self.csv = named(QPushButton("CSV…"), "save_measures")
        self.csv.setToolTip("One row a structure and region, with the scale and its origin")
        self.pdf = named(QPushButton("PDF…"), "report")
        self.pdf.setToolTip("One page: map, three B-scans, table, scale, model, what was edited")
        self.pdf.clicked.connect(self._ask_pdf)
        self.copy.clicked.connect(self._copy)
        self.csv.clicked.connect(self._ask_csv)

    def allow(self, structures: bool, layers: bool) -> None:
        """Whether there is something to be saved: measured structures, layers between lines."""
        for button in (self.copy, self.csv):
            button.setEnabled(structures or layers)
        self.pdf.setEnabled(structures)

    def rows(self) -> list[dict[str, Any]]:
        """One row a structure and region; then those of the reference, then layers by lines."""
        measures, scores = self._measures, self._measures.scores
        facts, layer, other = measures.facts, scores.live.segmentation, scores.live.reference
        if facts is None:
            return []
        fovea = facts.fovea
        about: dict[str, Any] = {
            "eye": facts.eye or "",
            "fovea": "" if fovea is None else fovea.in_files,
        }
        out: list[dict[str, Any]] = []
        if layer is not None:
            out += as_rows(
                measures.rows, scale=facts.scale, remarks=measures.remarks, labels=layer.name,
                annotator=whose(layer), **about,
            )  # fmt: skip
        if other is not None:
            out += as_rows(
                measures.reference_rows, scale=facts.scale, remarks=measures.reference_remarks,
                labels=other.name, annotator=whose(other), **about,
            )  # fmt: skip
        told = {"labels": f"lines over {facts.image.name}", "annotator": "", **about}
        return out + thickness_rows(measures.layers(), facts.scale, measures.layer_remarks, told)

    def _copy(self) -> None:
        rows = self.rows()
        if not rows:
            return

        def text(value: Any) -> str:
            value = f"{value:.6g}" if isinstance(value, float) else "" if value is None else value
            return plain_text(str(value))

        lines = ["\t".join(map(text, rows[0]))]
        lines += ["\t".join(map(text, row.values())) for row in rows]
        QGuiApplication.clipboard().setText("\n".join(lines) + "\n")
        self._desk.say(f"{len(rows)} rows are in the clipboard.")

    def _ask_csv(self) -> None:
        if (path := self.ask("measures", ".csv")) is not None:
            self.save_csv(path)

    def save_csv(self, path: Path) -> None:
        """Write the table; what goes wrong is told."""
        self.write(path, table_csv(self.rows()))

    def write(self, path: Path, content: str | bytes) -> None:
        """Write a file; what goes wrong is told."""
        try:
            if isinstance(content, str):
                write_text(path, content)
            else:
                write_bytes(path, content)
        except OSError as error:
            self._desk.fail(error)
            return
        self._desk.say(f"Written: {path}")

    # ------------------------------------------------------------------ a page

    def _ask_pdf(self) -> None:
        if (path := self.ask("measures", ".pdf")) is not None:
            self.save_pdf(path)

    def save_pdf(self, path: Path) -> None:
        """Draw the page in a worker thread, and write it; what goes wrong is told."""
        measures, live = self._measures, self._measures.scores.live
        facts, layer = measures.facts, live.segmentation
        if self._work.busy or facts is None or layer is None or measures.live is None:
            return
        image, shape = level_0(facts.image), facts.shape
        rgb = getattr(facts.image, "rgb", False)
        page = {
            "labels": measures.class_maps(),
            "classes": live.classes,
            "live": deepcopy(measures.live),  # strokes go on meanwhile
            "scale": facts.scale,
            "title": layer.name,
            "facts": self._facts(),
            "worst": self._worst(),
            "layers": by_region(measures.layers()),
            "noted": [*filter(None, [measures.partly, missing_columns(measures.layers())])],
        }
        self._desk.say("drawing the page…")

        def drawn() -> bytes:
            with foreign():
                pixels = np.asarray(image)
            pixels = luminance(pixels) if rgb else pixels
            return page_pdf(image=pixels.reshape(shape), **page)

        self._work.start(drawn, lambda pdf: self.write(path, pdf))

    def _facts(self) -> dict[str, str]:
        """More lines of the page: who, with what, how much by hand."""
        layer, result = self._measures.scores.live.segmentation, self._measures.result
        facts, out = self._measures.facts, {}
        fovea = None if facts is None else facts.fovea
        if fovea is not None:
            out["Fovea"] = fovea.in_files
        if layer is not None and (who := whose(layer)):
            out["Annotator"] = who
        if result is not None:
            made_with = (run.get("checkpoint") for run in result.runs)
            names = (str(one.get("name", "")) for one in made_with if isinstance(one, dict))
            models = dict.fromkeys(names)
            out["Model"] = ", ".join(filter(None, models)) or "not known"
            mask = result.hand.mask
            edited = int(mask.any((-2, -1)).sum())
            done, all_ = len(set(self._desk.accepted(result))), int(np.prod(mask.shape[:-2]))
            out["By hand"] = f"{int(mask.sum())} px in {edited} of {all_} B-scans; {done} accepted"
        return out

    def _worst(self) -> list[int] | None:
        """The two B-scans with the largest expected error; None where that is not known."""
        result = self._measures.result
        queue = None if result is None else self._reviews.bench(result).queue
        if queue is None or len(queue.error) < 2:
            return None
        ranked = sorted(queue.error, key=lambda place: -queue.error[place])
        return [place[-1] for place in ranked if place][:3]

    def ask(self, what: str, suffix: str) -> Path | None:
        """Ask for a file of this kind, named after the labels and what it holds."""
        layer = self._measures.scores.live.segmentation
        settings = self._desk.settings
        folder = Path(setting(settings, FOLDER, str(Path.home())))
        named_after = "" if layer is None else re.sub(r"[^\w .–-]+", "_", layer.name) + " – "
        proposed = folder / f"{named_after}{what}{suffix}"
        kind = f"{suffix[1:].upper()} (*{suffix})"
        name, _ = QFileDialog.getSaveFileName(self._parent, f"Save {what}", str(proposed), kind)
        if not name:
            return None
        path = Path(name)
        path = path if path.suffix else path.with_suffix(suffix)
        settings.setValue(FOLDER, str(path.parent))
        return path
