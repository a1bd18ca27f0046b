"""From the curves of a cut to an image: how an OCT device would show a phantom.

Reflectivity is kept on the display's logarithmic scale (0 black, 1 white), built layer by layer,
dimmed by shadows and depth, turned into power, multiplied by speckle, added to the device's noise
and compressed again. Speckle and noise therefore behave as in a real B-scan: the grain is the same
in every bright tissue, and the vitreous is a floor of noise cut off at black.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.phantom.cut import Cut, cyst_distance
from spad.phantom.looks import Look
from spad.phantom.waves import F64

__all__ = ["render"]

F32 = NDArray[np.float32]
Step = Callable[[F64, F64 | float], F32]
"""A border's curve (W,) and its width, in mm, to a ramp 0..1 (H, W) across it."""


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
    depth = z.astype(np.float32)[:, None]
    row_mm = float(z[1] - z[0])
    wave = [one(cut.x, cut.y) for one in look.waves]

    def step(curve: F64, width: F64 | float) -> F32:
        """Return a ramp 0..1 across the curve, at least a pixel wide."""
        width = np.maximum(width, 1.2 * row_mm).astype(np.float32)
        ramp = depth - curve.astype(np.float32)
        ramp /= width
        ramp += np.float32(0.5)
        return np.clip(ramp, 0, 1, out=ramp)

    above: F64 | float = look.tissue["vitreous"]
    signal = np.full((len(z), len(cut.x)), above, np.float32)
    ramps: dict[str, F32] = {}
    for name, border, level, width in _layers(cut, look, wave):
        ramps[name] = step(border, width)
        signal += ramps[name] * np.asarray(level - above, np.float32)
        above = level
    _add_texture(signal, (row_mm, float(cut.x[1] - cut.x[0])), ramps, look.texture, rng)
    if look.turbid:
        cloud = np.clip(1 - (cut.srf - depth) / 0.06, 0, 1) * (ramps["srf"] - ramps["shrm"])
        signal += (np.float32(look.turbid) * cloud).astype(np.float32)
    _add_cysts(signal, cut, z, look)
    for blob in cut.blobs:
        _add_blob(signal, cut.x, z, blob)
    glow = step(cut.hyaloid - 0.004, 0.008) - step(cut.hyaloid + 0.004, 0.008)
    signal += glow * np.float32(0.2)
    inner = step(cut.ilm + 0.08, 0.1)
    shade = cut.shadow + 0.02 * wave[1]
    signal -= inner * shade.astype(np.float32)
    signal += _below_rpe(cut, depth, step, look, rng)
    return signal


def _layers(
    cut: Cut, look: Look, wave: Sequence[F64]
) -> list[tuple[str, F64, F64 | float, F64 | float]]:
    """Layers from the top: name, upper border, reflectivity, the border's width in mm."""
    tissue = look.tissue
    isos = tissue["myoid"] + cut.seen * (tissue["isos"] - tissue["myoid"])
    tips = tissue["onl"] + (0.3 + 0.7 * cut.seen) * (tissue["tips"] - tissue["onl"])
    elm = tissue["onl"] + np.clip(2 * cut.seen, 0, 1) * (tissue["elm"] - tissue["onl"])
    rpe = tissue["rpe"] - 0.25 * cut.worn + 0.03 * wave[0]
    rpe -= look.thinned * np.clip(cut.ped / 0.1, 0, 1)
    # A druse is as grey as the RPE's surroundings even in an eye whose PED is clear.
    content = 0.48 + np.clip(cut.ped / 0.03, 0, 1) * (tissue["ped"] - 0.48)
    soft = 0.006 + look.fuzz_mm * np.clip((cut.shrm - cut.srf) / 0.05, 0, 1)
    return [
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


def _add_texture(
    signal: F32,
    pitch_mm: tuple[float, float],
    ramps: Mapping[str, F32],
    strength: float,
    rng: np.random.Generator,
) -> None:
    """Add the tissue's grain in place, coarse and fine, coarsest in SHRM and PED."""
    coarse = _coarse_noise(rng, signal.shape, (0.013 / pitch_mm[0], 0.1 / pitch_mm[1]))
    fine = _coarse_noise(rng, signal.shape, (0.008 / pitch_mm[0], 0.035 / pitch_mm[1]))
    solid = ramps["shrm"] - ramps["rpe"] + (ramps["ped"] - ramps["bruch"])
    signal += coarse * (np.float32(0.012) + np.float32(strength) * solid)
    signal += fine * np.float32(0.02)


def _below_rpe(cut: Cut, depth: F32, step: Step, look: Look, rng: np.random.Generator) -> F32:
    """Decay, streaks, the shade of what lies above, light where the RPE is worn: (H, W) to add."""
    streaks = ndimage.gaussian_filter1d(rng.standard_normal(len(cut.x)), 1.5) * 2 * look.streaks
    shade = 0.5 * (cut.shrm - cut.srf) + 0.35 * cut.ped
    lit = 0.16 * cut.worn + streaks * (0.4 + np.clip(cut.worn + 5 * cut.ped, 0, 0.6)) - shade
    outer = step(cut.rpe + 0.02, 0.05)
    outer *= lit.astype(np.float32)
    outer -= np.float32(look.decay) * np.clip(depth - cut.bruch.astype(np.float32), 0, None)
    return outer


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
