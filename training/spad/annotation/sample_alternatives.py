"""What the samples of a run say of a structure, or of one part of it, other than the label map."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.annotation.around_edits import changes

__all__ = ["Alternative", "alternatives", "component"]

LEAST_PX = 5
"""Differences of fewer pixels are no alternative."""
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Alternative:
    """What some of the samples say of a structure, or of a part of it.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        The label map with this alternative in it.
    votes : int
        How many samples say so.
    pixels : int
        Of the structure, where the samples were asked.
    changed : int
        Pixels that differ from the label map as it is.
    """

    labels: NDArray[np.uint8]
    votes: int
    pixels: int
    changed: int


def component(
    labels: NDArray[np.uint8], samples: NDArray[np.uint8], value: int, pixel: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Where one part of a structure is, or might be: the part under a pixel, in any sample.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
    samples : array of uint8, shape (N, H, W)
    value : int
        The structure.
    pixel : (row, column)

    Returns
    -------
    array of bool, shape (H, W), or None
        The union over the label map and the samples of their connected parts that share a pixel
        with the part under the pixel; None where neither map nor sample has the structure there.
    """
    maps = [m for m in (labels, *samples) if m[pixel] == value]
    if not maps:
        return None
    seed = _part(maps[0] == value, pixel)
    out = np.zeros(labels.shape, bool)
    for m in (labels, *samples):
        parts, _ = ndimage.label(m == value, _EIGHT)
        touched = np.unique(parts[seed])
        out |= np.isin(parts, touched[touched > 0])
    return out


def alternatives(
    labels: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    value: int,
    by_hand: NDArray[np.bool_],
    *,
    locked: Collection[int] = (),
    region: NDArray[np.bool_] | None = None,
) -> list[Alternative]:
    """What the samples say of a structure, other than the label map does; smallest first.

    Pixels that a sample gives to the structure become it; those that it takes away become what the
    sample has there. By hand and locked stay.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
    samples : array of uint8, shape (N, H, W)
    value : int
    by_hand : array of bool, shape (H, W)
    locked : collection of int
    region : array of bool, shape (H, W), optional
        The part asked about; the whole structure if None.

    Returns
    -------
    list of Alternative
        By the structure's size, so that going through them makes it grow; empty where no sample
        differs by more than a few pixels.
    """
    found: dict[bytes, Alternative] = {}
    for one in samples:
        concerned = (one == value) | (labels == value)
        if region is not None:
            concerned &= region
        change = changes(labels, one, by_hand, locked=locked, region=concerned)
        count = int(np.count_nonzero(change))
        if count < LEAST_PX:
            continue
        proposal = np.where(change, one, labels)
        key = proposal.tobytes()
        votes = found[key].votes if key in found else 0
        here = proposal == value if region is None else (proposal == value) & region
        found[key] = Alternative(proposal, votes + 1, int(np.count_nonzero(here)), count)
    return sorted(found.values(), key=lambda a: a.pixels)


def _part(mask: NDArray[np.bool_], pixel: tuple[int, int]) -> NDArray[np.bool_]:
    parts, _ = ndimage.label(mask, _EIGHT)
    part: NDArray[np.bool_] = parts == parts[pixel]
    return part
