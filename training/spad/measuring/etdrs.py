"""The circles of 1, 3 and 6 mm about the fovea, and the nine ETDRS fields in them.

Seen from above (en face), a cell is one column of one B-scan: as wide as columns are apart and as
high as B-scans are apart. A cell on a border counts by the part of it that lies inside, so that
circles keep their area however far apart the B-scans are, and the fields of a circle sum to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["CIRCLES_MM", "Grid"]

CIRCLES_MM = (1.0, 3.0, 6.0)
"""Diameters."""
FINE_MM = 0.01
"""Cells are cut into pieces no larger than this, each of which lies in one field."""


@dataclass(frozen=True)
class Grid:
    """The ETDRS grid on a stack.

    Parameters
    ----------
    fovea : (B-scan, column)
        Floats, counted from 0.
    spacing_mm : (between B-scans, column)
    shape : (B-scans, columns)
    eye : {"OD", "OS"}, optional
        Tells nasal from temporal; without it the fields are named after the image's left and right.
    first : {"inferior", "superior"}
        Where the first B-scan lies; Heidelberg's volumes begin below.

    Raises
    ------
    ValueError
        A fovea outside the scan, a spacing that is no length, an eye or a side that is none.
    """

    fovea: tuple[float, float]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    eye: str | None = None
    first: str = "inferior"

    def __post_init__(self) -> None:
        if len(self.spacing_mm) != 2 or not all(0 < s < math.inf for s in self.spacing_mm):
            raise ValueError(
                f"spacing {self.spacing_mm}; the grid needs the distances of B-scans and "
                "of columns in mm, both above 0"
            )
        if len(self.fovea) != 2 or not all(
            -0.5 <= at <= n - 0.5 for at, n in zip(self.fovea, self.shape, strict=True)
        ):
            raise ValueError(
                f"fovea at (B-scan, column) {tuple(self.fovea)} is outside the scan of "
                f"{self.shape[0]} B-scans of {self.shape[1]} columns, counted from 0; move it "
                "inside"
            )
        if self.eye not in ("OD", "OS", None):
            raise ValueError(f"eye is {self.eye!r}; give “OD”, “OS” or None")
        if self.first not in ("inferior", "superior"):
            raise ValueError(f"first is {self.first!r}; give “inferior” or “superior”")

    @property
    def circles(self) -> tuple[str, ...]:
        """Names of the circles: "1 mm", "3 mm", "6 mm"."""
        return tuple(f"{d:g} mm" for d in CIRCLES_MM)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields: C1, then S3, N3, I3, T3, S6 ...; L and R where no eye is given."""
        sides = "SNIT" if self.eye else "SRIL"
        return ("C1", *(f"{side}{ring:g}" for ring in CIRCLES_MM[1:] for side in sides))

    @cached_property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Part of each cell that lies in each circle and field: float32 (B-scans, columns)."""
        names = self.fields
        height, width = self.shape
        inside = np.zeros((len(names), height, width), np.float32)
        cut = [max(1, math.ceil(s / FINE_MM)) for s in self.spacing_mm]
        (top, bottom), (left, right) = (
            _span(at, CIRCLES_MM[-1] / 2 / s, n)
            for at, s, n in zip(self.fovea, self.spacing_mm, self.shape, strict=True)
        )
        y, x = (
            ((np.arange(a * n, b * n) + 0.5) / n - 0.5 - at) * s
            for (a, b), n, at, s in zip(
                ((top, bottom), (left, right)), cut, self.fovea, self.spacing_mm, strict=True
            )
        )
        for z in range(top, bottom):
            fine = self._field(y[(z - top) * cut[0] : (z - top + 1) * cut[0], None], x[None])
            cells = fine.reshape(cut[0], right - left, cut[1])
            columns = np.broadcast_to(np.arange(right - left)[None, :, None], cells.shape)
            found = cells >= 0
            counts = np.bincount(
                cells[found] * (right - left) + columns[found],
                minlength=len(names) * (right - left),
            )
            inside[:, z, left:right] = counts.reshape(len(names), -1) / (cut[0] * cut[1])
        out = {name: inside[: 1 + 4 * ring].sum(0) for ring, name in enumerate(self.circles)}
        return out | dict(zip(names, inside, strict=True))

    def _field(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of the field at places in mm from the fovea; -1 outside."""
        radius = np.hypot(y, x)
        up = y if self.first == "inferior" else -y
        # Quarters by the diagonals; columns run to nasal in a right eye, to temporal in a left one.
        right = 3 if self.eye == "OS" else 1
        vertical = np.abs(up) >= np.abs(x)
        quarter = np.where(vertical, np.where(up >= 0, 0, 2), np.where(x >= 0, right, 4 - right))
        ring = np.searchsorted(np.array(CIRCLES_MM) / 2, radius)
        field = np.where(ring == 0, 0, 1 + 4 * (ring - 1) + quarter)
        return np.where(ring < len(CIRCLES_MM), field, -1)

    def areas_mm2(self) -> dict[str, float]:
        """Area of each whole circle and field, scanned or not."""
        discs = [math.pi * d * d / 4 for d in CIRCLES_MM]
        rings = [discs[0], *(b - a for a, b in pairwise(discs))]
        fields = [rings[0], *(rings[ring] / 4 for ring in (1, 2) for _ in range(4))]
        return dict(zip((*self.circles, *self.fields), (*discs, *fields), strict=True))

    def scanned(self, cells: Mapping[str, float] | None = None) -> dict[str, float]:
        """Share of each circle and field that was scanned, 0 to 1.

        Parameters
        ----------
        cells : mapping of str to float, optional
            How many cells of each were; by default all within the scan.
        """
        if cells is None:
            cells = {name: float(weight.sum()) for name, weight in self.weights.items()}
        cell = self.spacing_mm[0] * self.spacing_mm[1]
        return {name: min(1.0, cells[name] * cell / mm2) for name, mm2 in self.areas_mm2().items()}

    def means(self, values: NDArray[np.floating]) -> dict[str, float]:
        """Mean of a map, such as a thickness, in each circle and field.

        Parameters
        ----------
        values : array of float, shape (B-scans, columns)
            NaN where there is none.

        Returns
        -------
        dict of str to float
            In the map's unit; NaN where nothing is known. That of C1 is the central subfield's.
        """
        known = np.isfinite(values)
        filled = np.where(known, values, 0)
        out = {}
        for name, weight in self.weights.items():
            total = float(weight[known].sum())
            out[name] = float((weight * filled).sum()) / total if total > 0 else math.nan
        return out

    def lines(self, points: int = 96) -> list[NDArray[np.float64]]:
        """The grid as lines to draw: three circles, then the spokes from 1 to 6 mm.

        Parameters
        ----------
        points : int
            Of a circle.

        Returns
        -------
        list of array of float, shape (N, 2)
            (B-scan, column) of each point; circles are closed.
        """

        def at(angle: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
            around = np.stack([np.sin(angle), np.cos(angle)], 1) * radius[:, None]
            placed: NDArray[np.float64] = np.asarray(self.fovea) + around / self.spacing_mm
            return placed

        turn = np.linspace(0, 2 * np.pi, points + 1)
        out = [at(turn, np.full(points + 1, d / 2)) for d in CIRCLES_MM]
        ends = np.array([CIRCLES_MM[0], CIRCLES_MM[-1]]) / 2
        return out + [at(np.full(2, np.pi / 4 + k * np.pi / 2), ends) for k in range(4)]

    def middles(self) -> dict[str, tuple[float, float]]:
        """(B-scan, column) of each field's middle, to write its name there."""
        up = 1 if self.first == "inferior" else -1
        right = -1 if self.eye == "OS" else 1
        ways: dict[str, Sequence[int]] = {
            "C": (0, 0), "S": (up, 0), "I": (-up, 0), "N": (0, right), "T": (0, -right),
            "R": (0, 1), "L": (0, -1),
        }  # fmt: skip
        far = {"1": 0.0, "3": 1.0, "6": 2.25}
        return {
            name: (
                self.fovea[0] + ways[name[0]][0] * far[name[1]] / self.spacing_mm[0],
                self.fovea[1] + ways[name[0]][1] * far[name[1]] / self.spacing_mm[1],
            )
            for name in self.fields
        }


def _span(at: float, reach: float, length: int) -> tuple[int, int]:
    """Cells that a circle may touch, within the scan."""
    return max(0, math.floor(at - reach)), min(length, math.ceil(at + reach) + 1)
