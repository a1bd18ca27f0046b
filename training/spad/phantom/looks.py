"""Looks: what a device, an eye's media and an operator make of every B-scan of a stack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spad.phantom.waves import Waves

__all__ = ["Look"]

# Typical log reflectivity on the display, vitreous to sclera, and how much it varies between eyes.
TISSUES = {
    "vitreous": (0.02, 0.02), "rnfl": (0.60, 0.06), "gcl": (0.45, 0.04), "inl": (0.33, 0.03),
    "opl": (0.44, 0.04), "onl": (0.24, 0.04), "elm": (0.37, 0.04), "myoid": (0.31, 0.03),
    "isos": (0.68, 0.06), "tips": (0.52, 0.05), "srf": (0.10, 0.05), "shrm": (0.60, 0.08),
    "rpe": (0.84, 0.05), "ped": (0.34, 0.13), "bruch": (0.50, 0.12), "choroid": (0.50, 0.06),
    "sclera": (0.44, 0.06), "irf": (0.11, 0.06),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """One device, one eye's media and one operator: what stays the same through a stack."""

    tissue: dict[str, float]
    contrast: float  # of the log compression: display units per e-fold of power
    floor: float  # the device's noise, display units
    black: float  # what the display shows as 0
    looks: float  # averaged frames: speckle variance is 1 / looks
    noise_looks: float
    grain_mm: tuple[float, float]  # axial and lateral standard deviation of the speckle
    blur_px: float
    gain: float
    gamma: float
    fuzz_mm: float  # width of lesion borders
    texture: float  # of SHRM and PED, display units
    thinned: float  # display units by which the RPE pales over a PED
    decay: float  # display units a millimetre below Bruch's membrane
    streaks: float  # light that falls irregularly through the RPE
    turbid: float  # cloudiness of fluid towards its lower border
    padding: tuple[float, float, float]  # corner: level, left height and right height, of the rows
    waves: tuple[Waves, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, randomise: bool) -> Look:
        """Draw a look; far from any one device if `randomise`."""
        u = rng.uniform
        wide = 2.0 if randomise else 1.0
        tissue = {name: mean + wide * sd * rng.normal() for name, (mean, sd) in TISSUES.items()}
        if u() < (0.4 if randomise else 0.2):  # dim photoreceptor lines
            tissue["isos"] = tissue["tips"] + u(0.0, 0.1)
        spread = u(0.6, 1.3) if randomise else u(0.85, 1.1)
        middle = 0.4
        tissue = {
            name: float(np.clip(middle + spread * (value - middle), 0.0, 1.1))
            for name, value in tissue.items()
        }
        tissue["irf"] = max(0.0, min(tissue["irf"], tissue["onl"] - 0.05))  # fluid is never bright
        corner = u() < (0.4 if randomise else 0.08)
        return cls(
            tissue=tissue,
            contrast=u(0.08, 0.20) if randomise else u(0.11, 0.16),
            floor=u(0.0, 0.25) if randomise else u(0.05, 0.14),
            black=u(-0.1, 0.15) if randomise else u(-0.02, 0.08),
            looks=np.exp(u(0.4, 3.2) if randomise else u(1.0, 3.0)),
            noise_looks=u(1.0, 4.0),
            grain_mm=(u(0.002, 0.006), u(0.006, 0.025 if randomise else 0.014)),
            blur_px=u(0, 1.2) if randomise else u(0.25, 0.55),
            gain=u(0.75, 1.35) if randomise else u(0.9, 1.2),
            gamma=np.exp(u(-0.45, 0.45) if randomise else u(-0.15, 0.2)),
            fuzz_mm=u(0.006, 0.035),
            texture=u(0.03, 0.11),
            thinned=max(0.0, u(-0.1, 0.3)),
            decay=u(0.3, 2.2) if randomise else u(0.6, 1.9),
            streaks=u(0.02, 0.08),
            turbid=max(0.0, u(-0.15, 0.15)),
            padding=(rng.choice((0.0, 1.0)), *(u(-0.15, 0.2, 2) if corner else (0.0, 0.0))),
            waves=tuple(Waves(rng, 0.3, 3.0) for _ in range(8)),
        )
