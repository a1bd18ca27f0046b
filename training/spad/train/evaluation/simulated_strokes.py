"""Simulated corrections of a segmentation: an annotator's brush strokes over its mistakes.

What does correcting bring (docs/method.md, section 10)? A stroke lies in one wrong component, along
its middle, in the reference's class there; where the brush is wider than the mistake it also fixes
pixels that were right. It never paints a class where the reference has another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from spad.checkpoint import IGNORE

__all__ = ["WIDTHS_PX", "correct", "middle_line", "worst_stroke"]

WIDTHS_PX = (3, 7)
"""Narrowest and widest brush."""
_EIGHT = np.ones((3, 3), bool)


def correct(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], share: float, *, seed: int
) -> NDArray[np.uint8]:
    """Strokes until about a share of the wrong pixels is fixed.

    Each stroke goes to a wrong component drawn in proportion to what is left of its area, so that
    large mistakes are corrected first.

    Parameters
    ----------
    prediction, reference : array of uint8, shape (H, W)
        Class values; where the reference is 255 nothing is known, and nothing wrong.
    share : float
        Of the wrong pixels, in 0..1. The last stroke ends where it is reached.
    seed : int

    Returns
    -------
    array of uint8, shape (H, W)
        The reference's class where a stroke lies, 255 elsewhere: a clamp.

    Raises
    ------
    ValueError
        The shapes differ, or the share is out of its range.
    """
    wrong = _wrong(prediction, reference)
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share} of the wrong pixels to fix; choose 0 to 1")
    rng = np.random.default_rng(seed)
    clamp = np.full(wrong.shape, IGNORE, np.uint8)
    left = round(share * int(wrong.sum()))
    while left > 0:
        parts, sizes = _components(wrong, reference)
        chosen = 1 + int(rng.choice(len(sizes), p=sizes / sizes.sum()))
        painted = _stroke(parts == chosen, reference, left, rng)
        left -= int((painted & wrong).sum())
        clamp[painted] = reference[painted]
        wrong &= ~painted
    return clamp


def worst_stroke(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], *, seed: int
) -> NDArray[np.uint8]:
    """One stroke along the whole of the largest wrong component; arguments of :func:`correct`."""
    wrong = _wrong(prediction, reference)
    clamp = np.full(wrong.shape, IGNORE, np.uint8)
    if wrong.any():
        parts, sizes = _components(wrong, reference)
        largest = parts == 1 + int(sizes.argmax())
        painted = _stroke(largest, reference, wrong.size, np.random.default_rng(seed))
        clamp[painted] = reference[painted]
    return clamp


def _wrong(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if prediction.shape != reference.shape:
        raise ValueError(
            f"a prediction of shape {prediction.shape} for a reference of shape {reference.shape}; "
            "give both on the image's own grid"
        )
    return np.asarray((prediction != reference) & (reference != IGNORE))


def _components(
    wrong: NDArray[np.bool_], reference: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Wrong components, each of one true class: their numbers from 1 on, and their areas."""
    parts = np.zeros(wrong.shape, np.int32)
    for value in np.unique(reference[wrong]):
        own, _ = ndimage.label(wrong & (reference == value), _EIGHT)
        parts[own > 0] = own[own > 0] + parts.max()
    return parts, np.bincount(parts.ravel())[1:].astype(np.float64)


def _stroke(
    part: NDArray[np.bool_], reference: NDArray[np.uint8], most: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Pixels of a stroke through a component, which ends when it has covered ``most`` of it."""
    width = int(rng.integers(WIDTHS_PX[0], WIDTHS_PX[1] + 1))
    rows, columns = (slice(max(0, s.start - width), s.stop + width) for s in _box(part))
    inside = part[rows, columns]
    own = reference[rows, columns] == reference[part][0]
    offset = np.arange(width) - (width - 1) / 2
    brush = np.argwhere(np.hypot(offset[:, None], offset) <= width / 2) - (width - 1) // 2
    painted = np.zeros(inside.shape, bool)
    for step in middle_line(inside, rng):
        spots = step + brush
        spots = spots[((spots >= 0) & (spots < inside.shape)).all(1)]
        painted[tuple(spots.T)] = True
        if np.count_nonzero(painted & inside) >= most:
            break
    out = np.zeros(part.shape, bool)
    out[rows, columns] = painted & own
    return out


def _box(part: NDArray[np.bool_]) -> tuple[slice, slice]:
    found: tuple[slice, slice] = ndimage.find_objects(part.astype(np.int8))[0]
    return found


def middle_line(inside: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pixels (N, 2) of a path from one end of a component to a random other, through its middle.

    The path is the shortest where a pixel costs the less the deeper it lies.
    """
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    places = np.argwhere(inside)
    number = np.full(inside.shape, -1, np.int32)  # all that dijkstra of SciPy 1.11 takes
    number[inside] = np.arange(len(places))
    ends, lengths = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one, two = _shifted(number, dy, dx)
        both = (one >= 0) & (two >= 0)
        ends.append(np.stack([one[both], two[both]]))
        lengths.append(np.full(np.count_nonzero(both), np.hypot(dy, dx)))
    (i, j), length = np.concatenate(ends, axis=1), np.concatenate(lengths)
    deep = depth[inside]

    def graph(costs: NDArray[np.float64]) -> csr_array:
        return csr_array((costs, (i, j)), shape=(len(places),) * 2)

    plain = graph(length)
    first = int(dijkstra(plain, directed=False, indices=int(deep.argmax())).argmax())
    reach = dijkstra(plain, directed=False, indices=first)
    # A random end, but of the farther half: a stroke follows its component.
    far = np.flatnonzero(reach >= reach.max() / 2)
    _, before = dijkstra(
        graph(length / (deep[i] + deep[j]) ** 2),
        directed=False,
        indices=first,
        return_predecessors=True,
    )
    path = [int(rng.choice(far))]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    return places[path]


def _shifted(
    number: NDArray[np.int32], dy: int, dx: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each pixel's number, and that of the one (dy, dx) from it, where both exist."""
    h, w = number.shape
    left, right = max(0, -dx), min(w, w - dx)
    return number[: h - dy, left:right].ravel(), number[dy:, left + dx : right + dx].ravel()
