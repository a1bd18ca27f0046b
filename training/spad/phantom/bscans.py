"""Procedural OCT B-scans of wet AMD with exact ground truth: sample data, tests, benchmarks.

A seed grows one 3-D scene in millimetres. A B-scan is that scene cut at y = 0, a stack is the same
scene cut at many y, so that slices belong together and every size shows the same anatomy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spad.phantom.looks import Look
from spad.phantom.oedema import SwollenScene, greyer
from spad.phantom.readings import Reading, annotate
from spad.phantom.rendering import render
from spad.phantom.scene import Scene
from spad.phantom.serous import SerousScene, clearer

__all__ = ["DISEASES", "PHANTOM_VERSION", "Disease", "Phantom", "bscan", "stack"]

Disease = Literal["wet-amd", "oedema", "serous"]
DISEASES: tuple[Disease, ...] = get_args(Disease)
"""What a phantom's eye may have."""

PHANTOM_VERSION = 1  # part of every seed; another number is another data set
SMALLEST_PX = 32

# What a generator is for: the second half of its key, so that one use cannot shift another's draws.
_SCENE, _LOOK, _SPECKLE, _PERSON, _READING = range(5)


_SCENES: dict[str, tuple[type[Scene], Callable[[Look, np.random.Generator], Look]]] = {
    "wet-amd": (Scene, lambda look, _: look),
    "oedema": (SwollenScene, greyer),
    "serous": (SerousScene, clearer),
}


@dataclass(frozen=True, slots=True)
class Phantom:
    """A phantom image and its truth.

    Attributes
    ----------
    image : uint8, (H, W) or (Z, H, W)
    labels : uint8, the image's shape
        Class values, the index into `CLASS_NAMES`.
    raters : uint8, (R, *shape)
        R simulated readings of the same image; rater r has the same habits in every phantom.
    spacing_mm : (row, column) or (slice, row, column)
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    raters: NDArray[np.uint8]
    spacing_mm: tuple[float, ...]


def bscan(
    seed: int,
    *,
    shape: tuple[int, int] = (256, 384),
    raters: int = 0,
    randomise: bool = False,
    disease: Disease = "wet-amd",
) -> Phantom:
    """Make one B-scan.

    Parameters
    ----------
    seed : int
        0 or more. The same seed and shape give the same bits; other shapes the same anatomy.
    shape : (rows, columns)
        Each at least 32.
    raters : int
        How many readings to make; they change neither image nor labels.
    randomise : bool
        Draw contrasts, speckle, resolution, magnification and padding far more widely than any
        one device shows, for pre-training towards real scans (after SynthSeg, Billot et al.,
        Medical Image Analysis 2023).
    disease : {"wet-amd", "oedema", "serous"}
        Macular oedema shows large grey cysts, exudates and their shadows; serous detachments clear
        SRF and PED over a thick choroid, in three eyes of ten the optic disc, and drusen that are
        outlined as PED; over all of these IS/OS is shown and not outlined.

    Returns
    -------
    Phantom
        With arrays (H, W), and `raters` (R, H, W).

    Raises
    ------
    TypeError
        If seed, shape or raters are not whole numbers.
    ValueError
        If one is too small, or the shape has not two numbers.

    Examples
    --------
    >>> case = bscan(3, shape=(64, 96), raters=2)
    >>> case.image.shape, case.raters.shape
    ((64, 96), (2, 64, 96))
    """
    whole = (1, *_whole("shape", shape, "(rows, columns)", 2))
    one = _make(seed, whole, raters, randomise, disease)
    return Phantom(one.image[0], one.labels[0], one.raters[:, 0], one.spacing_mm[1:])


def stack(
    seed: int,
    *,
    shape: tuple[int, int, int] = (16, 256, 384),
    raters: int = 0,
    randomise: bool = False,
    disease: Disease = "wet-amd",
) -> Phantom:
    """Make a stack of parallel B-scans of one eye; see `bscan`, whose y = 0 is the middle here.

    Parameters
    ----------
    seed, raters, randomise, disease
        As for `bscan`.
    shape : (slices, rows, columns)
        At least one slice of 32 x 32.

    Returns
    -------
    Phantom
        With arrays (Z, H, W), and `raters` (R, Z, H, W).

    Raises
    ------
    TypeError, ValueError
        As for `bscan`.
    """
    whole = _whole("shape", shape, "(slices, rows, columns)", 3)
    return _make(seed, whole, raters, randomise, disease)


def _make(seed: int, shape: tuple[int, ...], raters: int, randomise: bool, disease: str) -> Phantom:
    if disease not in _SCENES:
        raise ValueError(f"disease is {disease!r}; one of {', '.join(_SCENES)} is needed")
    (seed,) = _whole("seed", (seed,), "one number", 1)
    (raters,) = _whole("raters", (raters,), "one number", 1)
    for name, value, least in (
        ("seed", seed, 0),
        ("raters", raters, 0),
        ("slices", shape[0], 1),
        ("rows", shape[1], SMALLEST_PX),
        ("columns", shape[2], SMALLEST_PX),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}, at least {least} is needed: ask for {least}")
    slices, rows, columns = shape
    eye, changed = _SCENES[disease]
    scene = eye(_rng(seed, _SCENE), randomise)
    looks = _rng(seed, _LOOK)
    look = changed(Look.draw(looks, randomise), looks)
    row_mm, column_mm = scene.height_mm / rows, scene.width_mm / columns
    z = (np.arange(rows, dtype=np.float64) + 0.5) * row_mm
    x = (np.arange(columns, dtype=np.float64) + 0.5) * column_mm - scene.width_mm / 2
    image, labels = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    read = np.empty((raters, *shape), np.uint8)
    readings = [
        Reading.draw(_rng(rater, _PERSON), _rng(seed, _READING, rater)) for rater in range(raters)
    ]
    for i in range(slices):
        cut = scene.cut(x, (i - (slices - 1) / 2) * scene.slice_mm)
        image[i], padding = render(cut, z, look, _rng(seed, _SPECKLE, i))
        labels[i] = annotate(cut, z, Reading())
        for one, reading in zip(read, readings, strict=True):
            one[i] = annotate(cut, z, reading)
        labels[i, padding] = read[:, i, padding] = 0
    return Phantom(image, labels, read, (scene.slice_mm, row_mm, column_mm))


def _whole(name: str, values: Sequence[int], what: str, count: int) -> tuple[int, ...]:
    try:
        found = tuple(values)
    except TypeError:
        raise TypeError(f"{name} is {values!r}, {what} is needed: pass a tuple") from None
    for value in found:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} holds {value!r}, only whole numbers will do: pass int(...)")
    if len(found) != count:
        raise ValueError(f"{name} has {len(found)} numbers, {count} are needed: pass {what}")
    return tuple(int(value) for value in found)


def _rng(seed: int, purpose: int, item: int = 0) -> np.random.Generator:
    return np.random.default_rng([PHANTOM_VERSION, seed, purpose, item])
