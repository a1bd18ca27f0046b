"""Label maps of a cut: its truth, and readings of it as people would outline it.

They come from the cut's curves and never from its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spad.phantom.cut import Cut, cyst_distance
from spad.phantom.waves import F64, Waves

__all__ = ["CLASS_NAMES", "IRF", "ISOS", "PED", "SHRM", "SRF", "Reading", "annotate"]

CLASS_NAMES = ("background", "SRF", "IRF", "PED", "SHRM", "IS/OS")
SRF, IRF, PED, SHRM, ISOS = range(1, 6)
LEAST_MM = 0.010  # a lesion thinner than this is nobody's lesion: neither labelled nor counted


@dataclass(frozen=True, slots=True)
class Reading:
    """How one person outlines: the consensus by default, a rater with habits and a hand else."""

    generous_mm: float = 0.0  # every border this far outwards
    overlooks_mm: float = 0.0  # cysts with a smaller mean radius are missed
    isos_factor: float = 1.0  # thickness of the line as drawn
    isos_from: float = 0.5  # the least visibility that is drawn
    hand_mm: float = 0.0  # amplitude of the border's unsteadiness
    hand: tuple[Waves, ...] = ()

    @classmethod
    def draw(cls, habits: np.random.Generator, hand: np.random.Generator) -> Reading:
        """Draw a rater's habits, from a generator of the rater, and the hand, from the image's."""
        person = cls(
            generous_mm=float(habits.normal(0, 0.006)), overlooks_mm=habits.uniform(0, 0.04),
            isos_factor=habits.lognormal(0, 0.22), isos_from=habits.uniform(0.3, 0.7),
            hand_mm=habits.uniform(0.003, 0.007),
        )  # fmt: skip
        waves = tuple(Waves(hand, 0.12, 1.2) for _ in range(5))
        return replace(person, hand=waves, generous_mm=person.generous_mm + hand.normal(0, 0.002))


def annotate(cut: Cut, z: F64, reading: Reading) -> NDArray[np.uint8]:
    """Return the label map (H, W) of one reading of a cut, rows at depths z (H,) in mm."""
    depth, more = z[:, None], reading.generous_mm
    hand = np.zeros((5, len(cut.x)))
    for i, wave in enumerate(reading.hand):
        hand[i] = reading.hand_mm * wave(cut.x, cut.y)
    # A generous reader also follows a lesion further into its thin rim.
    least = max(LEAST_MM - more, 0.004)
    labels = np.zeros((len(z), len(cut.x)), np.uint8)

    def fill(value: int, top: F64, bottom: F64, tall: F64, unsteady: F64) -> None:
        # Nobody sees a lesion where there is nothing at all, however unsteady the hand.
        here = (tall > LEAST_MM / 4) & (tall + unsteady / 2 > least)
        inside = (depth >= top - more + unsteady) & (depth < bottom + more / 2) & here
        labels[inside] = value

    fill(PED, cut.rpe, cut.bruch, cut.ped, hand[0])
    fill(SHRM, cut.srf, cut.shrm, cut.shrm - cut.srf, hand[1])
    fill(SRF, cut.retina, cut.srf + hand[3] / 2, cut.srf - cut.retina, hand[2])
    middle = (cut.isos_top + cut.isos) / 2 + hand[3] / 4
    # Never thinner than a row, or the line would break up in small images.
    half = np.maximum((cut.isos - cut.isos_top) * reading.isos_factor, z[1] - z[0]) / 2
    line = (depth >= middle - half) & (depth < middle + half) & (cut.drawn > reading.isos_from)
    labels[line] = ISOS
    inside = cyst_distance(cut, z, reading.overlooks_mm) + more + hand[4] / 2 > 0
    labels[inside & (depth > cut.rnfl) & (depth < cut.elm)] = IRF
    return labels
