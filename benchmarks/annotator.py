"""A person with a brush, played: strokes along the largest mistakes of a label map, with a tremor.

A stroke begins at one end of the largest connected mistake and goes along it, always on to what is
nearest, should have the same class and is not painted yet, at most so long; all under the round
brush gets that class. The person takes the brush that mends most, tries not to paint over the
structure's border (but the hand trembles), and takes a stroke back that made it worse, to draw it
again with a steadier hand; that one counts too. Where the reference says nothing (255), nothing is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.checkpoint import IGNORE

U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]
BRUSHES_PX = (0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 9.0, 12.0)
"""Radii; the least paints one pixel."""
_EIGHT = np.ones((3, 3), bool)
_EDGE = 48  # pixels around a mistake: where a stroke along it may go on to


@dataclass
class Work:
    """A B-scan at work.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        Class values of the model.
    reference : array of uint8, shape (H, W)
        Class values that are judged, 255 where nothing is known.
    judged : array of uint8, shape (256,)
        What each class value of the model counts as.
    classes : int
        K, background included.
    """

    labels: U8
    reference: U8
    judged: U8
    classes: int
    hand: Bools = field(init=False)
    painted: int = 0

    def __post_init__(self) -> None:
        self.labels = self.labels.copy()
        self.hand = np.zeros(self.labels.shape, bool)
        self._look()
        self.first = self.wrong()

    def take(self, labels: U8) -> None:
        """Take over a label map, but for what is painted by hand."""
        self.labels = np.where(self.hand, self.labels, labels)
        self._look()

    def paint(self, where: tuple[slice, slice], under: Bools, value: int) -> None:
        """Give a class to all under the brush."""
        self.labels[where][under] = value
        self.hand[where][under] = True
        self.painted += int(np.count_nonzero(under))
        self._look()

    def restore(self, where: tuple[slice, slice], labels: U8, hand: Bools) -> None:
        """Take a stroke back."""
        self.labels[where], self.hand[where] = labels, hand
        self._look()

    def _look(self) -> None:
        seen = self.judged[self.labels]
        known = self.reference != IGNORE
        pairs = seen[known].astype(np.intp) * self.classes + self.reference[known]
        self.matrix = np.bincount(pairs, minlength=self.classes**2).reshape((self.classes,) * 2)
        self.seen = seen

    def wrong(self) -> NDArray[np.int64]:
        """Wrong pixels of each structure (K - 1), those that it lacks and those too many."""
        both = np.diag(self.matrix)
        return np.asarray(self.matrix.sum(0) + self.matrix.sum(1) - 2 * both)[1:]

    def mistakes(self) -> int:
        """Wrong pixels."""
        return int(self.matrix.sum() - np.trace(self.matrix))

    def overlap(self) -> tuple[int, int]:
        """Pixels in both maps twice, and in either: Dice is their ratio, of all structures."""
        both = int(np.diag(self.matrix)[1:].sum())
        return 2 * both, int(self.matrix[1:].sum() + self.matrix[:, 1:].sum())

    def unfinished(self, accepts: float) -> list[int]:
        """Structures below the Dice that a person accepts, 5 % of whose mistakes are left too."""
        both = 2 * np.diag(self.matrix)[1:]
        size = (self.matrix.sum(0) + self.matrix.sum(1))[1:]
        bad = (both < accepts * size) & (self.wrong() > 0.05 * self.first)
        return (1 + np.flatnonzero(bad)).tolist()


@dataclass(frozen=True)
class Annotator:
    """How a person paints.

    Parameters
    ----------
    accepts : float
        Dice of each structure from which on a B-scan is accepted.
    brush : float
        Radius of the widest brush, pixels; 5 is napari's at its start.
    length : float
        Of a stroke at most, pixels.
    tremor : float
        Standard deviation of the brush's way from where it should be, as a share of its radius: a
        hand takes more care on a narrow way (Accot and Zhai, CHI 1997).
    most : int
        Strokes in a B-scan, after which it is left as it is.
    """

    accepts: float = 0.9
    brush: float = 5.0
    length: float = 120.0
    tremor: float = 0.2
    most: int = 400

    def strokes(self, work: Work, rng: np.random.Generator) -> Iterator[int]:
        """Paint until the B-scan is accepted; yields after a stroke that stays how many so far."""
        done = 0
        while done < self.most and (open_ := work.unfinished(self.accepts)):
            done += self.stroke(work, open_, rng)
            yield done

    def stroke(self, work: Work, structures: list[int], rng: np.random.Generator) -> int:
        """Mend some of the largest mistake of these structures; give how often it was drawn."""
        where, part, value = largest(work, structures)
        path, radius = self._best(part, work.seen[where], work.reference[where], value)
        before = work.mistakes()
        labels, hand = work.labels[where].copy(), work.hand[where].copy()
        for again, tremor in enumerate((self.tremor * radius, self.tremor * radius / 2, 0.0), 1):
            work.paint(where, under(_trembling(path, tremor, rng), radius, part.shape), value)
            if work.mistakes() < before or not tremor:
                return again
            work.restore(where, labels, hand)
        raise AssertionError("a steady stroke mends")

    def _best(self, part: Bools, seen: U8, reference: U8, value: int) -> tuple[Any, float]:
        """The path and the radius that mend most of all there that should be `value`."""
        lacks = (reference == value) & (seen != value)
        right = seen == reference
        depth = ndimage.distance_transform_edt((reference == value) | (reference == IGNORE))
        start = np.argwhere(part)[:1].astype(np.float64)
        best: tuple[int, float, Any] = 0, BRUSHES_PX[0], start  # a dab always mends one pixel
        for radius in sorted((r for r in BRUSHES_PX if r <= self.brush), reverse=True):
            if (2 * radius + 1) * self.length + 4 * (radius + 1) ** 2 <= best[0]:
                break  # so narrow a brush cannot mend more
            inside = depth > radius  # there the brush may be: a pixel's depth is at least 1
            if not inside.any():
                continue
            apart, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
            reached = lacks & (apart <= radius)
            if not (reached & part).any():
                continue
            first = part[reached]
            path = self._path(np.argwhere(reached), nearest[:, reached].T, first, radius)
            painted = under(path, radius, part.shape)
            gain = np.count_nonzero(painted & lacks)
            gain -= np.count_nonzero(painted & right & (reference != value))
            if gain > best[0]:
                best = gain, radius, path
        return best[2], best[1]

    def _path(
        self, pixels: NDArray[Any], centres: NDArray[Any], first: Bools, radius: float
    ) -> NDArray[Any]:
        """Points (N, 2), a pixel apart: from an end on to what is nearest and not painted yet.

        Parameters
        ----------
        pixels, centres : array, shape (P, 2)
            What is to be painted, and where the brush is for it.
        first : array of bool, shape (P,)
            Where it may begin.
        radius : float
        """
        left, centres = pixels.astype(np.float64), centres.astype(np.float64)
        begins = centres[first]
        at = begins[np.square(begins - begins.mean(0)).sum(1).argmax()]
        path, length = [at], 0.0
        while True:
            keep = np.square(left - at).sum(1) > radius * radius
            left, centres = left[keep], centres[keep]
            if not len(left):
                break
            far = np.square(centres - at).sum(1)
            nearest = int(far.argmin())
            step = float(np.sqrt(far[nearest]))
            if length + step > self.length or step > 2 * radius + 1:
                break
            length += step
            count = max(1, round(step))
            share = np.arange(1, count + 1)[:, None] / count
            path.extend(at + share * (centres[nearest] - at))
            at = centres[nearest]
        return np.stack(path)


def largest(work: Work, structures: list[int]) -> tuple[tuple[slice, slice], Bools, int]:
    """The largest connected mistake of some structures, cut out with some pixels around it.

    Returns
    -------
    (slice, slice)
        Where it is.
    array of bool
        The mistake, within.
    int
        What should be there.
    """
    asked = np.zeros(256, bool)
    asked[structures] = True
    wrong = (work.seen != work.reference) & (work.reference != IGNORE)
    wrong &= asked[work.seen] | asked[work.reference]
    rows, columns = np.flatnonzero(wrong.any(1)), np.flatnonzero(wrong.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, reference = wrong[box], work.reference[box]
    best: tuple[int, Bools, int] | None = None
    for value in np.unique(reference[inside]).tolist():
        parts, _ = ndimage.label(inside & (reference == value), _EIGHT)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        chosen = int(sizes.argmax())
        if best is None or sizes[chosen] > best[0]:
            best = int(sizes[chosen]), parts == chosen, value
    assert best is not None
    whole = np.zeros(wrong.shape, bool)
    whole[box] = best[1]
    (rows_, columns_) = ndimage.find_objects(best[1].astype(np.int8))[0]
    where = _wider(rows_, rows[0], wrong.shape[0]), _wider(columns_, columns[0], wrong.shape[1])
    return where, whole[where], best[2]


def under(path: NDArray[Any], radius: float, shape: tuple[int, ...]) -> Bools:
    """Pixels under a round brush on its way, of an array of that shape."""
    r = int(np.ceil(radius))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    disc = np.argwhere(np.hypot(y, x) <= radius) - r
    spots = (np.rint(path).astype(np.intp)[:, None] + disc).reshape(-1, 2)
    spots = spots[((spots >= 0) & (spots < shape)).all(1)]
    out = np.zeros(shape, bool)
    out[tuple(spots.T)] = True
    return out


def _trembling(path: NDArray[Any], tremor: float, rng: np.random.Generator) -> NDArray[Any]:
    """The path as a hand draws it: its errors are smooth along the way."""
    if not tremor:
        return path
    shifts = ndimage.gaussian_filter1d(rng.normal(size=path.shape), 4.0, axis=0, mode="reflect")
    # A filter of this width leaves 1 / sqrt(2 sqrt(pi) 4) of white noise's deviation.
    return np.asarray(path + tremor * shifts * np.sqrt(8 * np.sqrt(np.pi)))


def _wider(part: slice, offset: int, size: int) -> slice:
    first, last = int(part.start + offset), int(part.stop + offset)
    return slice(max(0, first - _EDGE), min(size, last + _EDGE))
