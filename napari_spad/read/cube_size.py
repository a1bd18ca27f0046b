"""The size of an ``.img`` that tells none: asked of the person, and kept with the file's pixels."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_spad.desk import Number, data_folder, named, worded
from napari_spad.read.opened_layers import LayerData, scan_layers
from napari_spad.scale import FILE, KeptFacts
from spad.pictures import CubeSize, fitting

__all__ = ["SizeDialog", "opened_with_size"]

AXES = {"B-scans": "across all B-scans", "rows": "down", "columns": "along a B-scan"}
GUESS = (128, 1024, 512)
MOST = 65_535
LONGEST_MM = 100.0
WIDE_PX = 480


def opened_with_size(path: Path, why: str) -> list[LayerData]:
    """Layer of an ``.img``, with the size that a person types.

    Parameters
    ----------
    path : Path
    why : str
        Why it has to be asked.

    Raises
    ------
    ValueError
        The person gave none: what was asked.
    OSError
        It cannot be read.
    """
    if QApplication.instance() is None:
        raise ValueError(why)
    length = path.stat().st_size
    kept = KeptFacts(data_folder() / FILE, show_warning)
    with path.open("rb") as file:  # known by its bytes: no name, no path
        file.seek(length // 2)
        key = sha256(b"%d " % length + file.read(2**20)).hexdigest()
    dialog = SizeDialog(path.name, length, kept.of(key).get("cube"), QApplication.activeWindow())
    if not dialog.exec():
        raise ValueError(why)
    size = dialog.typed
    layers = scan_layers(path, size)
    kept.say(key, "cube", {"shape": size.shape, "mm": size.mm})
    return layers


class SizeDialog(QDialog):
    """Asks for a cube's size, tells whether it fits the file, and which near sizes would.

    Parameters
    ----------
    name : str
        Of the file.
    length : int
        Its bytes.
    kept : object
        What was typed the last time, if anything.
    """

    def __init__(
        self, name: str, length: int, kept: object = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._length = length
        self.setWindowTitle(f"SPAD: how large is {name}?")
        said = QLabel(
            f"{name} holds {length:,} bytes of bare pixels and does not say how they lie. Type "
            "what the device was set to. Without the lengths in mm nothing is measured; you can "
            "type the scale later, too."
        )
        said.setWordWrap(True)
        said.setFixedWidth(WIDE_PX)  # else wrapped lines are given too little height
        grid = QGridLayout()
        self.pixels: list[QSpinBox] = []
        self.mm: list[Number] = []
        for column, (axis, way) in enumerate(AXES.items()):
            number, long = named(QSpinBox(), f"cube_{axis}"), named(Number(), f"mm_{axis}")
            number.setRange(1, MOST)
            long.setRange(0, LONGEST_MM)
            long.setDecimals(3)
            worded(long, "unknown")
            for row, widget in enumerate((QLabel(axis), number, QLabel(f"mm {way}"), long)):
                grid.addWidget(widget, row, column)
            self.pixels.append(number)
            self.mm.append(long)
        self.near = named(QComboBox(), "cube_near")
        self.near.setPlaceholderText("Sizes that fit…")
        self.told = named(QLabel(), "cube_told")
        self.told.setWordWrap(True)
        self.told.setFixedWidth(WIDE_PX)
        both = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(both.Open | both.Cancel)
        layout = QVBoxLayout(self)
        layout.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)
        layout.addWidget(said)
        layout.addLayout(grid)
        layout.addWidget(self.told)
        layout.addWidget(self.near)
        layout.addWidget(self.buttons)
        self._fill(kept)
        for field in self.pixels:
            field.valueChanged.connect(self._look)
        self.near.activated.connect(lambda at: self._put(self.near.itemData(at)))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._look()

    @property
    def typed(self) -> CubeSize:
        """What is typed."""
        bscans, rows, columns = (field.value() for field in self.pixels)
        across, down, along = (field.value() or None for field in self.mm)
        return CubeSize((bscans, rows, columns), (across, down, along))

    def _fill(self, kept: Any) -> None:
        try:
            bscans, rows, columns = map(int, kept["shape"])
            size = CubeSize((bscans, rows, columns), tuple(kept["mm"]))
            lengths = [float(mm or 0) for mm in size.mm]
        except (TypeError, KeyError, ValueError):
            size, lengths = CubeSize(next(iter(fitting(self._length, GUESS)), GUESS)), [0.0] * 3
        self._put(size.shape)
        for field, mm in zip(self.mm, lengths, strict=True):
            field.setValue(mm)

    def _put(self, shape: tuple[int, int, int]) -> None:
        for field, number in zip(self.pixels, shape, strict=True):
            field.setValue(number)

    def _look(self, _value: int = 0) -> None:
        """Say whether what is typed fits, and list what would."""
        bscans, rows, columns = shape = tuple(field.value() for field in self.pixels)
        pixels, near = math.prod(shape), fitting(self._length, (bscans, rows, columns))
        fits = self._length in (pixels, 2 * pixels)
        self.buttons.button(QDialogButtonBox.StandardButton.Open).setEnabled(fits)
        if fits:
            wide = self._length // pixels
            self.told.setText(f"It fits, with {wide} byte{'s' * (wide > 1)} a pixel.")
        else:
            more = "" if near else " Nor does any size near it."
            self.told.setText(
                f"{bscans} × {rows} × {columns} are {pixels:,} pixels; it does not fit.{more}"
            )
        self.near.clear()
        for one in near:
            self.near.addItem(" × ".join(map(str, one)), one)
        self.near.setCurrentIndex(-1)
        self.near.setVisible(bool(near) and not fits)
