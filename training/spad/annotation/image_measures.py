"""A few plain measures of an image: its size, spacing, greys and grain, and how its layers run.

They tell an image that a model was made for from one that it was not
(:mod:`spad.annotation.likeness`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import InputConfig

__all__ = ["across", "measures"]

_SIDE = 1024  # longer sides are thinned: a radiograph has 10 million pixels


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
    from spad.inference import luminance, normalise  # with torch, which `across` can do without

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
