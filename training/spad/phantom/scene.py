"""A scene in mm, grown from a seed: Bruch's membrane, the layers above it, lesions among them.

Lesions lift or split the layers. A cut at y = 0 is a B-scan, cuts at many y are a stack. Rows run
downwards (vitreous first), x along a B-scan, y across the slices of a stack.

Nothing here follows a paper's recipe. Names and order of the layers are those of the IN-OCT
consensus (Staurenghi et al., Ophthalmology 2014, doi:10.1016/j.ophtha.2014.02.023); thicknesses,
lesion sizes and reflectivities are ours, set by eye beside real B-scans of Spectralis devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from spad.phantom.cut import Cut
from spad.phantom.waves import F64, Waves

__all__ = ["Dome", "Scene"]

_SHADOW_MM = 0.4  # half the height of an exudate's shadow


@dataclass(frozen=True, slots=True)
class Dome:
    """A mound above a surface: height over an ellipse in x and y, all lengths in mm."""

    x: float
    y: float
    rx: float
    ry: float
    height: float
    power: float  # of the profile: 0.5 an ellipsoid with steep flanks, 1.5 a bell
    rough: float  # relative: how bumpy the mound is
    waves: Waves

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        x: float,
        rx: float,
        height: float,
        power: float,
        rough: float,
        y: float | None = None,
    ) -> Dome:
        """Draw depth, bumps and, where it is not given, place across the slices of a mound."""
        ry = rx * rng.uniform(0.7, 1.4)
        y = rng.uniform(-0.45, 0.45) * ry if y is None else y
        waves = Waves(rng, 0.35 * rx + 0.05, 1.5 * rx + 0.1)
        return cls(x, y, rx, ry, height, power, rough, waves)

    def __call__(self, x: F64, y: float) -> F64:
        """Return the mound's height (W,) in the slice at y; 0 outside."""
        bumps = self.waves(x, y)
        rho2 = ((x - self.x) / self.rx) ** 2 + ((y - self.y) / self.ry) ** 2
        inside = np.clip(1 - rho2 * (1 + 0.12 * np.tanh(bumps)), 0, None)
        return self.height * inside**self.power * (1 + self.rough * np.tanh(bumps))


def _mounds(domes: Sequence[Dome], x: F64, y: float) -> F64:
    """Return the highest of the domes at each column (W,)."""
    near = (dome(x, y) for dome in domes if abs(y - dome.y) < 1.1 * dome.ry)
    return np.asarray(np.max([np.zeros_like(x), *near], axis=0))


class Scene:
    """An eye: anatomy and lesions drawn once, then cut by any number of slices."""

    srf: list[Dome]
    shrm: list[Dome]
    ped: list[Dome]
    drusen: list[Dome]
    swelling: list[Dome]

    def __init__(self, rng: np.random.Generator, randomise: bool) -> None:
        u = rng.uniform
        self.height_mm = float(u(0.75, 2.2) if randomise else u(1.0, 1.5))
        self.width_mm = float(u(3.5, 9.0) if randomise else u(4.8, 7.2))
        self.slice_mm = float(u(0.08, 0.18))
        wide = 2.0 if randomise else 1.0
        self.tilt = rng.normal(0, 0.035 * wide)
        self.bend = rng.normal(-0.006, 0.009) * wide
        self.sway, self.wear = Waves(rng, 1.5, 8), Waves(rng, 0.5, 2.5)
        self.folds, self.patches = Waves(rng, 0.9, 4), Waves(rng, 0.2, 1.2)
        self.side = rng.choice((-1.0, 1.0))  # where the optic disc lies, and RNFL thickens
        # One eye in four is cut outside the fovea.
        self.fovea = (rng.normal(0, 0.5), rng.normal(0, 0.15) if u() < 0.75 else 2.5)
        self.pit, self.pit_mm = u(0.75, 1.0), u(0.28, 0.42)
        self.layers = np.array([0.022, 0.085, 0.038, 0.030, 0.080]) * rng.lognormal(0, 0.13, 5)
        self.isos_mm, self.rpe_mm = u(0.015, 0.024), u(0.018, 0.028)
        self.choroid_mm = u(0.12, 0.38)
        # How far the posterior hyaloid stands off, and its slope; three in four are out of sight.
        self.hyaloid = (u(0.03, 0.25), u(-0.05, 0.05)) if u() < 0.25 else (9.0, 0.0)
        self.exudates = np.empty((0, 8))
        self._lesions(rng)
        self._vessels(rng)
        self.wear_level = u(0.6, 2.6) if u() < 0.6 else 9.0  # of waves: above it the RPE is worn
        self.toll = rng.lognormal(0, 0.5, 3)  # how much SRF, PED, SHRM each harm the IS/OS line
        self.lag = u(0.35, 0.85)  # how far the ILM follows a lesion below it
        self.drape = u(0.2, 1.0)  # 1: SRF fills the valleys between domes, 0: it rides on them
        self.z0 = 0.0
        middle = self.cut(np.linspace(-0.5, 0.5, 96) * self.width_mm, 0.0)
        highest, lowest = 0.05 - middle.ilm.min(), self.height_mm - 0.1 - middle.bruch.max()
        self.z0 = highest if lowest < highest else u(highest, lowest)

    def _lesions(self, rng: np.random.Generator) -> None:
        """Draw lesions about one centre, near y = 0 for the most part, and drusen anywhere."""
        u, mound = rng.uniform, partial(Dome.draw, rng)
        self.srf, self.shrm, self.ped, self.drusen, self.swelling = ([], [], [], [], [])
        cysts: list[tuple[float, ...]] = []
        ill = u() > 0.13
        has_srf, has_irf, has_ped, has_shrm = ill & (u(size=4) < (0.56, 0.5, 0.6, 0.52))
        centre = self.fovea[0] + rng.normal(0, 0.7)
        centre = float(np.clip(centre, -0.3 * self.width_mm, 0.3 * self.width_mm))
        if has_ped:
            serous, size = u() < 0.35, u(0.35, 1.0) if u() < 0.6 else u(1.0, 1.7)
            for _ in range(rng.integers(1, 4)):
                height, rx = size * rng.lognormal(-2.1, 0.45), size * u(0.25, 0.75)
                power, rough = (u(0.45, 0.7), 0.03) if serous else (u(0.6, 1.4), u(0.05, 0.35))
                self.ped.append(mound(centre + rng.normal(0, 0.7), rx, height, power, rough))
        if has_srf:
            for _ in range(1 + (u() < 0.3)):
                size = u(0.3, 0.8) if u() < 0.4 else u(0.8, 1.9)
                height = np.clip(size * rng.lognormal(-2.2, 0.45), 0.035, 0.28)
                at, rx = centre + rng.normal(0, 0.5), size * u(0.5, 0.9)
                self.srf.append(mound(at, rx, height, u(0.5, 1.1), u(0, 0.2)))
        if has_shrm:
            for _ in range(1 + (u() < 0.35)):
                size = u(0.3, 0.7) if u() < 0.4 else u(0.7, 1.4)
                height = np.clip(size * rng.lognormal(-2.2, 0.45), 0.03, 0.25)
                at, rx = centre + rng.normal(0, 0.45), size * u(0.3, 0.7)
                self.shrm.append(mound(at, rx, height, u(0.5, 1.3), u(0.1, 0.4)))
        if has_irf:
            for _ in range(rng.integers(1, 4)):  # clusters
                at, big, extent = centre + rng.normal(0, 0.8), u() < 0.4, u(0.1, 0.5)
                x = at
                for _ in range(rng.integers(2, 7 if big else 14)):
                    rx = rng.lognormal(-2.3 if big else -3.0, 0.4)
                    rz = min(rx * rng.lognormal(-0.2 if big else -0.35, 0.35), 0.13)
                    x += 0.7 * rx + u(-0.01, 0.05)  # a septum, or an overlap: lobed cysts
                    depth = u(0.35, 0.8) if big else rng.choice((0.22, 0.7)) + rng.normal(0, 0.09)
                    y, ry = u(-extent, extent), rx * u(1.0, 3.0)
                    cysts.append((x, y, depth, rx, ry, rz, u(0, 2 * np.pi)))
                    x += 0.7 * rx
                height = u(0.02, 0.12) * (1 + big)
                self.swelling.append(mound((at + x) / 2, 0.8 + x - at, height, 1.3, 0.03))
        self.cysts = np.reshape(cysts, (-1, 7))
        if u() < 0.45:
            for _ in range(rng.integers(8, 70)):
                x, y = u(-0.45, 0.45) * self.width_mm, u(-1.2, 1.2)
                self.drusen.append(mound(x, u(0.05, 0.16), u(0.008, 0.035), 1.0, 0.1, y))

    def _vessels(self, rng: np.random.Generator) -> None:
        """Draw what only the image shows: vessels, foci, dim patches that resemble cysts."""
        u = rng.uniform
        many = rng.integers(3, 10)
        radius = rng.lognormal(-3.4, 0.4, many)
        place = u(-0.5, 0.5, many) * self.width_mm
        self.vessels = np.stack(
            [place, u(-0.5, 0.5, many), radius, np.clip(radius * u(1, 6, many), 0, 0.28)], 1
        )
        many = rng.integers(30, 70)
        depth = u(0.05, 1.0, many) ** 0.8 * self.choroid_mm
        size = (0.02 + 0.17 * depth) * rng.lognormal(0, 0.3, many)
        choroid = (u(-0.5, 0.5, many) * self.width_mm, u(-1.4, 1.4, many), depth, 1.7 * size,
                   u(0.6, 2.0, many), size, u(-0.2, -0.06, many), np.full(many, 1.0))  # fmt: skip
        self.choroidal = np.stack(choroid, 1)
        foci = rng.integers(0, 20) if u() < 0.6 else rng.integers(20, 100)
        dim = rng.integers(0, 16)
        many = foci + dim
        bright = np.arange(many) < foci
        self.specks = np.stack(
            (
                np.clip(rng.normal(0, 0.22, many), -0.5, 0.5) * self.width_mm,
                u(-1.2, 1.2, many),
                np.where(bright, u(0.1, 0.95, many), u(0.5, 0.85, many)),
                np.where(bright, u(0.012, 0.035, many), u(0.06, 0.3, many)),
                u(0.05, 0.3, many),
                np.where(bright, u(0.008, 0.018, many), u(0.02, 0.05, many)),
                np.where(bright, u(0.12, 0.45, many), u(-0.09, -0.04, many)),
                np.where(bright, 0.7, 1.0),
            ),
            1,
        )

    def cut(self, x: F64, y: float) -> Cut:
        """Cut the scene at y (mm) along columns at x (W,) in mm."""
        bruch = self.z0 + self.tilt * x + self.bend * (x**2 + y**2) + 0.012 * self.sway(x, y)
        ped, srf, shrm = (_mounds(domes, x, y) for domes in (self.ped, self.srf, self.shrm))
        srf = np.clip(srf - self.drape * ped - shrm, 0, None)
        worn = np.clip(self.wear(x, y) - self.wear_level, 0, 1)
        rpe = bruch - 0.004 - ped - _mounds(self.drusen, x, y)
        rpe_top = rpe - self.rpe_mm * (1 - 0.6 * worn)
        lift = ped + srf + shrm
        harm = (self.toll[:, None] * np.stack([12 * srf, 5 * ped, 40 * shrm])).sum(axis=0)
        seen = 1 / (1 + np.exp((harm + 1.5 * worn + 0.25 * self.patches(x, y) - 0.9) / 0.13))
        outer = 0.022 * (1 - 0.7 * np.clip(lift / 0.06, 0, 1) * (0.5 + 0.5 * (1 - seen)))
        retina = rpe_top - shrm - srf
        isos = retina - outer
        isos_top = isos - self.isos_mm
        elm = isos_top - 0.024

        # Inner layers hang from the ILM, which follows lesions only smoothly; the ONL gives way.
        across = np.hypot(x - self.fovea[0], y - self.fovea[1])
        pit = self.pit * np.exp(-0.5 * (across / self.pit_mm) ** 2)
        rim = 1 + 0.25 * np.exp(-0.5 * ((across - 2.6 * self.pit_mm) / 0.5) ** 2)
        swollen = _mounds(self.swelling, x, y)
        nasal = 1 + np.clip(0.35 * self.side * (x - self.fovea[0]), -0.5, 2.5)
        thick = self.layers[:, None] * np.stack(
            [(1 - pit) * nasal, (1 - pit) * rim, (1 - 0.9 * pit), (1 - 0.6 * pit), 1 + 0.35 * pit]
        ) + swollen * np.array([[0.0], [0.05], [0.35], [0.1], [0.5]])
        thick *= 1 + 0.025 * self.folds(x, y)
        smooth, floor = (
            ndimage.gaussian_filter1d(curve, width / (x[1] - x[0]), mode="nearest")
            for curve, width in ((lift, 0.28), (elm, 0.12))
        )
        flat = bruch - 0.09 - thick.sum(axis=0)  # 0.09 mm: ELM to Bruch's membrane in health
        ilm = np.minimum(flat - self.lag * smooth, np.minimum(floor - 0.13, elm - 0.07))
        thick *= np.minimum(1, (elm - ilm - 0.03) / thick[:4].sum(axis=0))
        rnfl, gcl, inl, opl = ilm + np.cumsum(thick[:4], axis=0)

        cysts = self._ellipses(self.cysts, x, y, gcl, elm)
        bright = self._ellipses(self.exudates, x, y, ilm, elm)
        vessels = self.vessels
        vein = vessels[:, 0] + vessels[:, 1] * y
        reach = ((x - vein[:, None]) / (vessels[:, 2:3] * 1.1)) ** 2
        blobs = np.concatenate((
            self._ellipses(self.choroidal, x, y, bruch, bruch + 1),
            self._ellipses(self.specks, x, y, ilm, elm),
            bright,
            np.stack([bright[:, 0], bright[:, 1] + _SHADOW_MM, 0.8 * bright[:, 2],
                      np.full(len(bright), _SHADOW_MM), -bright[:, 4], np.ones(len(bright))], 1),
            np.stack([vein, np.interp(vein, x, ilm) + vessels[:, 2] + 0.012, vessels[:, 2],
                      0.8 * vessels[:, 2], 0.4 * vessels[:, 3], np.full(len(vein), 0.7)], 1),
        ))  # fmt: skip
        off, slope = self.hyaloid
        hyaloid = bruch - 0.33 - off - slope * x - 0.02 * self.sway(-x, y)
        return Cut(
            x=x, y=y, ilm=ilm, rnfl=rnfl, gcl=gcl, inl=inl, opl=opl, elm=elm, isos_top=isos_top,
            isos=isos, retina=retina, srf=rpe_top - shrm, shrm=rpe_top, rpe=rpe, bruch=bruch,
            choroid=bruch + self.choroid_mm * (1 + 0.15 * self.sway(x, -y)),
            hyaloid=np.minimum(hyaloid, ilm), ped=ped, seen=seen, drawn=seen, worn=worn,
            shadow=np.clip((vessels[:, 3:] * np.exp(-reach)).sum(axis=0), 0, 0.6),
            cysts=cysts, blobs=blobs,
        )  # fmt: skip

    @staticmethod
    def _ellipses(rows: F64, x: F64, y: float, top: F64, bottom: F64) -> F64:
        """Cut ellipsoids (x, y, depth in 0..1 of top..bottom, rx, ry, rz, ...) at y."""
        left = 1 - ((y - rows[:, 1]) / rows[:, 4]) ** 2
        rows, scale = rows[left > 0], np.sqrt(left[left > 0])
        above, below = np.interp(rows[:, 0], x, top), np.interp(rows[:, 0], x, bottom)
        z = above + rows[:, 2] * (below - above)
        return np.column_stack([rows[:, 0], z, rows[:, 3] * scale, rows[:, 5] * scale, rows[:, 6:]])
