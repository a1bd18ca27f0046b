"""Scores of label maps: confusion matrix, Dice, IoU, HD95; also live, while an annotator paints.

Everything but HD95 follows from confusion matrices. Those add up: over slices, over images (the
*pooled* convention), and over edits, which is what keeps a live Dice exact at the cost of a brush
stroke. Conventions (method, section 8): a structure in neither map has no score and is left out of
means; one in a single map has Dice and IoU 0 and HD95 inf.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spad.checkpoint import IGNORE, MAX_CLASSES, LabelClass

__all__ = [
    "LiveConfusion",
    "StructureScore",
    "confusion_matrix",
    "dice_per_slice",
    "hd95",
    "mean_scores",
    "structure_scores",
    "worst_slices",
]

Matrix = NDArray[np.int64]
_CHUNK = 2**20  # pixels counted at once: bounds the 64-bit codes of a volume to a few MB


def confusion_matrix(
    prediction: ArrayLike, reference: ArrayLike, num_classes: int, *, ignore: int | None = IGNORE
) -> Matrix:
    """Count the pixels of each pair of reference and predicted class.

    Parameters
    ----------
    prediction, reference : array of int or bool
        Label maps of the same shape.
    num_classes : int
        K, background included.
    ignore : int or None
        Pixels where the reference has this value are left out, whatever the prediction there.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Rows: reference; columns: prediction.

    Raises
    ------
    ValueError
        Shapes differ, values are not integers, or lie outside 0..K-1.
    """
    rows = _reference_codes(reference, num_classes, ignore)
    columns = _codes(prediction, num_classes)
    if columns.shape != rows.shape:
        raise ValueError(
            f"prediction of shape {columns.shape} and reference of shape {rows.shape} do not "
            "match; bring them to one grid"
        )
    full = _count(rows, columns, num_classes)
    if full[:, num_classes].any():
        counted = np.asarray(prediction)[(rows < num_classes) & (columns == num_classes)]
        raise ValueError(_outside("prediction", counted, num_classes))
    return full[:, :num_classes]


class LiveConfusion:
    """Confusion matrices of a prediction under edit, one a slice, exact after every edit.

    It keeps copies of both label maps, one byte a pixel each. What an edit replaces is read from
    the own copy: hosts announce edits before or after they write, and undo without a word
    (`resync` finds that).

    Parameters
    ----------
    prediction : array of int, shape (H, W) or (Z, H, W)
        The label map under edit. Values outside 0..K-1 are counted as "other".
    reference : array of int, the same shape
        Values 0..K-1, or `ignore`.
    num_classes : int
        K, background included.
    ignore : int or None
        Pixels where the reference has this value are left out.

    Attributes
    ----------
    slices : ndarray of int64, shape (Z, K, K + 1)
        Rows: reference; columns: prediction, the last one "other". Z is 1 for a single B-scan.
        Changed in place by edits; copy what must last.

    Raises
    ------
    ValueError
        As `confusion_matrix`, but for the values of the prediction.
    """

    def __init__(
        self,
        prediction: NDArray[Any],
        reference: ArrayLike,
        num_classes: int,
        *,
        ignore: int | None = IGNORE,
    ) -> None:
        codes = _reference_codes(reference, num_classes, ignore)
        if codes.ndim not in (2, 3):
            raise ValueError(f"label maps of shape {codes.shape}; give (H, W) or (Z, H, W)")
        self._shape = codes.shape
        self._num_classes = num_classes
        self._reference = codes.reshape(-1, *codes.shape[-2:])
        # No slice equals a shadow of 255, so that `resync` counts every one.
        self._shadow = np.full_like(self._reference, 255)
        depth, height, width = self._reference.shape
        self.slices: Matrix = np.zeros((depth, num_classes, num_classes + 1), np.int64)
        # Their sum at an index is the place in the flattened volume, whatever kind of index it is.
        self._offsets = [
            np.broadcast_to(axis * step, self._reference.shape)
            for axis, step in zip(
                np.ogrid[:depth, :height, :width], (height * width, width, 1), strict=True
            )
        ]
        self.resync(prediction)

    @property
    def matrix(self) -> Matrix:
        """Sum of the slices, shape (K, K + 1)."""
        total: Matrix = self.slices.sum(axis=0)
        return total

    def edit(
        self, index: tuple[Any, ...], new: ArrayLike, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Follow an edit of the prediction: ``prediction[index][mask] = new``.

        Parameters
        ----------
        index : tuple of int, slice or array of int
            Any index of the prediction. A pixel may occur repeatedly, its last value counts.
        new : int or array of int
            Broadcast to what is indexed (and masked).
        mask : array of bool, optional
            Of the shape that `index` selects.
        """
        flat = len(self._shape) == 2
        if (
            np.ndim(new) == 0
            and len(index) == len(self._shape)
            and all(isinstance(i, slice) and (i.step or 1) > 0 for i in index)
        ):
            box = (slice(0, 1), *index) if flat else index
            covered = mask[None] if flat and mask is not None else mask
            self._edit_box(box, int(_codes(new, self._num_classes)), covered)
            return
        index = (0, *index) if flat else index
        parts = [np.asarray(offset[index]) for offset in self._offsets]
        if mask is not None:
            parts = [part[mask] for part in parts]
        places = parts[0] + parts[1] + parts[2]
        codes = np.broadcast_to(_codes(new, self._num_classes), places.shape)

        shadow, reference = self._shadow.reshape(-1), self._reference.reshape(-1)  # views
        before = shadow[places]
        shadow[places] = codes
        # A pixel that the index names twice must count once, with the value that was left there.
        changed = before != shadow[places]
        places, before = places[changed], before[changed]
        if not (places[1:] > places[:-1]).all():  # to sort them is what takes time
            places, first = np.unique(places, return_index=True)
            before = before[first]
        after, rows = shadow[places], reference[places]
        # The places are sorted: each touched slice has a run of them.
        size, k = self._shadow[0].size, self._num_classes
        for z in _spanned(places, size):
            part = slice(*np.searchsorted(places, (z * size, (z + 1) * size)))
            self.slices[z] += _count(rows[part], after[part], k)
            self.slices[z] -= _count(rows[part], before[part], k)

    def _edit_box(self, box: tuple[Any, ...], code: int, mask: NDArray[np.bool_] | None) -> None:
        """Follow an edit that gives one value to a box, or to the masked pixels of it."""
        shadow, reference = self._shadow[box], self._reference[box]
        for part, z in enumerate(range(*box[0].indices(len(self._shadow)))):
            if mask is None:
                before, rows = shadow[part].copy(), reference[part]
                shadow[part] = code
            else:
                before, rows = shadow[part][mask[part]], reference[part][mask[part]]
                shadow[part][mask[part]] = code
            gone = _count(rows, before, self._num_classes)
            self.slices[z] -= gone
            self.slices[z, :, code] += gone.sum(axis=1)

    def resync(self, prediction: NDArray[Any], slices: Iterable[int] | None = None) -> bool:
        """Find and count what changed without an `edit` (undo, direct writes, a new array).

        Parameters
        ----------
        prediction : array of int
            The whole label map, of the shape it had at first; read slice by slice, so that lazy
            arrays stay lazy.
        slices : iterable of int, optional
            Look only at these; a single B-scan is slice 0. All by default.

        Returns
        -------
        bool
            Whether anything had changed.

        Raises
        ------
        ValueError
            Another shape, or not integers.
        """
        if np.shape(prediction) != self._shape:
            raise ValueError(
                f"prediction of shape {np.shape(prediction)} does not match the reference's "
                f"{self._shape}; bring them to one grid and start anew"
            )
        found = False
        for z in range(len(self._shadow)) if slices is None else slices:
            part = prediction if len(self._shape) == 2 else prediction[z]
            codes = _codes(part, self._num_classes)
            if not np.array_equal(codes, self._shadow[z]):
                self._shadow[z] = codes
                self.slices[z] = _count(self._reference[z], codes, self._num_classes)
                found = True
        return found


@dataclass(frozen=True, slots=True)
class StructureScore:
    """Score of one structure.

    Parameters
    ----------
    value, name : int, str
        Of its class.
    dice, iou : float
        In 0..1; 0 if missed or invented, NaN if absent.
    state : {"compared", "absent", "missed", "invented"}
        In both maps, in neither, in the reference only, in the prediction only.
    reference_pixels, predicted_pixels : int
        Where the reference is not ignored.
    """

    value: int
    name: str
    dice: float
    iou: float
    state: Literal["compared", "absent", "missed", "invented"]
    reference_pixels: int
    predicted_pixels: int


def structure_scores(matrix: Matrix, classes: Sequence[LabelClass]) -> tuple[StructureScore, ...]:
    """Dice and IoU of every structure, which are all classes but the background.

    Parameters
    ----------
    matrix : ndarray of int, shape (K, K) or (K, K + 1)
        From `confusion_matrix` or `LiveConfusion`.
    classes : sequence of LabelClass
        All K, background included.

    Returns
    -------
    tuple of StructureScore
        In the order of `classes`.

    Raises
    ------
    ValueError
        The matrix is not for K classes.
    """
    if matrix.ndim != 2 or len(matrix) != len(classes):
        raise ValueError(
            f"confusion matrix of shape {matrix.shape} for {len(classes)} classes; count with "
            f"num_classes={len(classes)}"
        )
    scores = []
    for c in classes:
        if c.value == 0:
            continue
        both, reference, predicted = (int(n) for n in _overlap(matrix, c.value))
        state: Literal["compared", "absent", "missed", "invented"]
        dice = iou = math.nan
        if not reference and not predicted:
            state = "absent"
        else:
            state = "missed" if not predicted else "compared" if reference else "invented"
            dice = 2 * both / (reference + predicted)
            iou = both / (reference + predicted - both)
        scores.append(StructureScore(c.value, c.name, dice, iou, state, reference, predicted))
    return tuple(scores)


def mean_scores(scores: Iterable[StructureScore]) -> tuple[float, float, int]:
    """Mean Dice and mean IoU of the structures that are not absent, and how many these are.

    Returns
    -------
    mean_dice, mean_iou : float
        NaN if all are absent.
    count : int
    """
    present = [s for s in scores if s.state != "absent"]
    if not present:
        return math.nan, math.nan, 0
    n = len(present)
    return sum(s.dice for s in present) / n, sum(s.iou for s in present) / n, n


def dice_per_slice(slices: Matrix, value: int) -> NDArray[np.float64]:
    """Dice of one class in every slice.

    Parameters
    ----------
    slices : ndarray of int, shape (Z, K, K) or (Z, K, K + 1)
    value : int
        The class, 0..K-1.

    Returns
    -------
    ndarray of float64, shape (Z,)
        NaN where the class is in neither map.
    """
    both, reference, predicted = _overlap(slices, value)
    total = reference + predicted
    dice = np.full(len(slices), math.nan)
    np.divide(2 * both, total, out=dice, where=total > 0)
    return dice


def worst_slices(slices: Matrix, value: int, count: int = 5) -> list[int]:
    """Up to `count` slices, lowest Dice of the class `value` first; those without it left out."""
    dice = dice_per_slice(slices, value)
    order = np.argsort(dice, kind="stable")  # NaN last
    return [int(z) for z in order[: np.count_nonzero(~np.isnan(dice))][:count]]


def hd95(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float] | None = None,
) -> float:
    """Hausdorff distance at the 95th percentile, as MONAI defines it.

    The larger of the two directed 95th percentiles of the distances from the surface pixels of one
    mask to the nearest surface pixel of the other. A surface pixel has a neighbour (4 in 2-D, 6 in
    3-D) outside the mask; so do those at the image's frame.

    Parameters
    ----------
    prediction, reference : array of bool, shape (H, W) or (Z, H, W)
        One structure in each.
    spacing : sequence of float, optional
        Of the pixels, by axis.

    Returns
    -------
    float
        In the unit of `spacing`, else in pixels. NaN if both masks are empty, inf if one is.

    Raises
    ------
    ValueError
        Shapes differ, masks are not boolean, or `spacing` does not fit.
    """
    from scipy.spatial import cKDTree  # slow to load: a front end's start must not wait for it

    masks = np.asarray(prediction), np.asarray(reference)
    shape = masks[0].shape
    if masks[1].shape != shape or len(shape) not in (2, 3):
        raise ValueError(
            f"masks of shapes {shape} and {masks[1].shape}; give two alike, 2-D or 3-D"
        )
    if any(m.dtype != np.bool_ for m in masks):
        raise ValueError("masks are not boolean; compare the label maps with a class value first")
    scale = np.ones(len(shape)) if spacing is None else np.asarray(spacing, np.float64)
    if scale.shape != (len(shape),) or not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"spacing {spacing} is not {len(shape)} positive numbers, one an axis")
    union = masks[0] | masks[1]
    if not union.any():
        return math.nan
    box = _bounding_box(union)
    first, second = (np.argwhere(_surface(m[box])) * scale for m in masks)
    if not (len(first) and len(second)):
        return math.inf
    directed = (cKDTree(b).query(a)[0] for a, b in ((first, second), (second, first)))
    return float(max(np.percentile(distances, 95) for distances in directed))


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box that holds a non-empty mask."""
    box = []
    for axis in range(mask.ndim):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(held[0], held[-1] + 1))
    return tuple(box)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it: mask minus erosion, by shifts."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return mask & ~inside


def _overlap(matrix: Matrix, value: int) -> tuple[Any, Any, Any]:
    """Pixels of a class in both maps, in the reference, in the prediction; axes (..., K, K[+1])."""
    return (
        matrix[..., value, value],
        matrix[..., value, :].sum(axis=-1),
        matrix[..., value].sum(axis=-1),
    )


def _codes(values: ArrayLike, num_classes: int) -> NDArray[np.uint8]:
    """Label values as uint8, with K for all values outside 0..K-1; a new array."""
    if not 1 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes is {num_classes}; allowed are 1 to {MAX_CLASSES}")
    values = np.asarray(values)
    if values.dtype.kind not in "bui":
        raise ValueError(f"label map of type {values.dtype}; convert it to integers")
    # Seen as unsigned, negative values are large ones: one pass sorts out both.
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    codes: NDArray[np.uint8] = np.minimum(unsigned, num_classes).astype(np.uint8)
    return codes


def _reference_codes(
    reference: ArrayLike, num_classes: int, ignore: int | None
) -> NDArray[np.uint8]:
    """As `_codes`, with K for ignored pixels; any other value outside 0..K-1 is refused."""
    values = np.asarray(reference)
    codes = _codes(values, num_classes)
    outside = codes == num_classes
    if ignore is not None:
        ignored = values == ignore
        outside &= ~ignored
        codes[ignored] = num_classes
    if outside.any():
        raise ValueError(_outside("reference", values[outside], num_classes))
    return codes


def _outside(what: str, values: NDArray[Any], num_classes: int) -> str:
    found = ", ".join(map(str, np.unique(values)[:5]))
    return (
        f"{what} holds {found} ({values.size} pixels), outside 0..{num_classes - 1}; map its "
        "values to the classes of the model first"
    )


def _spanned(places: NDArray[np.int64], size: int) -> range:
    """Slices, of so many pixels each, from that of the first place to that of the last."""
    return range(int(places[0]) // size, int(places[-1]) // size + 1) if len(places) else range(0)


def _count(rows: NDArray[np.uint8], columns: NDArray[np.uint8], num_classes: int) -> Matrix:
    """Pairs of codes, shape (K, K + 1); pixels whose row is K (ignored) are left out."""
    rows, columns = rows.reshape(-1), columns.reshape(-1)
    width = num_classes + 1
    out = np.zeros(width * width, np.int64)
    for start in range(0, rows.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pairs = rows[part].astype(np.uint16) * np.uint16(width) + columns[part]
        out += np.bincount(pairs, minlength=width * width)
    return out.reshape(width, width)[:num_classes]
