"""Serous detachments instead of wet AMD: clear fluid under a whole retina, over a thick choroid.

Where the choroid leaks, the retina is lifted as it is: a dark lens with smooth borders, its layers
above in order, often with bright dots that cast their shadows through it, and a PED beside it. The
choroid below is thick, and its large vessels are as dark as fluid. Sizes and greys are ours, set
by eye.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spad.phantom.cut import Cut
from spad.phantom.disc import Disc
from spad.phantom.looks import Look
from spad.phantom.readings import LEAST_MM
from spad.phantom.scene import Dome, Scene
from spad.phantom.waves import F64

__all__ = ["SerousScene", "clearer"]


_OUTLINED_MM = 0.016  # height from which on a druse is outlined, as PED


class SerousScene(Scene):
    """A scene with serous detachments; what wet AMD brings besides stays in few eyes.

    Three eyes of ten show the optic disc.
    """

    disc: Disc | None = None

    def __init__(self, rng: np.random.Generator, randomise: bool) -> None:
        super().__init__(rng, randomise)
        if rng.random() < 0.3:
            self.disc = Disc.draw(rng, self.side, self.width_mm)
        self.toll[0] *= 0.3  # detached photoreceptors are still seen

    def cut(self, x: F64, y: float) -> Cut:
        """Cut the scene at y (mm) along columns at x (W,) in mm.

        Over fluid, PED and SHRM the IS/OS line is shown but not outlined, as AMD-SD's readers do.
        """
        cut = super().cut(x, y)
        cut = self.disc.into(cut) if self.disc else cut
        lifted = np.maximum(cut.ped, cut.shrm - cut.retina) > LEAST_MM
        return replace(cut, drawn=np.where(lifted, 0, cut.seen))

    def _lesions(self, rng: np.random.Generator) -> None:
        super()._lesions(rng)
        u = rng.uniform
        self.choroid_mm = u(0.2, 0.55)
        self.shrm = self.shrm[:1] if u() < 0.12 else []
        if u() < 0.5:
            self.drusen = []
        if u() < 0.75:
            self.cysts, self.swelling = np.empty((0, 7)), []
        centre = self.fovea[0] + rng.normal(0, 0.6)
        centre = float(np.clip(centre, -0.35 * self.width_mm, 0.35 * self.width_mm))
        self.srf = list(self._detachments(rng, centre)) if u() < 0.75 else []
        self.ped = list(self._peds(rng, centre)) if u() < 0.6 else []
        self.ped += self._chain(rng, centre) if u() < 0.3 else []
        self.ped += [druse for druse in self.drusen if druse.height > _OUTLINED_MM]
        self.drusen = [druse for druse in self.drusen if druse.height <= _OUTLINED_MM]
        many, half = rng.integers(3, 40) if u() < 0.5 else 0, 0.5 * self.width_mm
        self.exudates = np.stack(
            (
                np.clip(centre + rng.normal(0, 0.9, many), -half, half),
                u(-1.2, 1.2, many),
                u(0.35, 0.98, many),
                rng.lognormal(-3.9, 0.5, many),
                u(0.05, 0.3, many),
                u(0.008, 0.02, many),
                u(0.05, 0.4, many),
                np.full(many, 0.7),
            ),
            1,
        )

    def _detachments(self, rng: np.random.Generator, centre: float) -> Iterator[Dome]:
        u = rng.uniform
        for _ in range(1 + (u() < 0.25)):
            rx = u(0.35, 1.0) if u() < 0.5 else u(1.0, 2.2)
            height = float(np.clip(rx * rng.lognormal(-2.0, 0.5), 0.03, 0.4))
            at = centre + rng.normal(0, 0.7)
            yield Dome.draw(rng, at, rx, height, u(0.5, 1.3), u(0, 0.12))

    def _peds(self, rng: np.random.Generator, centre: float) -> Iterator[Dome]:
        """Draw PEDs: half of them smooth, the others as rough as fibrovascular ones are."""
        u = rng.uniform
        for _ in range(rng.integers(1, 3)):
            rx = u(0.12, 0.6) if u() < 0.6 else u(0.6, 1.4)
            height = float(np.clip(rx * rng.lognormal(-1.2, 0.4), 0.03, 0.35))
            at = centre + rng.normal(0, 0.9)
            power, rough = (u(0.45, 1.0), 0.05) if u() < 0.5 else (u(0.6, 1.5), u(0.05, 0.3))
            yield Dome.draw(rng, at, rx, height, power, rough)

    def _chain(self, rng: np.random.Generator, centre: float) -> Iterator[Dome]:
        """Draw large drusen side by side, many of which run together."""
        u = rng.uniform
        at = centre - u(0, 1.2)
        for _ in range(rng.integers(3, 12)):
            rx = u(0.07, 0.25)
            yield Dome.draw(rng, at, rx, rx * u(0.25, 0.7), u(0.5, 1.2), u(0.05, 0.3))
            at += rx * u(0.8, 2.2)

    def _vessels(self, rng: np.random.Generator) -> None:
        """Draw the choroid's large vessels, in three eyes of four, besides what others have."""
        super()._vessels(rng)
        u = rng.uniform
        if u() < 0.25:
            return
        many = rng.integers(6, 36)
        radius = np.clip(rng.lognormal(np.log(0.08), 0.45, many), 0.03, 0.2)
        room = np.clip(self.choroid_mm - 2 * radius - 0.03, 0, None)
        large = (u(-0.5, 0.5, many) * self.width_mm, u(-1.4, 1.4, many),
                 radius + 0.03 + u(0, 1, many) * room, radius * u(1.0, 3.5, many),
                 u(0.6, 2.0, many), radius, -u(0.1, 0.4) * u(0.6, 1.2, many),
                 np.full(many, u(0.3, 1.0)))  # fmt: skip
        self.choroidal = np.concatenate((self.choroidal, np.stack(large, 1)))


def clearer(look: Look, rng: np.random.Generator) -> Look:
    """Let subretinal fluid be anything from black to hardly darker than the ONL.

    In seven eyes of ten PEDs are grey within, to as bright as SHRM, under an RPE that stays bright.
    """
    tissue, thinned = dict(look.tissue), look.thinned
    tissue["srf"] = float(np.clip(rng.uniform(0.0, tissue["onl"]), 0, 0.3))
    if rng.random() < 0.7:
        tissue["ped"] = float(rng.uniform(0.36, max(0.5, tissue["rpe"] - 0.08)))
        thinned = rng.uniform(-0.05, 0.12)
    texture = float(rng.uniform(0.0, 0.1))
    return replace(look, tissue=tissue, thinned=max(0.0, thinned), texture=texture)
