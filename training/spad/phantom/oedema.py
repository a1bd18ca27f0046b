"""Macular oedema instead of wet AMD: large grey cysts in a swollen retina, exudates, their shadows.

Where diabetes or an occluded vein makes the retina swell, fluid is often no black bubble with a
sharp border: it is hardly darker than the layer in which it lies, its border is soft, and streaks
of shadow from hard exudates and vessels cut through it. Sizes and greys are ours, set by eye.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spad.phantom.looks import Look
from spad.phantom.scene import Dome, Scene
from spad.phantom.waves import Waves

__all__ = ["SwollenScene", "greyer"]

_DEEPEST_MM = 0.2  # half the height of the largest cyst


class SwollenScene(Scene):
    """A scene with macular oedema; what wet AMD brings stays in one eye of four."""

    def _lesions(self, rng: np.random.Generator) -> None:
        super()._lesions(rng)
        u = rng.uniform
        if u() > 0.25:
            self.ped, self.shrm = [], []
        if u() < 0.7:
            self.drusen = []
        if u() < 0.7:
            self.srf = []
        self.swelling, cysts = [], []
        if u() > 0.12:
            centre = self.fovea[0] + rng.normal(0, 0.8)
            centre = float(np.clip(centre, -0.3 * self.width_mm, 0.3 * self.width_mm))
            for _ in range(rng.integers(1, 4)):
                cysts += self._cluster(rng, centre + rng.normal(0, 0.9))
        self.cysts = np.reshape(cysts, (-1, 7))
        self._exudates(rng)

    def _cluster(self, rng: np.random.Generator, start: float) -> list[tuple[float, ...]]:
        """Draw cysts side by side from x = start on, and the swelling over them."""
        u = rng.uniform
        large, x = u() < 0.65, start
        cysts: list[tuple[float, ...]] = []
        for _ in range(rng.integers(1, 5) if large else rng.integers(2, 10)):
            rx = float(np.clip(rng.lognormal(np.log(0.22 if large else 0.06), 0.5), 0.025, 0.7))
            rz = min(rx * u(0.3, 0.8), _DEEPEST_MM / (1 if large else 2))
            depth = u(0.4, 0.85) if u() < 0.75 else u(0.15, 0.4)
            x += 0.7 * rx + u(-0.02, 0.05)
            cysts.append((x, u(-0.3, 0.3) * rx, depth, rx, rx * u(1, 2), rz, u(0, 2 * np.pi)))
            x += 0.7 * rx
        rx, height = 0.6 + x - start, u(0.05, 0.3) * (1.2 if large else 0.7)
        waves = Waves(rng, 0.35 * rx + 0.05, 1.5 * rx + 0.1)
        at, ry = u(-0.3, 0.3) * rx, rx * u(0.7, 1.4)
        self.swelling.append(Dome((start + x) / 2, at, rx, ry, height, 1.3, 0.03, waves))
        return cysts

    def _exudates(self, rng: np.random.Generator) -> None:
        """Draw hard exudates, which shine and keep the light from what lies below them."""
        u = rng.uniform
        many = rng.integers(6, 60) if u() < 0.7 else 0
        self.exudates = np.stack(
            (
                np.clip(rng.normal(0, 0.2, many), -0.5, 0.5) * self.width_mm,
                u(-1.2, 1.2, many),
                u(0.1, 0.8, many),
                rng.lognormal(-3.7, 0.5, many),
                u(0.05, 0.3, many),
                u(0.01, 0.03, many),
                u(0.05, 0.45, many),
                np.full(many, 0.7),
            ),
            1,
        )


def greyer(look: Look, rng: np.random.Generator) -> Look:
    """Let intraretinal fluid be little darker than the layer around it, with a softer border."""
    tissue = dict(look.tissue)
    if rng.random() < 0.7:
        tissue["irf"] = max(0.0, tissue["onl"] - rng.uniform(0.03, 0.14))
    return replace(look, tissue=tissue, fuzz_mm=rng.uniform(0.006, 0.06))
