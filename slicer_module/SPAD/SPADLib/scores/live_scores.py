"""Scores of a result against a reference that keep up with every edit.

The scene does not say what an edit changed: the label map is read anew and compared, B-scan by
B-scan, with what was counted last. Distances are slow and come one structure at a time.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass
from spad.metrics import (
    LiveConfusion,
    StructureScore,
    difference_map,
    hd95,
    largest_disagreement,
    mean_scores,
    structure_scores,
    values_in,
    worst_slices,
)
from SPADLib.scene import Result, as_called, known_mm
from SPADLib.scores.reference_on_grid import Reference

__all__ = ["WORDS", "LiveScores", "Row"]

WORDS = {"compared": "", "absent": "absent in both", "missed": "missed", "invented": "invented"}
"""What is said of a structure in place of scores."""


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one structure, or the mean of them.

    Parameters
    ----------
    value : int or None
        Class value; None for the mean.
    name, color : str
        Of the structure; the colour as ``#rrggbb``.
    dice, iou : float
        0 where missed or invented, NaN where absent in both.
    hd95 : float or None
        In `LiveScores.distance_unit`; None while it is not counted yet; inf where missed or
        invented, NaN where absent in both and for the mean.
    size, reference_size : float
        In `LiveScores.size_unit`, where the reference is counted; NaN for the mean.
    word : str
        "", "absent in both", "missed" or "invented"; of the mean, over how many structures.
    worst : int or None
        The B-scan with the lowest Dice, from 0; None where no B-scan has it.
    """

    value: int | None
    name: str
    color: str
    dice: float
    iou: float
    hd95: float | None
    size: float
    reference_size: float
    word: str
    worst: int | None


class LiveScores:
    """Confusion matrices and distances of a result against a reference.

    Parameters
    ----------
    result : Result
    reference : Reference
    spacing_trusted : bool, optional
        False: distances and sizes are in pixels. By default, where an axis has no length but the
        1 mm that a file without any gets.

    Raises
    ------
    ValueError
        They cannot be compared, in words.
    """

    def __init__(
        self, result: Result, reference: Reference, *, spacing_trusted: bool | None = None
    ) -> None:
        self.result, self.reference = result, reference
        self._told = spacing_trusted
        self._trusted = True
        self._labels: NDArray[np.uint8]
        self._live: LiveConfusion
        self._found: dict[int, float] = {}
        self._turn = 0
        self._count_all(_read(result))

    # ------------------------------------------------------------------ what is counted

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The result's classes, as its segments are called now."""
        return as_called(self.result.segmentation)

    @property
    def labels(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Class maps (result, reference) that were counted last, (Z, H, W); not to be written."""
        return self._labels, self._reference

    @property
    def spacing_trusted(self) -> bool:
        """Whether distances and sizes are in millimetres."""
        return self._trusted

    @spacing_trusted.setter
    def spacing_trusted(self, trusted: bool) -> None:
        self._told = self._trusted = trusted
        self._forget()

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Of B-scans, rows and columns; None where it is not trusted."""
        return self._spacing if self._trusted else None

    @property
    def distance_unit(self) -> str:
        """Of the distances: "mm" or "px"."""
        return "mm" if self._trusted else "px"

    @property
    def size_unit(self) -> str:
        """Of the sizes: "mm³", "mm²" of a volume of one B-scan, or "px"."""
        return ("mm²" if self._planar else "mm³") if self._trusted else "px"

    @property
    def _planar(self) -> bool:
        return len(self._labels) == 1

    def refresh(self, labels: NDArray[np.uint8] | None = None) -> bool:
        """Count what changed since: B-scans of the result; all, where the reference changed.

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            From `Result.labels`, where it is at hand.

        Returns
        -------
        bool
            Whether any score may have changed.

        Raises
        ------
        ValueError
            A node was removed, or they cannot be compared any more.
        """
        labels = _read(self.result, labels)
        if labels.shape != self._labels.shape or self._stamp != self._stamp_now():
            self._count_all(labels)
            return True
        changed = [z for z, new in enumerate(labels) if not np.array_equal(new, self._labels[z])]
        if changed:
            for z in changed:
                where = labels[z] != self._labels[z]
                for value in {v for m in (labels, self._labels) for v in values_in(m[z][where])}:
                    self._found.pop(value, None)
            self._turn += 1
            self._live.resync(labels, changed)
            self._labels = labels
        return bool(changed)

    def _count_all(self, labels: NDArray[np.uint8]) -> None:
        self._reference = np.ascontiguousarray(self.reference.labels())
        self._stamp = self._stamp_now()
        self._labels = labels
        self._spacing = self.result.spacing_mm
        known = known_mm(self.result.volume, self.result.layout)
        counted = known[1:] if self._planar else known
        self._trusted = None not in counted if self._told is None else self._told
        self._live = LiveConfusion(labels, self._reference, len(self.classes))
        self._forget()

    def _stamp_now(self) -> Any:
        return self.reference.node.GetScene() is not None and self.reference.stamp()

    def _forget(self) -> None:
        self._turn += 1
        self._found.clear()

    # ------------------------------------------------------------------ the numbers

    def rows(self) -> list[Row]:
        """Scores of every structure, then their mean."""
        scores, classes = self._scores(), self.classes
        rows = [self._row(s, classes[s.value].hex) for s in scores]
        dice, iou, count = mean_scores(scores)
        over = f"of {count} structure{'' if count == 1 else 's'}"
        nan = math.nan
        return [*rows, Row(None, "Mean", "", dice, iou, nan, nan, nan, over, None)]

    def _scores(self) -> tuple[StructureScore, ...]:
        return structure_scores(self._live.matrix, self.classes)

    def _row(self, score: StructureScore, color: str) -> Row:
        lowest = worst_slices(self._live.slices, score.value, 1)
        pixel = 1.0
        if self._trusted:
            pixel = math.prod(self._spacing[1:] if self._planar else self._spacing)
        distance: float | None = math.nan if score.state == "absent" else math.inf
        if score.state == "compared":
            distance = self._found.get(score.value)
        return Row(
            score.value,
            score.name,
            color,
            score.dice,
            score.iou,
            distance,
            score.predicted_pixels * pixel,
            score.reference_pixels * pixel,
            WORDS[score.state],
            lowest[0] if lowest else None,
        )

    def distances(self) -> Generator[tuple[int, float], None, None]:
        """Count the distances that are missing, one structure a step; then `rows` has them.

        Each is the larger of the two directed 95th percentiles of the distances between the borders
        (`spad.metrics.hd95`). It ends early where an edit was counted meanwhile: start anew.

        Yields
        ------
        (int, float)
            Class value, and its distance in `distance_unit`.
        """
        turn = self._turn
        for score in self._scores():
            if score.state != "compared" or score.value in self._found:
                continue
            found = self._found[score.value] = self._distance(score.value)
            yield score.value, found
            if self._turn != turn:
                return

    def _distance(self, value: int) -> float:
        ours, theirs = self._labels, self._reference
        if self._planar:  # in three dimensions every pixel would be a border
            ours, theirs = ours[0], theirs[0]
        spacing = self._spacing[-ours.ndim :] if self._trusted else None
        return hd95((ours == value) & (theirs != IGNORE), theirs == value, spacing)

    @property
    def scope(self) -> str:
        """What the scores are of, where that is not plain; else empty."""
        done, depth = self.result.segmented, len(self._labels)
        if len(done) < depth:
            return f"{len(done)} of {depth} B-scans are segmented; the scores are of all."
        return ""

    def worst(self, value: int) -> tuple[int, float, float] | None:
        """Where to look first: the B-scan with the lowest Dice, its largest disagreement.

        Parameters
        ----------
        value : int
            Class value.

        Returns
        -------
        (int, float, float) or None
            B-scan, row and column, from 0; the middle of the structure where nothing differs. None
            where no B-scan has it.
        """
        lowest = worst_slices(self._live.slices, value, 1)
        if not lowest:
            return None
        z = lowest[0]
        ours, theirs = self._labels[z], self._reference[z]
        box = largest_disagreement(difference_map(ours, theirs, value))
        if box is None:
            row, column = (float(n.mean()) for n in np.nonzero((ours == value) & (theirs == value)))
            return z, row, column
        row, column = ((side.start + side.stop - 1) / 2 for side in box)
        return z, row, column


def _read(result: Result, labels: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    if result.segmentation.GetScene() is None or result.volume is None:
        raise ValueError(
            f"“{result.segmentation.GetName()}” or its image was removed from the scene: choose "
            "another segmentation"
        )
    return np.ascontiguousarray(result.labels() if labels is None else labels)
