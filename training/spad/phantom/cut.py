"""A scene in one slice: curves in mm, of which both the image and the label maps are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spad.phantom.waves import F64

__all__ = ["Cut", "cyst_distance"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The scene in one slice: depths in mm from the image's top, one per column, top to bottom.

    `blobs` are the rows (x, z, rx, rz, amount, softness) that only the image shows; `cysts` the
    rows (x, z, rx, rz, phase); `seen` is the IS/OS line's visibility in 0..1, `drawn` what
    of it a reader outlines.
    """

    x: F64
    y: float
    ilm: F64
    rnfl: F64  # each name from here to opl: the layer's lower border
    gcl: F64
    inl: F64
    opl: F64
    elm: F64
    isos_top: F64
    isos: F64
    retina: F64  # tips of the outer segments; SRF below
    srf: F64  # lower border of SRF; SHRM below
    shrm: F64  # lower border of SHRM; the RPE below
    rpe: F64  # lower border of the RPE; PED below
    bruch: F64
    choroid: F64
    hyaloid: F64
    ped: F64  # height of labelled RPE domes, drusen not counted
    seen: F64
    drawn: F64
    worn: F64  # 0..1: RPE lost, light falls through
    shadow: F64  # of retinal vessels, 0..1
    cysts: F64
    blobs: F64


def cyst_distance(cut: Cut, z: F64, overlooks_mm: float = 0.0) -> F64:
    """Return about how deep (H, W), in mm, each pixel lies inside a cyst; negative outside."""
    distance = np.full((len(z), len(cut.x)), -1.0)
    margin = 0.05
    for x, depth, rx, rz, phase in cut.cysts:
        if min(rx, rz) < 0.006 or (rx + rz) / 2 < overlooks_mm:
            continue
        c = slice(*np.searchsorted(cut.x, (x - rx - margin, x + rx + margin)))
        r = slice(*np.searchsorted(z, (depth - rz - margin, depth + rz + margin)))
        u, v = (cut.x[c] - x)[None] / rx, (z[r, None] - depth) / rz
        u, v = u + 0.18 * np.sin(2.2 * v + phase), v + 0.18 * np.sin(2.2 * u + 2 * phase)
        inside = (1 - np.sqrt(u**2 + v**2)) * min(rx, rz)
        distance[r, c] = np.maximum(distance[r, c], inside)
    return distance
