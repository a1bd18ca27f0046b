"""Label maps between two others, by signed distances to the border of each structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Shapes", "interpolated"]

_EIGHT = np.ones((3, 3), bool)
_FAR = -1e3
_CONTOUR_PX = 1.5
_MOST_PX = 20.0
"""How far borders are said to have moved, at most."""


@dataclass(frozen=True)
class Shapes:
    """What two label maps say of the B-scan between them.

    Parameters
    ----------
    distances : array of float32, shape (K, H, W)
        Pixels to the border of each class, positive within it.
    moved_px : array of float32, shape (K,)
        How far the borders of each structure lie apart in the two, on average; the background's is
        the largest of them.
    agreement : float
        Dice of the two label maps, of all structures together; 0 where they have none.
    shared : array of uint8, shape (H, W)
        The structure that both show at a pixel, 0 where they differ.
    """

    distances: NDArray[np.float32]
    moved_px: NDArray[np.float32]
    agreement: float
    shared: NDArray[np.uint8]

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The class whose distance is the largest, uint8 (H, W)."""
        found: NDArray[np.uint8] = self.distances.argmax(0).astype(np.uint8)
        return found


def interpolated(
    before: NDArray[np.uint8], after: NDArray[np.uint8], share: float, num_classes: int
) -> Shapes:
    """Interpolate two label maps that lie on the pixels of the B-scan between them.

    A part that only one of them has shrinks, on the way to the other, to its pixel that is nearest
    to the structure there, or to its deepest one where the structure is not there at all.

    Parameters
    ----------
    before, after : array of uint8, shape (H, W)
    share : float
        Of the way from `before` to `after`, in 0..1.
    num_classes : int
        K; values beyond are background.

    Returns
    -------
    Shapes

    Raises
    ------
    ValueError
        The maps differ in shape, or the share is none.
    """
    if before.shape != after.shape:
        raise ValueError(
            f"label maps of shapes {before.shape} and {after.shape} have nothing between them; "
            "give two of one size"
        )
    if not 0 <= share <= 1:
        raise ValueError(f"the share is {share}; give one from 0 (before) to 1 (after)")
    before, after = (np.where(m < num_classes, m, 0).astype(np.uint8) for m in (before, after))
    distances = np.full((num_classes, *before.shape), _FAR, np.float32)
    moved = np.zeros(num_classes, np.float32)
    for value in range(1, num_classes):
        a, b = before == value, after == value
        if a.any() or b.any():
            here, there = _distance(a, _ends(b, a)), _distance(b, _ends(a, b))
            distances[value] = (1 - share) * here + share * there
            moved[value] = _apart(here, there)
    # The background's is the distance to the nearest structure.
    distances[0] = -distances[1:].max(0, initial=_FAR)
    moved[0] = moved[1:].max(initial=0)
    size = int(np.count_nonzero(before)) + int(np.count_nonzero(after))
    shared = np.where(before == after, before, np.uint8(0))
    same = int(np.count_nonzero(shared))
    return Shapes(distances, moved, 2 * same / max(size, 1), shared)


def _ends(parts_of: NDArray[np.bool_], other: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Where the parts of a structure that do not touch it in the other map come to their end."""
    parts, count = ndimage.label(parts_of, _EIGHT)
    meeting = np.zeros(count + 1, bool)
    meeting[parts[other]] = True
    lone = [n for n in range(1, count + 1) if not meeting[n]]
    if not lone:
        return []
    if other.any():
        nearness = -ndimage.distance_transform_edt(~other)
    else:
        nearness = ndimage.distance_transform_edt(np.pad(parts_of, 1))[1:-1, 1:-1]
    ends: Sequence[tuple[int, int]] = ndimage.maximum_position(nearness, parts, lone)
    return ends


def _distance(structure: NDArray[np.bool_], ends: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Signed distance to the border of a structure, and to the pixels at which parts end."""
    if structure.all():
        return np.full(structure.shape, -_FAR, np.float32)
    shown = structure.copy()
    for end in ends:
        shown[end] = True
    outside = ndimage.distance_transform_edt(~shown)
    # A structure does not end where the image does.
    inside = ndimage.distance_transform_edt(np.pad(structure, 1, mode="edge"))[1:-1, 1:-1]
    signed = np.where(structure, inside - 0.5, np.minimum(0.5 - outside, 0))
    return np.asarray(signed, np.float32)


def _apart(here: NDArray[np.float32], there: NDArray[np.float32]) -> float:
    """How far two borders lie apart, on average."""
    border = np.minimum(np.abs(here), np.abs(there)) <= _CONTOUR_PX
    return float(np.minimum(np.abs(here - there)[border], _MOST_PX).mean()) if border.any() else 0.0
