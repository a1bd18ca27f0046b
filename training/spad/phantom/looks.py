"""From the curves of a cut to an image: how an OCT device would show a phantom.

Reflectivity is kept on the display's logarithmic scale (0 black, 1 white), built layer by layer,
dimmed by shadows and depth, turned into power, multiplied by speckle, added to the device's noise
and compressed again. Speckle and noise therefore behave as in a real B-scan: the grain is the same
in every bright tissue, and the vitreous is a floor of noise cut off at black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# Typical log reflectivity on the display, vitreous to sclera, and how much it varies between eyes.
TISSUES = {
    "vitreous": (0.02, 0.02), "rnfl": (0.60, 0.06), "gcl": (0.45, 0.04), "inl": (0.33, 0.03),
    "opl": (0.44, 0.04), "onl": (0.24, 0.04), "elm": (0.37, 0.04), "myoid": (0.31, 0.03),
    "isos": (0.68, 0.06), "tips": (0.52, 0.05), "srf": (0.10, 0.05), "shrm": (0.60, 0.08),
    "rpe": (0.84, 0.05), "ped": (0.34, 0.13), "bruch": (0.50, 0.12), "choroid": (0.50, 0.06),
    "sclera": (0.44, 0.06), "irf": (0.11, 0.06),
}  # fmt: skip


class Waves:
    """A smooth random function of x and y (mm) with mean 0 and variance 1.

    A sum of sines: unlike filtered noise it can be asked at any point, in any slice, at any size.
    """

    def __init__(
        self, rng: np.random.Generator, shortest_mm: float, longest_mm: float, terms: int = 7
    ) -> None:
        wave = 2 * np.pi / np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), terms))
        angle = rng.uniform(-1.0, 1.0, terms)  # within 60 degrees of x: each slice sees variation
        self.kx, self.ky = wave * np.cos(angle), wave * np.sin(angle)
        self.phase = rng.uniform(0, 2 * np.pi, terms)

    def __call__(self, x: F64, y: float) -> F64:
        """Evaluate at columns x (W,) of the slice at y."""
        angle = np.multiply.outer(self.kx, x) + (self.ky * y + self.phase)[:, None]
        return np.asarray(np.sin(angle).sum(axis=0) * np.sqrt(2 / len(self.kx)))


@dataclass(frozen=True, slots=True)
class Cut:
    """The scene in one slice: depths in mm from the image's top, one per column, top to bottom.

    `blobs` are the rows (x, z, rx, rz, amount, softness) that only the image shows; `cysts` the
    rows (x, z, rx, rz, phase); `seen` is the IS/OS line's visibility in 0..1.
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
    worn: F64  # 0..1: RPE lost, light falls through
    shadow: F64  # of retinal vessels, 0..1
    cysts: F64
    blobs: F64


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


def render(
    cut: Cut, z: F64, look: Look, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Render a cut.

    Parameters
    ----------
    cut : Cut
        Curves over columns (W,).
    z : (H,)
        Depth of the rows, mm, evenly spaced.
    look : Look
    rng : np.random.Generator
        For speckle, noise and texture.

    Returns
    -------
    image : uint8, (H, W)
    padding : bool, (H, W)
        Where the image shows no tissue but the device's padding.
    """
    signal = _reflectivity(cut, z, look, rng)
    row_mm, column_mm = z[1] - z[0], cut.x[1] - cut.x[0]
    shape = signal.shape
    power = np.exp(signal / np.float32(look.contrast))
    sigma = [min(look.grain_mm[0] / row_mm, 4.0), min(look.grain_mm[1] / column_mm, 4.0)]
    power *= _gamma_field(_smooth_noise(rng, shape, sigma), look.looks)
    noise = _gamma_field(rng.standard_normal(shape, np.float32), look.noise_looks)
    power += np.float32(np.exp(look.floor / look.contrast)) * noise
    shown = np.log(power) * np.float32(look.contrast) - np.float32(look.black)
    if look.blur_px > 0.2:
        shown = ndimage.gaussian_filter(shown, look.blur_px, truncate=2.5)
    np.clip(shown * np.float32(look.gain), 0, 1, out=shown)
    shown **= np.float32(look.gamma)
    level, left, right = look.padding
    edge = np.linspace(left, right, shape[1])
    at = np.linspace(0, 1, shape[0])[:, None]
    # Registration turns and moves the frame: a wedge above (positive) or below (negative) is empty.
    padding = np.where(left + right > 0, at < edge, at > 1 + edge)
    shown[padding] = level
    return np.rint(shown * 255).astype(np.uint8), padding


def _reflectivity(cut: Cut, z: F64, look: Look, rng: np.random.Generator) -> F32:
    """Return mean log reflectivity (H, W): layers, lesions, blobs, shadows."""
    x, y, tissue = cut.x, cut.y, look.tissue
    depth = z.astype(np.float32)[:, None]
    row_mm = float(z[1] - z[0])
    fuzz = look.fuzz_mm
    wave = [one(x, y) for one in look.waves]

    def step(curve: F64, width: F64 | float) -> F32:
        """Return a ramp 0..1 across the curve, at least a pixel wide."""
        width = np.maximum(width, 1.2 * row_mm).astype(np.float32)
        ramp = depth - curve.astype(np.float32)
        ramp /= width
        ramp += np.float32(0.5)
        return np.clip(ramp, 0, 1, out=ramp)

    isos = tissue["myoid"] + cut.seen * (tissue["isos"] - tissue["myoid"])
    tips = tissue["onl"] + (0.3 + 0.7 * cut.seen) * (tissue["tips"] - tissue["onl"])
    elm = tissue["onl"] + np.clip(2 * cut.seen, 0, 1) * (tissue["elm"] - tissue["onl"])
    rpe = tissue["rpe"] - 0.25 * cut.worn + 0.03 * wave[0]
    rpe -= look.thinned * np.clip(cut.ped / 0.1, 0, 1)
    # A druse is as grey as the RPE's surroundings even in an eye whose PED is clear.
    content = 0.48 + np.clip(cut.ped / 0.03, 0, 1) * (tissue["ped"] - 0.48)
    soft = 0.006 + fuzz * np.clip((cut.shrm - cut.srf) / 0.05, 0, 1)
    # From the top: a layer, its upper border, its reflectivity, the border's width in mm.
    layers: list[tuple[str, F64, F64 | float, F64 | float]] = [
        ("rnfl", cut.ilm, tissue["rnfl"] + 0.06 * wave[1], 0.006),
        ("gcl", cut.rnfl, tissue["gcl"] + 0.02 * wave[2], 0.012),
        ("inl", cut.gcl, tissue["inl"] + 0.02 * wave[3], 0.012),
        ("opl", cut.inl, tissue["opl"] + 0.02 * wave[3], 0.010),
        ("onl", cut.opl, tissue["onl"] + 0.04 * wave[4], 0.016),
        ("elm", cut.elm - 0.004, elm, 0.006),
        ("myoid", cut.elm + 0.004, tissue["myoid"] + 0.02 * wave[4], 0.006),
        ("isos", cut.isos_top, isos + 0.04 * wave[5], 0.006),
        ("tips", cut.isos, tips, 0.008),
        ("srf", cut.retina, tissue["srf"] + 0.02 * wave[6], 0.006),
        ("shrm", cut.srf, tissue["shrm"] + 0.05 * wave[6], soft),
        ("rpe", cut.shrm, rpe, 0.006 + soft / 3),
        ("ped", cut.rpe, content + 0.06 * wave[7], 0.008),
        ("bruch", cut.bruch - 0.004, tissue["bruch"], 0.008),
        ("choroid", cut.bruch + 0.004, tissue["choroid"] + 0.03 * wave[0], 0.008),
        ("sclera", cut.choroid, tissue["sclera"], 0.05),
    ]
    ramps: dict[str, F32] = {}
    signal = np.full((len(z), len(x)), tissue["vitreous"], np.float32)
    above: F64 | float = tissue["vitreous"]
    for name, border, level, width in layers:
        ramps[name] = step(border, width)
        signal += ramps[name] * np.asarray(level - above, np.float32)
        above = level
    pitch_mm = (row_mm, float(x[1] - x[0]))
    coarse = _coarse_noise(rng, signal.shape, (0.013 / pitch_mm[0], 0.1 / pitch_mm[1]))
    fine = _coarse_noise(rng, signal.shape, (0.008 / pitch_mm[0], 0.035 / pitch_mm[1]))
    solid = ramps["shrm"] - ramps["rpe"] + (ramps["ped"] - ramps["bruch"])
    signal += coarse * (np.float32(0.012) + np.float32(look.texture) * solid)
    signal += fine * np.float32(0.02)
    if look.turbid:
        cloud = np.clip(1 - (cut.srf - depth) / 0.06, 0, 1) * (ramps["srf"] - ramps["shrm"])
        signal += (np.float32(look.turbid) * cloud).astype(np.float32)

    _add_cysts(signal, cut, z, look)
    for blob in cut.blobs:
        _add_blob(signal, x, z, blob)
    glow = step(cut.hyaloid - 0.004, 0.008) - step(cut.hyaloid + 0.004, 0.008)
    signal += glow * np.float32(0.2)
    inner = step(cut.ilm + 0.08, 0.1)
    shade = cut.shadow + 0.02 * wave[1]
    signal -= inner * shade.astype(np.float32)

    # Below the RPE: decay, streaks, the shade of what lies above, light where the RPE is worn.
    streaks = ndimage.gaussian_filter1d(rng.standard_normal(len(x)), 1.5) * 2 * look.streaks
    shade = 0.5 * (cut.shrm - cut.srf) + 0.35 * cut.ped
    lit = 0.16 * cut.worn + streaks * (0.4 + np.clip(cut.worn + 5 * cut.ped, 0, 0.6)) - shade
    outer = step(cut.rpe + 0.02, 0.05)
    outer *= lit.astype(np.float32)
    outer -= np.float32(look.decay) * np.clip(depth - cut.bruch.astype(np.float32), 0, None)
    signal += outer
    return signal


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


def _add_cysts(signal: F32, cut: Cut, z: F64, look: Look) -> None:
    """Darken the cysts in place, with borders half as fuzzy as those of other lesions."""
    if not len(cut.cysts):
        return
    distance = cyst_distance(cut, z)
    rows = np.flatnonzero((distance > -0.04).any(axis=1))
    if not len(rows):
        return
    r = slice(rows[0], rows[-1] + 1)
    depth = z[r, None]
    width = max(0.5 * look.fuzz_mm, z[1] - z[0])
    inside = np.clip(distance[r] / width + 0.5, 0, 1) * ((depth > cut.rnfl) & (depth < cut.elm))
    signal[r] += inside.astype(np.float32) * (np.float32(look.tissue["irf"]) - signal[r])


def _add_blob(signal: F32, x: F64, z: F64, blob: F64) -> None:
    """Add an ellipse (x, z, rx, rz, amount, softness), in mm and display units, in place."""
    at, depth, rx, rz, amount, softness = blob
    c = slice(*np.searchsorted(x, (at - rx, at + rx)))
    r = slice(*np.searchsorted(z, (depth - rz, depth + rz)))
    if c.start == c.stop or r.start == r.stop:
        return
    u, v = (x[c] - at) / rx, (z[r] - depth) / rz
    inside = 1 - (u * u)[None].astype(np.float32) - (v * v)[:, None].astype(np.float32)
    signal[r, c] += np.float32(amount) * np.clip(inside / np.float32(softness), 0, 1)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: list[float]) -> F32:
    """Return Gaussian noise (H, W) of variance 1, correlated over `sigma` pixels."""
    white = rng.standard_normal(shape, np.float32)
    noise: F32 = ndimage.gaussian_filter(white, sigma, truncate=2.5)
    noise /= noise.std()
    return noise


def _coarse_noise(
    rng: np.random.Generator, shape: tuple[int, ...], steps: tuple[float, float]
) -> F32:
    """Return smooth noise (H, W) of about unit variance with a grain of `steps` pixels."""
    grids = [
        np.arange(n, dtype=np.float32) / max(step, 1) for n, step in zip(shape, steps, strict=True)
    ]
    small = rng.standard_normal([int(grid[-1]) + 2 for grid in grids], np.float32)
    for axis, grid in enumerate(grids):  # linear interpolation, one axis after the other
        i = grid.astype(np.intp)
        f = (grid - i.astype(np.float32)).reshape((-1, 1) if axis == 0 else (1, -1))
        small = np.take(small, i, axis) * (1 - f) + np.take(small, i + 1, axis) * f
    return small * np.float32(1.5)


def _gamma_field(gauss: F32, shape: float) -> F32:
    """Turn Gaussian noise into gamma noise of mean 1 and variance 1/shape (Wilson-Hilferty).

    Speckle averaged over `shape` frames is gamma distributed; this keeps the grain's correlation.
    """
    gauss = gauss * np.float32(1 / (3 * np.sqrt(shape))) + np.float32(1 - 1 / (9 * shape))
    return np.maximum(gauss, np.float32(0.05)) ** 3
