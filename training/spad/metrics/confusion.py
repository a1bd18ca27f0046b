"""Confusion matrices of label maps, from which Dice and IoU follow.

They add up: over slices, over images (the *pooled* convention), and over edits
(:mod:`spad.metrics.live_confusion`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spad.checkpoint import IGNORE, MAX_CLASSES, refuse_masked

__all__ = ["Matrix", "codes_of", "confusion_matrix", "count_pairs", "reference_codes"]

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
        Shapes differ, pixels are masked, values are not integers, or lie outside 0..K-1.
    """
    rows = reference_codes(reference, num_classes, ignore)
    columns = codes_of(prediction, num_classes)
    if columns.shape != rows.shape:
        raise ValueError(
            f"prediction of shape {columns.shape} and reference of shape {rows.shape} do not "
            "match; bring them to one grid"
        )
    full = count_pairs(rows, columns, num_classes)
    if full[:, num_classes].any():
        counted = np.asarray(prediction)[(rows < num_classes) & (columns == num_classes)]
        raise ValueError(_outside("prediction", counted, num_classes))
    return full[:, :num_classes]


def codes_of(values: ArrayLike, num_classes: int) -> NDArray[np.uint8]:
    """Label values as uint8, with K for all values outside 0..K-1; a new array."""
    if not 1 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes is {num_classes}; allowed are 1 to {MAX_CLASSES}")
    refuse_masked("the label map", values)
    values = np.asarray(values)
    if values.dtype.kind not in "bui":
        raise ValueError(f"label map of type {values.dtype}; convert it to integers")
    # Seen as unsigned, negative values are large ones: one pass sorts out both.
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    codes: NDArray[np.uint8] = np.minimum(unsigned, num_classes).astype(np.uint8)
    return codes


def reference_codes(
    reference: ArrayLike, num_classes: int, ignore: int | None
) -> NDArray[np.uint8]:
    """As `codes_of`, with K for ignored pixels; any other value outside 0..K-1 is refused."""
    codes = codes_of(reference, num_classes)
    values = np.asarray(reference)
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


def count_pairs(rows: NDArray[np.uint8], columns: NDArray[np.uint8], num_classes: int) -> Matrix:
    """Pairs of codes, shape (K, K + 1); pixels whose row is K (ignored) are left out."""
    rows, columns = rows.reshape(-1), columns.reshape(-1)
    width = num_classes + 1
    out = np.zeros(width * width, np.int64)
    for start in range(0, rows.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pairs = rows[part].astype(np.uint16) * np.uint16(width) + columns[part]
        out += np.bincount(pairs, minlength=width * width)
    return out.reshape(width, width)[:num_classes]
