"""Two scans of one eye laid on each other, from above, so that a B-scan's counterpart is found.

By phase correlation of their projections, tried at each angle that a tilted head may have, which
NumPy does in every host; scikit-image, which 3D Slicer's Python lacks, finds the same turn and
shift and checks them in the tests. Another magnification is not undone: both scans are in mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_MATCH", "Alignment", "EnFace", "align", "checkerboard", "projection"]

SQUARE_MM = 0.75
"""Side of a square of the checkerboard."""
LEAST_MATCH = 0.3
"""Below this correlation two scans are not taken to show one place of an eye."""
_GRID_MM, _FINE_MM, _COARSE_MM = 0.03, 0.06, 0.4  # what both are drawn on; what of them counts
_REACH_MM, _OVERLAP = 2.0, 0.25  # no shift is larger, nor leaves less in common
_CANDIDATES = 8
_TURN_DEG, _COARSE_DEG, _FINE_DEG = 12.0, 2.0, 0.5  # the largest turn; steps in which it is sought
_Seen = tuple[NDArray[np.float64], NDArray[np.bool_]]  # values, and where it was scanned


def projection(image: NDArray[Any]) -> NDArray[np.float32]:
    """Mean over the rows of each B-scan, float32 (Z, W): the eye seen from above.

    Parameters
    ----------
    image : array of real, shape (Z, H, W) or (Z, H, W, C)
        Read B-scan by B-scan. What Heidelberg writes where it has no pixels counts as 0.
    """
    out = np.empty((image.shape[0], image.shape[2]), np.float32)
    for z in range(len(out)):
        one = np.asarray(image[z]).reshape(*image.shape[1:3], -1)[..., :3]
        out[z] = np.where(np.abs(one) < 1e30, one, 0).mean((0, 2), dtype=np.float64)
    return out


@dataclass(frozen=True)
class EnFace:
    """A stack seen from above.

    Parameters
    ----------
    values : array of float, shape (B-scans, columns)
        Its projection.
    step_mm : (between B-scans, column)
    first : {"inferior", "superior"}
        Where the first B-scan lies.

    Raises
    ------
    ValueError
        Fewer than 3 B-scans, or a step that is no length.
    """

    values: NDArray[np.floating[Any]]
    step_mm: tuple[float, float]
    first: str = "inferior"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) < 3:
            raise ValueError(
                f"a projection of shape {self.values.shape}; scans are laid on each other from 3 "
                "B-scans on"
            )
        if not all(s is not None and 0 < s < math.inf for s in self.step_mm):
            raise ValueError(
                f"distances of B-scans and columns of {tuple(self.step_mm)} mm; both are needed to "
                "lay scans on each other: type the scale"
            )

    def places(
        self, up: NDArray[np.float64], right: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(B-scan, column) of places in mm above and right of the scan's middle."""
        deep, wide = self.values.shape
        sign = -1 if self.first == "superior" else 1
        return (
            (deep - 1) / 2 + sign * up / self.step_mm[0],
            (wide - 1) / 2 + right / self.step_mm[1],
        )

    def away(
        self, bscan: NDArray[np.float64] | float, column: NDArray[np.float64] | float
    ) -> tuple[Any, Any]:
        """Mm above and right of the scan's middle, of (B-scan, column)."""
        deep, wide = self.values.shape
        sign = -1 if self.first == "superior" else 1
        return (
            sign * (bscan - (deep - 1) / 2) * self.step_mm[0],
            (column - (wide - 1) / 2) * self.step_mm[1],
        )

    @property
    def half_mm(self) -> tuple[float, float]:
        """Half of its height and of its width."""
        deep, wide = self.values.shape
        return deep * self.step_mm[0] / 2, wide * self.step_mm[1] / 2

    @cached_property
    def _even(self) -> NDArray[np.float64]:
        """The projection, its columns averaged so that the common grid passes none over."""
        from scipy import ndimage

        values = np.nan_to_num(np.asarray(self.values, np.float64))
        return np.asarray(
            ndimage.gaussian_filter1d(values, _FINE_MM / 2 / self.step_mm[1], 1, mode="nearest")
        )

    def on(self, up: NDArray[np.float64], right: NDArray[np.float64]) -> _Seen:
        """Values at places in mm, and where it was scanned; between B-scans they are mixed."""
        from scipy import ndimage

        at = self.places(up, right)
        inside = np.ones(at[0].shape, bool)
        for place, size in zip(at, self.values.shape, strict=True):
            inside &= (place >= -0.5) & (place <= size - 0.5)
        return ndimage.map_coordinates(self._even, at, order=1, mode="nearest"), inside


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a second scan of an eye lies on a first one.

    Parameters
    ----------
    first, second : EnFace
    up_mm, right_mm : float
        Where the first scan's middle lies, above and right of the second's.
    turn_deg : float
        By how much the second shows the eye turned, counterclockwise in degrees.
    match : float
        Correlation of the two where they overlap, -1 to 1.
    """

    first: EnFace
    second: EnFace
    up_mm: float
    right_mm: float
    turn_deg: float
    match: float

    @property
    def found(self) -> bool:
        """Whether they match well enough to be believed."""
        return self.match >= LEAST_MATCH

    @property
    def words(self) -> str:
        """Turn and shift in words, or that there are none."""
        if not self.found:
            return (
                f"no common place is found (correlation {self.match:.2f}, at least {LEAST_MATCH:g} "
                "is needed): other eyes, scans of other places, or too little contrast from above"
            )
        up, right = self.up_mm * 1000, self.right_mm * 1000
        turned = ""
        if abs(self.turn_deg) >= _FINE_DEG:
            way = "counterclockwise" if self.turn_deg > 0 else "clockwise"
            turned = f"turned by {abs(self.turn_deg):.1f}° {way}, "
        return turned + (
            f"shifted by {abs(right):.0f} µm to the {'right' if right >= 0 else 'left'} and "
            f"{abs(up):.0f} µm {'up' if up >= 0 else 'down'}, correlation {self.match:.2f}"
        )

    def turned(self) -> Alignment:
        """The same from the second scan to the first."""
        back = _turned(-self.up_mm, -self.right_mm, -self.turn_deg)
        return Alignment(self.second, self.first, *back, -self.turn_deg, self.match)

    def there(self, up: Any, right: Any) -> tuple[Any, Any]:
        """Mm above and right of the second scan's middle, of places likewise in the first."""
        up, right = _turned(up, right, self.turn_deg)
        return up + self.up_mm, right + self.right_mm

    def counterpart(self, bscan: float, column: float) -> tuple[float, float] | None:
        """(B-scan, column) of the second scan that shows this place of the first.

        Returns
        -------
        (float, float) or None
            None where the second did not scan it.
        """
        z, x = (float(p) for p in self.second.places(*self.there(*self.first.away(bscan, column))))
        deep, wide = self.second.values.shape
        inside = -0.5 <= z <= deep - 0.5 and -0.5 <= x <= wide - 0.5
        return (z, x) if inside else None


def align(first: EnFace, second: EnFace) -> Alignment:
    """Find how two scans of one eye lie on each other, by the vessels in their projections.

    Parameters
    ----------
    first, second : EnFace
        Of any sizes and spacings.

    Returns
    -------
    Alignment
        See its `found`: two scans that have nothing in common get one too.
    """
    half = np.maximum(first.half_mm, second.half_mm)
    size = 2 * np.ceil((half + _REACH_MM / 2) / _GRID_MM).astype(int)
    up, right = ((np.arange(n) - (n - 1) / 2) * _GRID_MM for n in size)
    grid = np.broadcast_arrays(up[:, None], right[None])
    one, other = (_contrast(*scan.on(*grid)) for scan in (first, second))
    # What lies finer than the B-scans is guessed between them: it has no say.
    coarse = max(first.step_mm[0], second.step_mm[0], _FINE_MM) / 2
    steps = [np.fft.fftfreq(n, _GRID_MM) for n in size]
    weight = np.exp(
        -2 * np.pi**2 * ((steps[0][:, None] * coarse) ** 2 + (steps[1] * _FINE_MM / 2) ** 2)
    )
    spectrum = np.conj(np.fft.fft2(one[0]))
    tried: dict[float, tuple[float, tuple[float, float]]] = {}

    def attempt(turn: float) -> float:
        if turn not in tried:
            tried[turn] = _shifted(one, _rotated(other, turn), spectrum, weight)
        return tried[turn][0]

    wide = np.arange(-_TURN_DEG, _TURN_DEG + 1e-6, _COARSE_DEG).tolist()
    top = max(wide, key=lambda turn: (attempt(turn), -abs(turn)))
    near = (top + np.arange(-_COARSE_DEG, _COARSE_DEG + 1e-6, _FINE_DEG)).tolist()
    top = max(near, key=lambda turn: (attempt(turn), -abs(turn)))
    three = np.array([attempt(top + way * _FINE_DEG) for way in (-1, 0, 1)])
    turn = max(top, top + _FINE_DEG * _between(three), key=attempt)
    match, shift = tried[turn]
    return Alignment(first, second, *_turned(*shift, turn), turn, match)


def _turned(up: Any, right: Any, degrees: float) -> tuple[Any, Any]:
    """Places turned counterclockwise about the middle."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return up * cos + right * sin, right * cos - up * sin


def _rotated(seen: _Seen, degrees: float) -> _Seen:
    """What a scan would show if it were not turned counterclockwise by so much."""
    from scipy import ndimage

    if not degrees:
        return seen
    cos, sin = _turned(1.0, 0.0, degrees)[0], _turned(0.0, 1.0, degrees)[0]
    matrix = np.array([[cos, sin], [-sin, cos]])
    middle = (np.array(seen[0].shape) - 1) / 2
    begin = middle - matrix @ middle
    values = ndimage.affine_transform(seen[0], matrix, begin, order=1)
    return values, ndimage.affine_transform(
        seen[1].astype(np.float32), matrix, begin, order=1
    ) > 0.5


def _shifted(
    one: _Seen,
    other: _Seen,
    spectrum: NDArray[np.complex128],
    weight: NDArray[np.float64],
) -> tuple[float, tuple[float, float]]:
    """The best correlation of two scans that are not turned, and its shift in mm."""
    cross = np.fft.fft2(other[0]) * spectrum
    # The phases alone, as far as there is something to have one.
    strength = np.abs(cross)
    phases = cross / np.maximum(strength, 1e-3 * strength.max() + 1e-30) * weight
    shifts = _shifts(np.fft.ifft2(phases).real)
    return max(((_match(one, other, shift), shift) for shift in shifts), default=(-1.0, (0.0, 0.0)))


def _contrast(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> _Seen:
    """Vessels without what is bright or dark far and wide; 0 outside, fading at the edge."""
    from scipy import ndimage

    weight = inside.astype(float)
    wide = _COARSE_MM / _GRID_MM
    around = ndimage.gaussian_filter(weight, wide)
    flat = values - ndimage.gaussian_filter(values * weight, wide) / np.maximum(around, 1e-9)
    spread = float(flat[inside].std()) if inside.any() else 0.0
    if spread <= 1e-9 * (1 + float(np.abs(values).max())):
        return np.zeros_like(flat), inside
    fade = np.clip(ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / wide, 0, 1)
    return np.clip(flat / spread, -3, 3) * fade * inside, inside


def _shifts(peaks: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The highest peaks of a correlation within reach, in mm, finer than the grid."""
    from scipy import ndimage

    reach = min(int(_REACH_MM / _GRID_MM), *(n // 2 - 1 for n in peaks.shape))
    middle = [n // 2 for n in peaks.shape]
    near = np.fft.fftshift(peaks)[tuple(slice(m - reach, m + reach + 1) for m in middle)]
    tops = near == ndimage.maximum_filter(near, 5)
    tops[[0, -1]] = tops[:, [0, -1]] = False
    places = np.argwhere(tops)
    places = places[np.argsort(-near[tops], kind="stable")][:_CANDIDATES]
    out = []
    for y, x in places:
        fine = [
            _between(near[y - 1 : y + 2, x]) + y - reach,
            _between(near[y, x - 1 : x + 2]) + x - reach,
        ]
        out.append((float(fine[0]) * _GRID_MM, float(fine[1]) * _GRID_MM))
    return out


def _between(three: NDArray[np.float64]) -> float:
    """Where a parabola through a peak and its neighbours is highest, from the peak."""
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.0 if bend >= 0 else float(np.clip((three[0] - three[2]) / (2 * bend), -0.5, 0.5))


def _match(one: _Seen, other: _Seen, shift: tuple[float, float]) -> float:
    """Correlation of two scans where they overlap, laid on each other so."""
    from scipy import ndimage

    back = -np.array(shift) / _GRID_MM
    moved = ndimage.shift(other[0], back, order=1)
    here, there = one[1], ndimage.shift(other[1].astype(np.float32), back, order=1) > 0.5
    both = here & there
    if both.sum() < _OVERLAP * min(here.sum(), there.sum()) or not both.any():
        return -1.0
    a, b = one[0][both] - one[0][both].mean(), moved[both] - moved[both].mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else -1.0


def checkerboard(alignment: Alignment) -> NDArray[np.float32]:
    """Squares of two scans laid on each other, by turns: vessels run on where they lie right.

    Parameters
    ----------
    alignment : Alignment

    Returns
    -------
    array of float32, shape (B-scans, columns) of the first scan
        0 to 1, each scan from its darkest to its brightest percent; NaN where the second did not
        scan.
    """
    first, second = alignment.first, alignment.second
    deep, wide = first.values.shape
    z, x = np.mgrid[:deep, :wide].astype(float)
    up, right = first.away(z, x)
    moved, seen = second.on(*alignment.there(up, right))
    shown = []
    for values, known in (
        (np.asarray(first.values, float), np.isfinite(first.values)),
        (moved, seen),
    ):
        low, high = np.percentile(values[known], (1, 99)) if known.any() else (0.0, 1.0)
        shown.append(np.clip((values - low) / max(high - low, 1e-9), 0, 1))
    turn = (np.floor(up / SQUARE_MM) + np.floor(right / SQUARE_MM)) % 2 == 0
    out = np.where(turn, shown[0], np.where(seen, shown[1], np.nan))
    return out.astype(np.float32)
