"""A table of scores with their intervals: what a report on a set of cases holds and prints."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Report", "Row", "Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """A score with its 95 % interval; NaN where it does not exist."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def text(self, digits: int = 3) -> str:
        """For a table: ``0.812 (0.764-0.851)``, ``-`` where there is none."""
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one structure, or their means.

    Parameters
    ----------
    name : str
    images : int
        Images whose reference has the structure.
    absent, missed, invented : int
        Images where neither map has it, where only the reference has it, where only the prediction
        has it. The first are left out of every score, the others count as Dice 0 per image.
    dice_pooled, dice_per_image, iou_pooled, iou_per_image : Score
    hd95 : Score
        Mean over the images where both maps have the structure, in the report's unit.
    """

    name: str
    images: int
    absent: int
    missed: int
    invented: int
    dice_pooled: Score
    dice_per_image: Score
    iou_pooled: Score
    iou_per_image: Score
    hd95: Score


@dataclass(frozen=True, slots=True)
class Report:
    """Scores on a set of cases.

    Parameters
    ----------
    structures : tuple of Row
        Every class but the background.
    mean : Row
        Means over the structures that have the score; its counts are sums.
    images, patients : int
    hd95_unit : {"mm", "px", ""}
        Empty: HD95 was not asked for.
    notes : tuple of str
        What a reader of the numbers must know.
    resamples, seed : int
        Of the bootstrap.
    """

    structures: tuple[Row, ...]
    mean: Row
    images: int
    patients: int
    hd95_unit: str
    notes: tuple[str, ...]
    resamples: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; a score that does not exist is None."""
        plain = _finite(asdict(self))
        assert isinstance(plain, dict)  # noqa: S101  (for the type checker)
        return plain

    def markdown(self) -> str:
        """Write a table for a person: one row a structure, means last, then the notes."""
        unit = f" ({self.hd95_unit})" if self.hd95_unit else ""
        lines = [
            f"{self.images} images of {self.patients} patients; in brackets 95 % intervals "
            f"(bootstrap over patients, {self.resamples} resamples, seed {self.seed})",
            "",
            "| structure | images | Dice, pooled | Dice, per image | IoU, pooled | IoU, per image "
            f"| HD95{unit} | absent / missed / invented |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in (*self.structures, self.mean):
            scores = [row.dice_pooled, row.dice_per_image, row.iou_pooled, row.iou_per_image]
            cells = [row.name, "", *(one.text() for one in scores)]
            cells += [row.hd95.text(1 if self.hd95_unit == "px" else 3), ""]
            if row is not self.mean:  # its counts are sums, which nobody expects in such a row
                cells[1] = str(row.images)
                cells[-1] = f"{row.absent} / {row.missed} / {row.invented}"
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)])


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
