"""What the panel “En face” shows: maps seen from above, the fundus, a B-scan flattened.

No Qt in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import without_empty

__all__ = ["STATES", "colour_bar", "flattened", "fundus_of", "greys", "under_review", "with_values"]

STATES = {
    "accepted": (86, 180, 233), "edited": (204, 121, 167), "seen": (200, 200, 200),
    "skipped": (200, 200, 200), "not seen": (90, 90, 90),
}  # fmt: skip
"""Colours of what became of a B-scan, those of the strip in the tab Review."""


def greys(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A projection as colours, (B-scans, columns, 3)."""
    low, high = np.percentile(values, (1, 99))
    scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, -1)


def fundus_of(image: Any) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]] | None:
    """The fundus' picture in greys (H, W), and each B-scan's line on it; None without one."""
    try:
        told = image.metadata["fundus"]
        pixels = np.asarray(told["pixels"], np.uint8)
        scans = [np.asarray(one, float).reshape(-1, 2) for one in told["scans"]]
    except (KeyError, TypeError, ValueError):
        return None
    if pixels.ndim != 2 or not pixels.size or not scans:
        return None
    return pixels, scans


def with_values(
    ground: NDArray[np.uint8], values: NDArray[np.floating], top: float
) -> NDArray[np.uint8]:
    """Colours over a projection where a map is above 0.

    Parameters
    ----------
    ground : array of uint8, shape (B-scans, columns, 3)
    values : array of float, shape (B-scans, columns)
        NaN and 0 leave the ground as it is.
    top : float
        The value of the brightest colour.
    """
    there = np.nan_to_num(values) > 0
    level = np.clip(values[there] / (top or 1), 0, 1)
    out = (ground * 0.6).astype(np.uint8)
    out[there] = _scale()[(level * 255).astype(int)]
    return out


def under_review(
    ground: NDArray[np.uint8], states: Mapping[int, str], errors: Mapping[int, float]
) -> NDArray[np.uint8]:
    """Each B-scan in the colour of what became of it; one not accepted glows with its error.

    Parameters
    ----------
    ground : array of uint8, shape (B-scans, columns, 3)
    states : mapping of B-scan to state
    errors : mapping of B-scan to expected error, 0 to 1
    """
    out = (ground * 0.6).astype(np.float64)
    worst = max(errors.values(), default=0) or 1
    edge = max(2, ground.shape[1] // 24)
    for z, state in states.items():
        colour = np.array(STATES.get(state, STATES["not seen"]))
        out[z, :edge] = out[z, -edge:] = colour
        if state == "accepted":
            out[z] = out[z] * 0.6 + colour * 0.4
        elif z in errors:
            share = 0.6 * errors[z] / worst
            out[z, edge:-edge] = out[z, edge:-edge] * (1 - share) + np.array((230, 159, 0)) * share
    return out.astype(np.uint8)


def flattened(
    image: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    colours: Mapping[int, tuple[int, int, int]],
    line: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.uint8], int] | None:
    """A B-scan whose columns are moved so that a line under the retina is straight.

    Parameters
    ----------
    image : array of real, shape (H, W)
    labels : array of int, shape (H, W)
        Class values, drawn as outlines.
    colours : mapping of class value to RGB
    line : array of float, shape (W,), optional
        Rows of the line, such as a vendor's; NaN where it is not known. Otherwise a smooth curve
        along the lower edge of what is labelled.

    Returns
    -------
    array of uint8, shape (H, W, 3), and the row where the line lies
        None where there is no line.
    """
    line = _smooth(_lower_edge(labels != 0) if line is None else line)
    if line is None:
        return None
    image = without_empty(image)
    height, width = image.shape
    level = round(float(np.median(line)))
    rows = np.arange(height)[:, None] + np.round(line).astype(int) - level
    inside = (rows >= 0) & (rows < height)
    place = np.clip(rows, 0, height - 1), np.broadcast_to(np.arange(width), rows.shape)
    low, high = np.percentile(image, (1, 99.5))
    grey = np.clip((image[place] - low) / max(float(high - low), 1e-9), 0, 1) * 255
    out = np.repeat(np.where(inside, grey, 0).astype(np.uint8)[..., None], 3, -1)
    moved = np.where(inside, labels[place], 0)
    around = np.pad(moved, 1, mode="edge")
    edge = (moved != around[:-2, 1:-1]) | (moved != around[2:, 1:-1])
    edge |= (moved != around[1:-1, :-2]) | (moved != around[1:-1, 2:])
    for value, colour in colours.items():
        out[edge & (moved == value)] = colour
    return out, level


def _lower_edge(there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lowest row of what is there, in each column; NaN where nothing is."""
    lowest = there.shape[0] - 1 - there[::-1].argmax(0)
    return np.where(there.any(0), lowest, np.nan)


def _smooth(line: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """A curve of fourth degree under most of a line: what lies above it (a cyst) has no say."""
    across = np.linspace(-1, 1, len(line))
    kept = np.isfinite(line)
    if kept.sum() < max(8, len(line) // 8):
        return None
    for _ in range(8):
        curve = np.polynomial.Polynomial.fit(across[kept], line[kept], 4, domain=[-1, 1])(across)
        off = line - curve  # rows run down: what is above is negative
        limit = 2 * float(np.median(np.abs(off[kept]))) + 1
        closer = np.isfinite(line) & (off > -limit)
        if closer.sum() < 8 or (closer == kept).all():
            break
        kept = closer
    return np.asarray(curve)


def colour_bar() -> NDArray[np.uint8]:
    """The colours of `with_values` from 0 to the top, (1, 256, 3)."""
    return _scale()[None]


def _scale() -> NDArray[np.uint8]:
    """viridis, which colour-blind people read too; without its darkest end."""
    from napari.utils.colormaps import ensure_colormap

    rgba = ensure_colormap("viridis").map(np.linspace(0.25, 1, 256))
    out: NDArray[np.uint8] = (np.asarray(rgba)[:, :3] * 255).astype(np.uint8)
    return out
