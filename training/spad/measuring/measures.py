"""Measurements of a stack's structures: volumes, areas, heights, parts; live, stroke by stroke.

All but the parts follow from one map a structure: how many pixels it has in each column of each
B-scan. A volume is area times the distance of the B-scans, and nothing is guessed between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass, refuse_masked
from spad.measuring.etdrs import Grid
from spad.measuring.parts import Parts

__all__ = ["LiveMeasures", "Measurement", "measure"]

_NL = 1000.0  # nanolitres in a mm³


@dataclass(frozen=True, slots=True)
class Measurement:
    """A structure in a region.

    Parameters
    ----------
    structure : str
        Name of the class.
    region : str
        "total"; "1 mm", "3 mm", "6 mm" (circles about the fovea, by diameter); "C1", "S3", "N3",
        "I3", "T3", "S6" ... (ETDRS fields; L and R for T and N where no eye was given).
    volume_nl : float or None
        None where the distance of the B-scans is not known, and of a single B-scan.
    largest_area_mm2 : float
        Of the structure in one B-scan, within the region.
    low_nl, high_nl : float or None
        The least and the largest volume among the samples.
    value : int
        The class value.
    largest_area_bscan : int or None
        The B-scan of the largest area, from 0; None of an empty structure.
    largest_height_um : float
        Pixels of the structure in one column, times the distance of rows: a fold or two cysts above
        each other add up.
    largest_height_bscan, largest_height_column : int or None
    mean_height_um : float or None
        Over the scanned part of the region; of a layer its mean thickness, in C1 the central
        subfield thickness. None where nothing of the region was scanned.
    parts : int or None
        Separate parts in the whole stack; None in any other region than "total".
    bscans : int
        B-scans with the structure in the region.
    share_of_bscans : float
        The same, of all B-scans that cross the region; 0 to 1.
    scanned : float
        Share of the region that was scanned, 0 to 1.
    """

    structure: str
    region: str
    volume_nl: float | None
    largest_area_mm2: float
    low_nl: float | None
    high_nl: float | None
    value: int
    largest_area_bscan: int | None
    largest_height_um: float
    largest_height_bscan: int | None
    largest_height_column: int | None
    mean_height_um: float | None
    parts: int | None
    bscans: int
    share_of_bscans: float
    scanned: float


def measure(
    labels: NDArray[np.integer[Any]],
    classes: Sequence[LabelClass],
    spacing_mm: Sequence[float | None],
    *,
    fovea: tuple[float, float] | None = None,
    eye: str | None = None,
    samples: NDArray[np.integer[Any]] | None = None,
    first: str | None = None,
) -> tuple[Measurement, ...]:
    """Measure every structure of a stack: in all of it and, about a fovea, by circle and field.

    Parameters
    ----------
    labels : array of int, shape (Z, H, W) or (H, W)
        Class values; 255 is not measured, and a column of nothing else counts as not scanned.
    classes : sequence of LabelClass
        The structures are those whose value is not 0.
    spacing_mm : (between B-scans, row, column), or (row, column) of a single B-scan
        In mm. Rows and columns are needed; without the first there are areas but no volumes.
    fovea : (B-scan, column), optional
        Floats, counted from 0. Without it "total" is the only region.
    eye : {"OD", "OS"}, optional
        Tells nasal from temporal.
    samples : array of int, shape (N, *labels.shape), optional
        Their volumes give ``low_nl`` and ``high_nl``.
    first : {"inferior", "superior"}, optional
        Where the first B-scan lies; taken to be inferior where nobody says.

    Returns
    -------
    tuple of Measurement
        Structure by structure in the order of the classes, region by region.

    Raises
    ------
    ValueError
        Labels that are no stack of integers, of unequal sizes or masked, a scale that is missing,
        a fovea outside the scan.
    """
    live = LiveMeasures(labels, classes, spacing_mm, samples=samples)
    live.place(fovea, eye=eye, first=first)
    return live.rows()


class LiveMeasures:
    """Measurements that follow strokes: a change costs the B-scan that it is in.

    Parameters
    ----------
    labels, classes, spacing_mm, samples
        As for `measure`, which raises the same. `labels` is not kept: tell of changes by `update`.

    Attributes
    ----------
    grid : Grid or None
        The grid about the fovea that `place` was given.
    first_told : bool
        Whether somebody said where the first B-scan lies.
    shape : (Z, H, W)
    spacing_mm : (between B-scans or None, row, column)
    """

    def __init__(
        self,
        labels: NDArray[np.integer[Any]],
        classes: Sequence[LabelClass],
        spacing_mm: Sequence[float | None],
        *,
        samples: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        stack = _stack(labels)
        self.shape = (int(stack.shape[0]), int(stack.shape[1]), int(stack.shape[2]))
        self.spacing_mm = _spacing(spacing_mm, len(stack))
        self.grid: Grid | None = None
        self._structures = [c for c in classes if c.value]
        self._values = tuple(c.value for c in self._structures)
        self._counts, self._seen = _column_counts(stack, self._values)
        self._parts = Parts(stack, self._values)
        self._samples: NDArray[np.uint16] | None = None
        if samples is not None and len(samples):
            refuse_masked("the samples", samples)
            given = np.asarray(samples)
            if given.shape[1:] not in (np.shape(labels), stack.shape):
                raise ValueError(
                    f"samples of shape {given.shape} and labels of {np.shape(labels)}; give "
                    "samples of the same image"
                )
            self._samples = np.stack(
                [_column_counts(_stack(one), self._values)[0] for one in given]
            )
        self.place(None)

    def place(
        self, fovea: tuple[float, float] | None, *, eye: str | None = None, first: str | None = None
    ) -> None:
        """Lay the grid about a fovea, or take it away (None); see `measure`."""
        between, _, column = self.spacing_mm
        deep, _, width = self.shape
        grid = None
        weights = [np.ones((deep, width), np.float32)]
        if fovea is not None:
            if between is None:
                raise ValueError(
                    "circles and fields about the fovea need the distance of the B-scans, which is "
                    "not known; type it, or measure without a fovea"
                )
            grid = Grid(
                tuple(map(float, fovea)),  # type: ignore[arg-type]  # the grid counts them
                (between, column),
                (deep, width),
                eye,
                first or "inferior",
            )
            weights += grid.weights.values()
        self.grid, self.first_told = grid, first is not None
        self._weights = np.stack(weights)  # (R, Z, W)
        kinds, regions = len(self._values), len(weights)
        self._cells = np.zeros((deep, regions))
        self._areas = np.zeros((kinds, deep, regions))
        self._heights = np.zeros((kinds, deep, regions), np.float32)
        drawn = 0 if self._samples is None else len(self._samples)
        self._drawn = np.zeros((drawn, kinds, deep, regions))
        self._weigh(range(deep))

    def update(
        self,
        z: int,
        labels: NDArray[np.integer[Any]],
        samples: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Take a B-scan that has changed.

        Parameters
        ----------
        z : int
            Which one, from 0.
        labels : array of int, shape (H, W)
        samples : array of int, shape (N, H, W), optional
            Those of the B-scan, where they have changed too: what a person painted is certain.
        """
        one = _stack(labels)
        if one.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"B-scan {z + 1} has {one.shape[1:]} pixels, the stack {self.shape[1:]}; "
                "measure anew"
            )
        counts, seen = _column_counts(one, self._values)
        self._counts[:, z], self._seen[z] = counts[:, 0], seen[0]
        self._parts.update(z, one[0])
        if samples is not None and self._samples is not None:
            for n, sample in enumerate(samples):
                self._samples[n, :, z] = _column_counts(_stack(sample), self._values)[0][:, 0]
        self._weigh([z])

    def heights_um(self, value: int) -> NDArray[np.float32]:
        """En-face map of a structure's height in µm.

        Parameters
        ----------
        value : int
            The class value.

        Returns
        -------
        array of float32, shape (B-scans, columns)
            NaN where nothing was scanned.
        """
        heights = self._counts[self._values.index(value)] * np.float32(1000 * self.spacing_mm[1])
        return np.where(self._seen, heights, np.float32(np.nan)).astype(np.float32)

    @property
    def extent_mm(self) -> tuple[float, float] | None:
        """Across B-scans and along them; None where their distance is not known."""
        between, _, column = self.spacing_mm
        return None if between is None else (between * self.shape[0], column * self.shape[2])

    def scanned(self) -> dict[str, float]:
        """Share of each circle and field that was scanned, 0 to 1; empty without a fovea."""
        if self.grid is None:
            return {}
        cells = self._cells.sum(0)[1:]
        return self.grid.scanned(dict(zip(self.grid.weights, map(float, cells), strict=True)))

    def rows(self, *, parts: bool = True) -> tuple[Measurement, ...]:
        """The measurements as they are now; see `measure`.

        Parameters
        ----------
        parts : bool
            Whether parts are counted.
        """
        between, row, column = self.spacing_mm
        scanned = {"total": 1.0} | self.scanned()
        number = self._parts.counts() if parts else {}
        nl = None if between is None else row * column * between * _NL
        cells, crossed = self._cells.sum(0), (self._cells > 0).sum(0)
        pixels, touched = self._areas.sum(1), (self._heights > 0).sum(1)
        top, high = self._areas.argmax(1), self._heights.argmax(1)
        areas, heights = self._areas.max(1), self._heights.max(1)
        drawn = self._drawn.sum(2)
        ranged = nl is not None and len(drawn)
        least, most = (drawn.min(0), drawn.max(0)) if ranged else (None, None)
        out, names = [], list(scanned)
        for (k, r), volume in np.ndenumerate(pixels):
            region, value = names[r], self._values[k]
            place = int(high[k, r])
            inside = self._counts[k, place] * (self._weights[r, place] > 0)
            there = bool(touched[k, r])
            out.append(
                Measurement(
                    structure=self._structures[k].name,
                    region=region,
                    volume_nl=None if nl is None else float(volume) * nl,
                    largest_area_mm2=float(areas[k, r]) * row * column,
                    low_nl=None if nl is None or least is None else float(least[k, r]) * nl,
                    high_nl=None if nl is None or most is None else float(most[k, r]) * nl,
                    value=value,
                    largest_area_bscan=int(top[k, r]) if there else None,
                    largest_height_um=float(heights[k, r]) * row * 1000,
                    largest_height_bscan=place if there else None,
                    largest_height_column=int(inside.argmax()) if there else None,
                    mean_height_um=float(volume / cells[r]) * row * 1000 if cells[r] else None,
                    parts=number.get(value) if region == "total" else None,
                    bscans=int(touched[k, r]),
                    share_of_bscans=float(touched[k, r] / max(1, crossed[r])),
                    scanned=scanned[region],
                )
            )
        return tuple(out)

    def _weigh(self, bscans: Iterable[int]) -> None:
        """Sum up B-scans by region: what `rows` adds up, so that a stroke costs its own B-scan."""
        for z in bscans:
            weights = self._weights[:, z] * self._seen[z]  # (R, W)
            counts = self._counts[:, z].astype(np.float32)
            self._cells[z] = weights.sum(1)
            self._areas[:, z] = counts @ weights.T
            self._heights[:, z] = 0
            for k in np.flatnonzero(counts.any(1)):
                self._heights[k, z] = (counts[k] * (weights > 0)).max(1)
            if self._samples is not None:
                drawn = self._samples[:, :, z].reshape(-1, counts.shape[1]).astype(np.float32)
                self._drawn[:, :, z] = (drawn @ weights.T).reshape(-1, *self._areas[:, z].shape)


def _stack(labels: Any) -> NDArray[np.uint8]:
    """Labels as uint8 (Z, H, W); what no uint8 holds counts as 255."""
    refuse_masked("the label map", labels)
    try:
        array = np.asarray(labels)
    except ValueError:  # a ragged list
        array = np.empty(0, object)
    if array.dtype == object:
        sizes = sorted({np.shape(one) for one in labels})
        raise ValueError(
            f"B-scans of unequal sizes {sizes}; fill each up to the largest with 255, which is not "
            "measured"
        )
    if array.ndim not in (2, 3) or array.dtype.kind not in "bui" or not array.size:
        raise ValueError(
            f"labels of shape {array.shape} and type {array.dtype}; give a stack (B-scans, rows, "
            "columns) of class values, integers"
        )
    if array.dtype != np.uint8:
        array = np.where((array >= 0) & (array <= IGNORE), array, IGNORE).astype(np.uint8)
    return array if array.ndim == 3 else array[None]


def _spacing(spacing_mm: Sequence[float | None], bscans: int) -> tuple[float | None, float, float]:
    try:
        given = tuple(None if mm is None else float(mm) for mm in spacing_mm)
    except (TypeError, ValueError):  # None for all of it, or what is no number
        given = ()
    between, row, column = given if len(given) == 3 else (None, *given) if len(given) == 2 else (
        (None,) * 3
    )  # fmt: skip
    lengths = [s for s in (between, row, column) if s is not None]
    if row is None or column is None or not all(0 < s < np.inf for s in lengths):
        raise ValueError(
            f"spacing_mm is {str(spacing_mm)[:60]}; to measure, the distances of (B-scans, rows, "
            "columns) in mm are needed, each above 0, and only that of the B-scans may be None: "
            "type the scale"
        )
    # A single B-scan has no neighbour, whatever a header tells.
    return None if between is None or bscans == 1 else float(between), float(row), float(column)


def _column_counts(
    stack: NDArray[np.uint8], values: tuple[int, ...]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Pixels of each value in each column, uint16 (K, Z, W); and whether it was scanned, (Z, W)."""
    deep, height, width = stack.shape
    if height > np.iinfo(np.uint16).max:
        raise ValueError(
            f"B-scans of {height} rows; at most {np.iinfo(np.uint16).max} are measured"
        )
    counts = np.zeros((len(values), deep, width), np.uint16)
    seen = np.ones((deep, width), bool)
    for z, one in enumerate(stack):
        for k, value in enumerate(values):
            there = one == value
            if there.any():
                counts[k, z] = there.sum(0, dtype=np.uint16)
        if (one[0] == IGNORE).any():
            seen[z] = (one != IGNORE).any(0)
    return counts, seen
