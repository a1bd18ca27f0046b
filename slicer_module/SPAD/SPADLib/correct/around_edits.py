"""Correcting with the model's help: around a person's edits, and on to the neighbours.

The rules stand in `spad.annotation.around_edits`; what is taken over goes through `Result`, so that
nothing a person edited is touched, and all of it can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.annotation import RESTART, doubtful, edits_for, left_alone, told
from SPADLib.desk import Done, numbered
from SPADLib.scene import PERCENT, Change, Result, to_world

__all__ = ["SCOPES", "around_edits", "inside", "onward", "take"]

SCOPES = ("the whole B-scan", "where the samples disagree", "inside the ROI")


def around_edits(
    result: Result, bscan: int, scope: str = SCOPES[0], *, roi: Any = None
) -> dict[str, NDArray[Any]]:
    """Edits to sample a B-scan anew with what is painted by hand held (docs/method.md, section 10).

    Parameters
    ----------
    result : Result
    bscan : int
    scope : one of `SCOPES`
    roi : vtkMRMLMarkupsROINode, optional
        For the last of them.

    Returns
    -------
    dict
        Of `Request.edits`.

    Raises
    ------
    ValueError
        Nothing is painted there, or no ROI lies there.
    """
    labels = result.labels()
    painted = result.by_hand(labels)[bscan]
    if not painted.any():
        raise ValueError(
            f"Nothing in B-scan {numbered(bscan)} is painted by hand yet, so the model would say "
            "the same again: paint a stroke first"
        )
    return edits_for(
        np.array(labels[bscan]),
        painted,
        len(result.classes),
        region=_region(result, bscan, scope, roi),
    )


def take(result: Result, done: Done, edits: Mapping[str, Any]) -> tuple[list[Change], str]:
    """Take over what a sampling around edits brought, and say what changed.

    Parameters
    ----------
    result : Result
    done : Done
        Of one B-scan.
    edits : mapping
        With which it was sampled.

    Returns
    -------
    changed : list of Change
    said : str
    """
    before = np.array(result.labels()[done.first])
    region = edits.get("region")
    within = None if region is None else region[None]
    was_accepted = done.first in result.accepted()
    changed = result.take(done.segmentation, done.first, within=within, accepted_too=True)
    said = told(before, result.labels()[done.first], result.classes)
    again = " It was accepted: look at it again." if was_accepted and changed else ""
    return changed, said + again


def onward(result: Result, bscan: int, count: int, steps: int) -> tuple[range, Any, Any]:
    """What to carry a B-scan to its neighbours with (`run.carried`).

    Those that are accepted are left alone; what comes after one restarts from it.

    Parameters
    ----------
    result : Result
    bscan : int
    count : int
        How many neighbours; negative towards the first B-scan.
    steps : int
        T, of the model's noise schedule.

    Returns
    -------
    bscans : range
    start : array of uint8, shape (H, W)
    edits_of : callable
        Edits of a B-scan by its number, or its label map (H, W) where it is left alone.

    Raises
    ------
    ValueError
        There is nothing to carry, no neighbour in that direction, or all of them are accepted.
    """
    if bscan not in result.segmented and not result.by_hand()[bscan].any():
        raise ValueError(
            f"B-scan {numbered(bscan)} is not segmented yet, so there is nothing to carry on: "
            "segment it, or paint in it first"
        )
    step = 1 if count > 0 else -1
    last = min(max(bscan + count, 0), result.depth - 1)
    if last == bscan:
        raise ValueError(
            f"B-scan {numbered(bscan)} is the {'last' if step > 0 else 'first'} one: there is no "
            "neighbour to carry it to"
        )
    t0 = max(round(RESTART * steps), 1)
    bscans = range(bscan + step, last + step, step)
    if not set(bscans) - result.accepted():
        raise ValueError(left_alone(bscans))

    def edits_of(z: int) -> Any:
        labels = result.labels()
        if z in result.accepted(labels):
            return np.array(labels[z])
        painted = result.by_hand(labels)[z]
        return {**edits_for(np.array(labels[z]), painted, len(result.classes)), "t0": t0}

    return bscans, np.array(result.labels()[bscan]), edits_of


def inside(roi: Any, result: Result, bscan: int) -> NDArray[np.bool_]:
    """Pixels (H, W) of a B-scan whose centres lie inside an ROI, however both are turned."""
    grid = result.layout.stack(np.empty(_shape(result), bool)).shape
    rows, columns = np.mgrid[: grid[1], : grid[2]]
    corners = [result.layout.index((bscan, r, c), _shape(result)) for r, c in _CORNERS]
    k, j, i = (
        at + (down - at) * rows + (across - at) * columns
        for at, down, across in zip(*corners, strict=True)
    )
    world = to_world(np.stack([i, j, k], -1).reshape(-1, 3), result.volume)
    to_object = np.linalg.inv(_matrix(roi.GetObjectToWorldMatrix()))
    own = world @ to_object[:3, :3].T + to_object[:3, 3]
    half = np.array(roi.GetSize()) / 2
    return np.asarray((np.abs(own) <= half).all(1).reshape(grid[1:]))


_CORNERS = ((0, 0), (1, 0), (0, 1))


def _matrix(matrix: Any) -> NDArray[np.float64]:
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def _shape(result: Result) -> tuple[int, ...]:
    i, j, k = result.volume.GetImageData().GetDimensions()
    return k, j, i


def _region(result: Result, bscan: int, scope: str, roi: Any) -> NDArray[np.bool_] | None:
    if scope == SCOPES[0]:
        return None
    if scope == SCOPES[1]:
        return doubtful(result.uncertainty()[bscan] / PERCENT)
    if roi is None:
        raise ValueError(
            "No ROI is chosen: place one in the Markups module over what should change, and "
            "choose it here"
        )
    region = inside(roi, result, bscan)
    if not region.any():
        raise ValueError(
            f"“{roi.GetName()}” holds no pixel of B-scan {numbered(bscan)}: move it there, or "
            "choose another scope"
        )
    return region
