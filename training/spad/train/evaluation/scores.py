"""Scores of a model on annotated cases, by both conventions (method, section 8).

*Pooled*: true and false positives and false negatives are summed over all images. *Per image*: the
mean over the images where the structure is in either map. Intervals are percentiles of a bootstrap
over patients, not images, since the images of one patient resemble each other. All of it follows
from the images' confusion matrices, so no resample looks at a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad import metrics
from spad.cases import Case
from spad.checkpoint import IGNORE
from spad.train.data import judged_classes, read_image, read_labels
from spad.train.processes import ALONE, Group

__all__ = ["Report", "Row", "Score", "compare", "evaluate", "score"]

_FEW = 10  # images; fewer say little about a structure
_F64 = NDArray[np.float64]


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


def score(
    matrices: NDArray[Any],
    patients: Sequence[str],
    classes: Sequence[str],
    *,
    hd95: NDArray[Any] | None = None,
    hd95_unit: str = "px",
    judged: NDArray[np.bool_] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """Scores from the confusion matrices of images.

    Parameters
    ----------
    matrices : ndarray of int, shape (N, K, K)
        Pixels of each image by reference (rows) and prediction (columns).
    patients : sequence of str, length N
    classes : sequence of str, length K
        Names, background first.
    hd95 : ndarray, shape (N, K), optional
        Distances; NaN or infinite where a map lacks the structure, which leaves the image out.
    hd95_unit : {"px", "mm"}, optional
    judged : ndarray of bool, shape (N, K), optional
        False where a structure was not looked for in an image: left out of its scores and counts.
    resamples, seed : int, optional
        Of the bootstrap over patients.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        No image, or arrays whose shapes do not fit each other.
    """
    matrices = np.asarray(matrices, np.float64)
    n, k = len(matrices), len(classes)
    expected = {"matrices": (matrices.shape, (n, k, k)), "patients": ((len(patients),), (n,))}
    for name, array in (("hd95", hd95), ("judged", judged)):
        if array is not None:
            expected[name] = (array.shape, (n, k))
    if n == 0:
        raise ValueError("there are no images to score; give at least one")
    if wrong := [
        f"{a} has shape {got}, not {want}" for a, (got, want) in expected.items() if got != want
    ]:
        raise ValueError("; ".join(wrong) + " (N images, K classes); pass arrays that fit")

    looked = np.ones((n, k - 1), bool) if judged is None else judged[:, 1:]
    hit = np.einsum("nii->ni", matrices)[:, 1:] * looked
    reference = matrices.sum(2)[:, 1:] * looked
    prediction = matrices.sum(1)[:, 1:] * looked
    size = reference + prediction
    present = size > 0
    distances = np.full((n, k), np.nan) if hd95 is None else np.asarray(hd95, np.float64)
    near = distances[:, 1:]
    measured = np.isfinite(near) & looked
    # Every score is a ratio of two sums over images. A bootstrap over patients only weights them.
    ratios = {
        "dice_pooled": (2 * hit, size),
        "dice_per_image": (_ratio(2 * hit, size, 0), present),
        "iou_pooled": (hit, size - hit),
        "iou_per_image": (_ratio(hit, size - hit, 0), present),
        "hd95": (np.where(measured, near, 0), measured),
    }
    ids, owner = np.unique(np.asarray(patients), return_inverse=True)
    belongs = (owner == np.arange(len(ids))[:, None]).astype(np.float64)  # (P, N)
    draws = np.random.default_rng(seed).multinomial(
        len(ids), np.full(len(ids), 1 / len(ids)), size=resamples
    )
    columns: dict[str, list[Score]] = {}
    for name, (above, below) in ratios.items():
        above, below = belongs @ above, belongs @ below  # (P, K - 1)
        value = _with_mean(_ratio(above.sum(0), below.sum(0)))
        spread = _with_mean(_ratio(draws @ above, draws @ below))
        columns[name] = [_interval(float(value[i]), spread[:, i], len(ids)) for i in range(k)]
    in_reference, in_prediction = reference > 0, prediction > 0
    counts = {
        "images": in_reference,
        "absent": looked & ~present,
        "missed": in_reference & ~in_prediction,
        "invented": in_prediction & ~in_reference,
    }

    def row(name: str, structures: slice, column: int) -> Row:
        number = {key: int(where[:, structures].sum()) for key, where in counts.items()}
        scores = {key: column_scores[column] for key, column_scores in columns.items()}
        return Row(name, **number, **scores)  # type: ignore[arg-type]

    rows = [row(name, slice(i, i + 1), i) for i, name in enumerate(classes[1:])]
    return Report(
        structures=tuple(rows),
        mean=row("mean", slice(None), k - 1),
        images=n,
        patients=len(ids),
        hd95_unit="" if hd95 is None else hd95_unit,
        notes=tuple(_notes(rows, looked, len(ids))),
        resamples=resamples,
        seed=seed,
    )


def _ratio(above: _F64, below: _F64, otherwise: float = math.nan) -> _F64:
    """``above / below``; `otherwise` where nothing is below."""
    ratio: _F64 = np.divide(
        above, below, out=np.full(above.shape, float(otherwise)), where=below > 0
    )
    return ratio


def _with_mean(values: _F64) -> _F64:
    """Append the mean over the structures (last axis) that have a value."""
    some = ~np.isnan(values)
    mean = _ratio(np.where(some, values, 0).sum(-1), some.sum(-1).astype(np.float64))
    return np.concatenate([values, mean[..., None]], axis=-1)


def _interval(value: float, spread: _F64, patients: int) -> Score:
    # Resamples without any image of the structure say nothing and are left out.
    spread = spread[~np.isnan(spread)]
    if patients < 2 or math.isnan(value) or not len(spread):
        return Score(value)
    low, high = np.percentile(spread, (2.5, 97.5))
    return Score(value, float(low), float(high))


def _notes(rows: Sequence[Row], looked: NDArray[np.bool_], patients: int) -> list[str]:
    notes = []
    if unseen := [row.name for i, row in enumerate(rows) if not looked[:, i].any()]:
        notes.append(f"looked for in no image, so without scores: {', '.join(unseen)}")
    few = [row for row in rows if row.images < _FEW and row.name not in unseen]
    if few:
        numbers = ", ".join(f"{row.name} ({row.images})" for row in few)
        notes.append(f"in fewer than {_FEW} images, so the scores are mostly noise: {numbers}")
    if patients < 2:
        notes.append("one patient only: no intervals")
    return notes


def compare(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    k: int,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> tuple[NDArray[np.int64], _F64]:
    """Confusion matrix (K, K), and HD95 (K,) of the structures that both maps have, else NaN."""
    matrix = metrics.confusion_matrix(prediction, reference, k)
    distances, free = np.full(k, np.nan), reference != IGNORE
    for value in np.flatnonzero(matrix.sum(0) * matrix.sum(1)):
        if value > 0:
            distances[value] = metrics.hd95(
                (prediction == value) & free, reference == value, spacing
            )
    return matrix, distances


def evaluate(
    segment: Callable[[NDArray[Any]], NDArray[np.uint8]],
    cases: Sequence[Case],
    table: NDArray[np.uint8],
    classes: Sequence[str],
    *,
    names: Mapping[int, str] | None = None,
    judged: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int], None] | None = None,
    group: Group = ALONE,
) -> Report:
    """Segment cases and score the results.

    Parameters
    ----------
    segment : callable
        Image ``(H, W)`` -> class values uint8 ``(H, W)``.
    cases : sequence of Case
    table : ndarray of uint8, shape (256,) or (N, 256)
        From `spad.train.data.cases.class_table`, one for all cases or one for each. Classes that no
        value becomes are not judged.
    classes : sequence of str
        Names of the model's classes, background first.
    names : mapping of int to str, optional
        The data set's ``labels.json``; with it, structures missing in a case's ``annotated`` are
        not judged in that case.
    judged : ndarray of bool, shape (N, K), optional
        Which classes were looked for in each case, where that is known already; `names` is then
        not needed.
    progress : callable, optional
        Called as ``progress(done, total)`` after each case.
    group : Group, optional
        Processes that divide the cases among themselves; each gets the whole report.

    Returns
    -------
    Report
        HD95 in mm if every case has a spacing, else in pixels.

    Raises
    ------
    ValueError
        No case, or a result that is not of the image's shape.
    OSError, ImportError
        As `spad.train.data.image_files.read_file`.
    """
    k = len(classes)
    in_mm = all(case.spacing_mm is not None for case in cases)
    matrices = np.zeros((len(cases), k, k), np.int64)
    distances = np.zeros((len(cases), k))
    tables = np.broadcast_to(table, (len(cases), 256))
    if judged is None:
        rows = [judged_classes(c, t, k, names) for c, t in zip(cases, tables, strict=True)]
        judged = np.array(rows, bool).reshape(-1, k)
    for i in range(group.rank, len(cases), group.size):
        case = cases[i]
        image, reference = read_image(case), read_labels(case, tables[i])
        prediction = segment(image)
        if prediction.shape != reference.shape:
            raise ValueError(
                f"{case.image}: the result is {prediction.shape}, the label map "
                f"{reference.shape}; results must have the image's shape"
            )
        spacing = case.spacing_mm if in_mm and case.spacing_mm else (1.0, 1.0)
        matrices[i], distances[i] = compare(prediction, reference, k, spacing)
        if progress is not None:
            progress(i + 1, len(cases))
    matrices, distances = group.total(matrices), group.total(distances)
    return score(
        matrices,
        [f"{case.folder}/{case.patient}" for case in cases],
        classes,
        hd95=distances,
        hd95_unit="mm" if in_mm else "px",
        judged=judged,
    )
