"""Confusion matrices while an annotator paints: exact after each edit, at the cost of a stroke."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spad.checkpoint import IGNORE
from spad.metrics.confusion import Matrix, codes_of, count_pairs, reference_codes

__all__ = ["LiveConfusion"]


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
        codes = reference_codes(reference, num_classes, ignore)
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
            self._edit_box(box, int(codes_of(new, self._num_classes)), covered)
            return
        index = (0, *index) if flat else index
        parts = [np.asarray(offset[index]) for offset in self._offsets]
        if mask is not None:
            parts = [part[mask] for part in parts]
        places = parts[0] + parts[1] + parts[2]
        codes = np.broadcast_to(codes_of(new, self._num_classes), places.shape)

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
            self.slices[z] += count_pairs(rows[part], after[part], k)
            self.slices[z] -= count_pairs(rows[part], before[part], k)

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
            gone = count_pairs(rows, before, self._num_classes)
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
            codes = codes_of(part, self._num_classes)
            if not np.array_equal(codes, self._shadow[z]):
                self._shadow[z] = codes
                self.slices[z] = count_pairs(self._reference[z], codes, self._num_classes)
                found = True
        return found


def _spanned(places: NDArray[np.int64], size: int) -> range:
    """Slices, of so many pixels each, from that of the first place to that of the last."""
    return range(int(places[0]) // size, int(places[-1]) // size + 1) if len(places) else range(0)
