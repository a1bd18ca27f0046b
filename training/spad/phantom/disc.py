"""The optic disc: an opening in the retina, at which its outer layers end.

A model that has met none takes its bright rim for SHRM and its shadow for fluid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spad.phantom.cut import Cut

__all__ = ["Disc"]

# The curves of a cut, from the top, that end at the disc.
_ENDING = (
    "rnfl", "gcl", "inl", "opl", "elm", "isos_top", "isos", "retina", "srf", "shrm", "rpe", "bruch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disc:
    """An optic disc; all lengths in mm but the cup."""

    x: float
    y: float
    radius: float
    cup: float  # share of the radius
    deep: float  # how far the cup's floor lies below Bruch's membrane
    rim: float  # how far the rim rises above the retina
    tissue: float  # thickness of the nerve fibres over the cup's floor

    @classmethod
    def draw(cls, rng: np.random.Generator, side: float, width_mm: float) -> Disc:
        """Draw a disc at the image's edge on the side, -1 or 1, of the nose."""
        u = rng.uniform
        return cls(
            x=side * (0.5 * width_mm - u(-0.4, 1.3)), y=u(-0.5, 0.5), radius=u(0.65, 0.95),
            cup=u(0.2, 0.75), deep=u(0.0, 0.4), rim=u(0.0, 0.2), tissue=u(0.05, 0.2),
        )  # fmt: skip

    def into(self, cut: Cut) -> Cut:
        """Open a cut's layers at the disc, and leave no lesion in it."""
        half = self.radius**2 - (cut.y - self.y) ** 2
        if half <= 0:
            return cut
        half = float(np.sqrt(half))
        away = np.abs(cut.x - self.x) - half  # from the disc's edge; negative within
        outside = np.clip(away, 0, None)
        within = 1 / (1 + np.exp(away / 0.03))
        in_cup = 1 / (1 + np.exp((away + half * (1 - self.cup)) / 0.05))
        near = np.exp(-0.5 * (outside / 0.25) ** 2)
        floor = float(np.interp(self.x, cut.x, cut.bruch)) + self.deep
        ilm = cut.ilm - self.rim * near * (1 - in_cup)
        ilm += in_cup * (floor - self.tissue - ilm)
        lamina = np.maximum(floor, ilm + self.tissue)
        curves: dict[str, Any] = {}
        for name in _ENDING:
            curve = getattr(cut, name)
            if name in ("rnfl", "gcl", "inl"):  # nerve fibres crowd out the others on their way in
                curve = curve + 0.6 * near * (cut.opl - curve)
            curves[name] = np.maximum(ilm, curve + within * (lamina - curve))
        atrophy = np.where(away > 0, 0.5 * np.exp(-outside / 0.1), 0)
        return replace(
            cut,
            ilm=ilm,
            **curves,
            choroid=cut.choroid + within * (lamina + 0.02 - cut.choroid),
            ped=np.where(away > 0.05, cut.ped, 0),
            seen=np.where(away > 0.02, cut.seen * (1 - within), 0),
            worn=np.maximum(cut.worn * (1 - within), atrophy),
            shadow=np.clip(cut.shadow + 0.25 * within * (1 - in_cup), 0, 0.6),
            cysts=cut.cysts[np.interp(cut.cysts[:, 0], cut.x, away) > 0.2],
        )
