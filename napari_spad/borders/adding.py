"""Where lines come from and go to: a structure, the device, a file, nothing; labels and files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Vectors
from qtpy.QtCore import Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu, QToolButton

from napari_spad.borders.band import lines_of_band
from napari_spad.borders.line_files import FILTER, export_lines, import_lines
from napari_spad.borders.line_layers import (
    add_lines,
    borders_of,
    color_of,
    image_of,
    placed_like,
)
from napari_spad.borders.line_model import Borders
from napari_spad.desk import Desk, named, setting
from napari_spad.layers import is_image, level_0
from spad.borders import Lines, areas, lines_name

__all__ = ["AddMenu"]

NAMES = "ILM, IS/OS, RPE, BM"


class AddMenu(QToolButton):
    """The button “Add…”, with a menu of what there is to make lines of.

    Parameters
    ----------
    desk : Desk
    """

    band_added = Signal(object, object, int)
    """Lines of a structure: their layer, the Result and the structure's value."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        named(self, "add_lines").setText("Add…")
        self.setToolTip("Layers as lines, one height a column: from the device, labels, a file")
        self.desk, self.viewer = desk, desk.viewer
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.aboutToShow.connect(self.fill)
        self.setMenu(menu)

    def fill(self) -> None:
        """Offer what there is."""
        menu = self.menu()
        menu.clear()
        for title, lines, image in self._vendors():
            menu.addAction(title, partial(self.add_found, lines, image))
        result = self.desk.result
        if result is not None:
            for one in result.classes[1:]:
                menu.addAction(f"Top and bottom of {one.name}", partial(self.add_band, one.value))
        menu.addAction("New lines, by name…", self._ask_names)
        menu.addAction("From a file…", self._ask_file)

    def _vendors(self) -> list[tuple[str, Lines, Image | None]]:
        """Lines that files brought along, each with the image of that file: that below them."""
        layers, found = list(self.viewer.layers), []
        for at, layer in enumerate(layers):
            lines = layer.metadata.get("lines")
            if isinstance(lines, Lines) and lines.names:
                below = (la for la in reversed(layers[:at]) if self._fits(la, lines))
                found.append((lines, next(below, None)))
        several = len(found) > 1
        of = [f" (“{image.name}”)" if several and image is not None else "" for _, image in found]
        return [
            (f"The device's{told}: {', '.join(lines.names)}"[:60], lines, image)
            for (lines, image), told in zip(found, of, strict=True)
        ]

    def _fits(self, layer: Any, lines: Lines) -> bool:
        if not is_image(layer) or layer.ndim not in (2, 3):
            return False
        bscans, _, columns = self._shape(layer)
        return lines.heights.shape[1:] == (bscans, columns)

    def _image(self) -> Image:
        """The image that new lines belong to: the active one, that at work, else the topmost."""
        fit = [layer for layer in self.viewer.layers if is_image(layer) and layer.ndim in (2, 3)]
        active, result = self.viewer.layers.selection.active, self.desk.result
        if active is not None and is_image(active) and active not in fit:
            raise ValueError(
                f"“{active.name}” has {active.ndim} axes, and lines lie over a B-scan or a stack "
                f"of them: 2 or 3. Add one stack of it from napari's console, for instance "
                f"viewer.add_image(viewer.layers[{active.name!r}].data[0]), and choose that"
            )
        if not fit:
            raise ValueError("Lines lie over a B-scan or a stack of them: open an image first")
        wanted = (active, None if result is None else result.image, fit[-1])
        return next(layer for layer in wanted if layer in fit)

    def _shape(self, image: Image) -> tuple[int, int, int]:
        shape = (1, *level_0(image).shape[: image.ndim])[-3:]
        return int(shape[0]), int(shape[1]), int(shape[2])

    def add_found(
        self, lines: Lines, image: Image | None = None, *, kind: str = "lines"
    ) -> Vectors | None:
        """Put lines over an image whose size is theirs."""
        try:
            image = image or self._image()
            shape = self._shape(image)
            if lines.heights.shape[1:] != (shape[0], shape[2]):
                raise ValueError(
                    f"The lines are of {lines.heights.shape[1]} B-scans of "
                    f"{lines.heights.shape[2]} columns, “{image.name}” has {shape[0]} of "
                    f"{shape[2]}; choose their image"
                )
            placed = placed_like(image)
            name = f"{image.name} – {kind}"
            return add_lines(self.viewer, lines, shape[1], name, placed, image)
        except Exception as error:
            self.desk.fail(error)
            return None

    def add_band(self, value: int) -> None:
        """Add top and bottom of a structure of the result at work; its labels follow them."""
        result = self.desk.result
        if result is None or result.layer.ndim > 3:
            self.desk.say("Lines are drawn over one stack of B-scans: segment one first.")
            return
        name = next(one.name for one in result.classes if one.value == value)
        layer = self.add_found(
            lines_of_band(result, value, name), result.image, kind=f"{name} lines"
        )
        if layer is not None:
            self.band_added.emit(layer, result, value)
            self.desk.say(f"The labels of {name} follow these lines: drag one (G), or draw (D).")

    def add_new(self, names: Sequence[str]) -> None:
        """Add lines that are to be drawn yet."""
        try:
            image = self._image()
            shape = self._shape(image)
            lines = Lines.nowhere(tuple(names), shape[0], shape[2])
        except ValueError as error:
            self.desk.fail(error)
            return
        self.add_found(lines, image)
        self.desk.say(f"Draw “{names[0]}”: with the mouse, or click along its edge (W).")

    def _ask_names(self) -> None:
        text, asked = QInputDialog.getText(
            self, "New lines", "Their names, from top to bottom, with commas:", text=NAMES
        )
        names = [name.strip() for name in text.split(",") if name.strip()]
        if asked and names:
            self.add_new(names)

    def _ask_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Open lines", "", "Lines (*.csv *.npz *.eye)")
        if chosen:
            self.open(Path(chosen))

    def open(self, path: Path) -> None:
        """Add the lines of a file."""
        try:
            image = self._image()
            lines = import_lines(path, self._shape(image))
        except Exception as error:
            self.desk.fail(error)
            return
        if self.add_found(lines, image) is not None:
            self.desk.say(f"Opened {path.name}: {', '.join(lines.names)}")

    # ------------------------------------------------------------------ out

    def areas(self, layer: Vectors, borders: Borders) -> None:
        """Add a label layer of the areas between the lines."""
        from napari.utils.colormaps import DirectLabelColormap
        from vispy.color import Color

        names = borders.names
        if len(names) < 2:
            self.desk.say("An area lies between two lines; there is one.")
            return
        labels = areas(borders.lines, borders.rows)
        colors: dict[int | None, Any] = {None: "magenta", 0: "transparent"}
        colors |= {n + 1: Color(color_of(n)).rgba for n in range(len(names) - 1)}
        between = [f"{a} to {b}" for a, b in pairwise(names)]
        name = f"{layer.name} – areas"
        self.viewer.add_labels(
            labels if layer.ndim > 2 else labels[0],
            name=name,
            features={"index": np.arange(len(names)), "name": ["background", *between]},
            colormap=DirectLabelColormap(color_dict=colors),
            opacity=0.5,
            **placed_like(layer),
        )
        self.desk.say(f"The areas between the lines are a layer of labels: “{name}”")

    def export(self, layer: Vectors) -> None:
        """Ask for a file, and write the lines there."""
        proposed = str(self._beside_result(layer))
        chosen, _ = QFileDialog.getSaveFileName(self, "Export lines", proposed, FILTER)
        if chosen:
            try:
                lacks = export_lines(layer, Path(chosen), self.viewer)
                self.desk.say(", ".join(filter(None, (f"Exported the lines to {chosen}", lacks))))
            except Exception as error:
                self.desk.fail(error)

    def _beside_result(self, layer: Vectors) -> Path:
        """Where `spad measure` finds the lines: beside the export of the result on their image."""
        borders = borders_of(layer)
        image = None if borders is None else image_of(borders, self.viewer)
        mine = [one for one in (self.desk.result, *self.desk.results) if one is not None]
        named = [one.layer.name for one in mine if one.image is image]
        name = next(iter(named), layer.name if image is None else image.name)
        return Path(setting(self.desk.settings, "export_folder", "")) / lines_name(name)
