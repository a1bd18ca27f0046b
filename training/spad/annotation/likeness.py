"""Is an image like those that a model was trained on? What differs is said in words, with numbers.

A model answers to any picture. A chest radiograph, a negative or a B-scan on its side gets label
maps too, and their uncertainty may be low. So the card keeps, of a bounded number of training
images, the range of a few plain measures (`summary`), and `reasons` tells which of an image's are
far outside. It warns and never refuses: a new device can be unlike and still be segmented well.
The slack beyond the ranges was chosen on validation images (``benchmarks/likeness.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import luminance
from spad.checkpoint import Card, InputConfig

__all__ = ["LIMIT", "across", "measures", "reasons", "summary"]

LIMIT = 128
"""Training images that a card's ranges are taken from, at most."""
_PERCENTILES = (1, 50, 99)
_DIGITS = 4  # of the ranges in a card
_ROUNDED = 10.0**-_DIGITS
_SLACK = 0.5
"""How far beyond the 1st and 99th percentile an image may lie, in their distances from the median.
"""
_SIDE = 1024  # longer sides are thinned: a radiograph has 10 million pixels


@dataclass(frozen=True)
class _Measure:
    """How much a measure may always differ, and what is said where it is below or above."""

    least: float
    below: str
    above: str
    shown: str = "{:z.2f}"  # no -0.00
    in_log: bool = False

    def words(self, value: float, low: float, high: float) -> str:
        """Say by how much a value is outside its range."""
        numbers = [math.exp(v) if self.in_log else v for v in (value, low, high)]
        at, least, most = (self._number(v) for v in numbers)
        text = self.below if value < low else self.above
        return text.format(at=at, range=least if least == most else f"{least} to {most}")

    def _number(self, value: float) -> str:
        text = self.shown.format(value)
        return f"{value:.1g}" if self.in_log and not float(text) else text  # 0.03, not 0.0


# Causes before what follows from them: they are said in this order.
_MEASURES: Mapping[str, _Measure] = {
    "white": _Measure(
        0.1,
        "{at} of its pixels are pure white; in the training images {range}",
        "{at} of its pixels are pure white (saturated, or a border); in the training images "
        "{range}",
        "{:.0%}",
    ),
    "black": _Measure(
        0.2,
        "{at} of its pixels are pure black; in the training images {range}",
        "{at} of its pixels are pure black (padding?); in the training images {range}",
        "{:.0%}",
    ),
    "aspect": _Measure(
        math.log(1.5),
        "it is narrow: {at} times as wide as high; the training images: {range}",
        "it is wide: {at} times as wide as high; the training images: {range}",
        "{:.1f}",
        in_log=True,
    ),
    "height": _Measure(
        math.log(2),
        "it is {at} pixels high; the training images: {range}",
        "it is {at} pixels high; the training images: {range}",
        "{:.0f}",
        in_log=True,
    ),
    "width": _Measure(
        math.log(2),
        "it is {at} pixels wide; the training images: {range}",
        "it is {at} pixels wide; the training images: {range}",
        "{:.0f}",
        in_log=True,
    ),
    "row_mm": _Measure(
        math.log(2),
        "its rows are {at} mm apart; in the training images {range}",
        "its rows are {at} mm apart; in the training images {range}",
        "{:.4f}",
        in_log=True,
    ),
    "column_mm": _Measure(
        math.log(2),
        "its columns are {at} mm apart; in the training images {range}",
        "its columns are {at} mm apart; in the training images {range}",
        "{:.4f}",
        in_log=True,
    ),
    "across": _Measure(
        0.25,
        "its layers do not run across the image: rows differ {at} times as much as columns, in the "
        "training images {range} (is it turned on its side?)",
        "its rows differ {at} times as much as its columns; in the training images {range}",
        "{:.1f}",
        in_log=True,
    ),
    "mean": _Measure(
        0.1,
        "it is darker: mean {at} between black -1 and white 1; the training images: {range}",
        "it is brighter: mean {at} between black -1 and white 1; the training images: {range}",
    ),
    "contrast": _Measure(
        0.1,
        "its contrast is low: standard deviation {at}; the training images: {range}",
        "its contrast is high: standard deviation {at}; the training images: {range}",
    ),
    "skew": _Measure(
        0.5,
        "its greys lean to the bright side: skewness {at}; the training images: {range}",
        "its greys lean to the dark side: skewness {at}; the training images: {range}",
    ),
    "rough_across": _Measure(
        0.25,
        "it is smooth along its rows: neighbours differ by {at} of the contrast; in the training "
        "images {range}",
        "it is grainy along its rows: neighbours differ by {at} of the contrast; in the training "
        "images {range}",
        in_log=True,
    ),
    "rough_down": _Measure(
        0.25,
        "it is smooth down its columns: neighbours differ by {at} of the contrast; in the training "
        "images {range}",
        "it is grainy down its columns: neighbours differ by {at} of the contrast; in the training "
        "images {range}",
        in_log=True,
    ),
}
_COLOURED = 0.01
"""Share of pixels with colours from which it is said: a model is trained on greys."""


def across(grey: NDArray[Any]) -> float:
    """How much more rows differ from each other than columns do: log of a ratio.

    The layers of a retina run across a B-scan, so that its rows differ: above 0; on its
    side, below.

    Parameters
    ----------
    grey : array of float, shape (H, W)
    """
    x = np.asarray(grey, dtype=np.float64)
    rows, columns = _few(x.mean(1)).var(), _few(x.mean(0)).var()
    floor = 1e-4 * max(float(x.var()), 1e-12)
    return 0.5 * math.log((rows + floor) / (columns + floor))


def _few(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of at most 64 stretches of a profile, so that a long side counts as a short one."""
    edges = np.linspace(0, len(profile), min(64, len(profile)) + 1).astype(int)
    return np.asarray(np.add.reduceat(profile, edges[:-1]) / np.diff(edges))


def measures(
    image: NDArray[Any],
    config: InputConfig,
    spacing_mm: Sequence[float] | None = None,
    *,
    inverted: bool = False,
) -> dict[str, float]:
    """Measure an image.

    Parameters
    ----------
    image : array of any real dtype, shape (H, W) or (H, W, 3)
    config : InputConfig
        Of the model: greys are measured after its normalisation, as the network sees them.
    spacing_mm : (row, column), optional
    inverted : bool
        The image shows high values dark.

    Returns
    -------
    dict of float
        Lengths and ratios are logarithms.
    """
    from spad.inference import normalise  # with torch, which `across` can do without

    height, width = image.shape[:2]
    found = {
        "aspect": math.log(width / height),
        "height": math.log(height),
        "width": math.log(width),
    }
    if spacing_mm is not None:
        row, column = spacing_mm[-2:]
        found |= {"row_mm": math.log(row), "column_mm": math.log(column)}
    thin = image[:: -(-height // _SIDE), :: -(-width // _SIDE)]
    found["coloured"] = 0.0
    if thin.ndim == 3:
        spread = np.ptp(thin[..., :3].astype(np.float32), axis=-1)
        full = float(np.ptp(thin[..., :3])) or 1.0
        found["coloured"] = float((spread > full / 8).mean())
        thin = luminance(thin)
    x = normalise(thin, config, inverted=inverted)
    sd = float(x.std())
    if sd == 0:
        return found | {"contrast": 0.0}
    mean = float(x.mean())
    down, along = (np.diff(x, axis=axis) for axis in (0, 1))
    rough = [math.sqrt(float((d**2).mean())) / sd if d.size else 1.0 for d in (along, down)]
    return found | {
        "mean": mean,
        "contrast": sd,
        "skew": float(((x - mean) ** 3).mean()) / sd**3,
        "white": float((x >= 1).mean()),
        "black": float((x <= -1).mean()),
        "across": across(x),
        "rough_across": math.log(max(rough[0], 1e-3)),
        "rough_down": math.log(max(rough[1], 1e-3)),
    }


def summary(measured: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Ranges for a card's ``input.statistics["measures"]``: percentiles 1, 50, 99 of each measure.

    A measure that some of the images lack (spacing) is left out.
    """
    every = list(measured)
    common = [name for name in _MEASURES if every and all(name in one for one in every)]
    return {
        name: np.percentile([one[name] for one in every], _PERCENTILES).round(_DIGITS).tolist()
        for name in common
    }


def reasons(
    card: Card,
    image: NDArray[Any],
    spacing_mm: Sequence[float] | None = None,
    *,
    inverted: bool = False,
) -> dict[str, str]:
    """Say why an image is unlike those that a model was trained on.

    Parameters
    ----------
    card : Card
        One without ``statistics["measures"]``, of an older SPAD, knows sizes only.
    image : array of any real dtype, shape (H, W) or (H, W, 3)
    spacing_mm : (row, column), optional
    inverted : bool
        The image shows high values dark.

    Returns
    -------
    dict of str to str
        Nothing where the image is like them; else clauses, to follow “this image is unlike the
        training images:”, by what they are about. So a host says of a stack once what holds for
        all of its B-scans.
    """
    found = measures(image, card.input, spacing_mm, inverted=inverted)
    if found["contrast"] == 0:
        return {"contrast": "all its pixels have one value, so there is nothing to segment"}
    ranges = _ranges(card.input.statistics)
    out = {
        name: (found[name], *ranges[name])
        for name in _MEASURES
        if name in ranges and name in found and not _within(name, found[name], ranges[name])
    }
    said = {}
    bright = "mean" in out and found["mean"] > ranges["mean"][1]
    if bright and "white" not in out:  # else a white border may be all there is to it
        said["negative"] = (
            "it is bright where the training images are dark, as a negative or another kind of "
            f"image would be (mean {found['mean']:z.2f} between black -1 and white 1; theirs "
            f"{ranges['mean'][0]:z.2f} to {ranges['mean'][2]:z.2f})"
        )
        out.pop("mean")
        out.pop("skew", None)
    if "aspect" in out:  # says it all
        out.pop("height", None)
        out.pop("width", None)
    if "rough_across" in out:  # smooth or grainy in both directions, as a rule
        out.pop("rough_down", None)
    if found["coloured"] > _COLOURED:
        said["coloured"] = (
            f"it has colours in {found['coloured']:.0%} of its pixels (drawn lines?), which the "
            "model sees as greys"
        )
    return said | {
        name: _MEASURES[name].words(at, low, high) for name, (at, low, _, high) in out.items()
    }


def _within(name: str, value: float, range_: Sequence[float]) -> bool:
    low, middle, high = range_
    least = _MEASURES[name].least + _ROUNDED  # at the limit is not beyond it
    return (
        low - max(least, _SLACK * (middle - low))
        <= value
        <= high + max(least, _SLACK * (high - middle))
    )


def _ranges(statistics: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Ranges that a card knows; a card may come from anywhere, so what is no range is left out."""
    known: dict[str, Any] = {}
    for name in ("height", "width"):  # as cards have had them from the first
        sides: Any = statistics.get(f"{name}s")
        if _is_range(sides) and sides[0] > 0:
            known[name] = [math.log(side) for side in sides]
    given = statistics.get("measures")
    if isinstance(given, Mapping):
        known |= {name: given[name] for name in _MEASURES if name in given}
    return {name: tuple(range_) for name, range_ in known.items() if _is_range(range_)}


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, (int, float)) and abs(v) < 1e6 for v in value)
        and value == sorted(value)
    )
