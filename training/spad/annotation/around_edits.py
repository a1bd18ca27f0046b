"""A person's corrections: what to sample anew around them, and what of the outcome to take over.

Between an annotator's label map and a run (docs/method.md, section 10) stand rules that are
the same in every host: a pixel painted by hand is never touched, a locked structure neither grows
nor shrinks, and nothing changes outside the region that was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.annotation.run_steps import pixels
from spad.checkpoint import IGNORE, LabelClass

__all__ = ["RESTART", "changes", "doubtful", "edits_for", "left_alone", "told"]

RESTART = 0.3
"""Where a neighbour's chain restarts from the corrected labels, as a share of T.
`benchmarks/propagate.py` sweeps it: lower copies, higher forgets."""
DOUBT = 0.1
"""Uncertainty from which on a pixel counts as doubtful: 0.1 log K is one sample of eight dissenting
in a model of few classes."""
MARGIN_PX = 3
"""Doubt lies along borders; what moves with it lies this far around."""
_LISTED = 6
_EIGHT = np.ones((3, 3), bool)


def doubtful(uncertainty: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the samples disagree, and a margin around it.

    Parameters
    ----------
    uncertainty : array of float, shape (H, W)
        In 0..1.

    Returns
    -------
    array of bool, shape (H, W)
    """
    seen: NDArray[np.bool_] = ndimage.binary_dilation(
        uncertainty >= DOUBT, _EIGHT, iterations=MARGIN_PX
    )
    return seen


def edits_for(
    labels: NDArray[np.uint8],
    by_hand: NDArray[np.bool_],
    num_classes: int,
    *,
    locked: Collection[int] = (),
    region: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[Any]]:
    """What to ask `Segmenter.steps` for, to sample anew around a person's edits.

    Parameters
    ----------
    labels : array of uint8, shape (H, W)
        As it is now, edits included.
    by_hand : array of bool, shape (H, W)
        Where a person painted.
    num_classes : int
        K; values beyond are no classes of the model, and are left to `changes`.
    locked : collection of int
        Classes that stay as they are.
    region : array of bool, shape (H, W), optional
        Only there may anything change; everywhere if None.

    Returns
    -------
    dict
        Arguments by name: ``clamp``, and ``start`` with ``region`` where something is kept.
    """
    known = labels < num_classes
    edits: dict[str, NDArray[Any]] = {
        "clamp": np.where(by_hand & known, labels, IGNORE).astype(np.uint8)
    }
    free = np.ones(labels.shape, bool) if region is None else region.copy()
    free &= ~np.isin(labels, list(locked))
    if not free.all():
        edits |= {"region": free, "start": np.where(known, labels, 0).astype(np.uint8)}
    return edits


def changes(
    labels: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    by_hand: NDArray[np.bool_],
    *,
    locked: Collection[int] = (),
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Pixels of a label map that may take over what a model proposes, and that differ from it.

    Parameters
    ----------
    labels, proposed : array of uint8, shape (H, W)
    by_hand : array of bool, shape (H, W)
    locked : collection of int
        No pixel leaves these classes, none joins them.
    region : array of bool, shape (H, W), optional

    Returns
    -------
    array of bool, shape (H, W)
    """
    allowed: NDArray[np.bool_] = (labels != proposed) & ~by_hand
    if locked:
        held = list(locked)
        allowed &= ~np.isin(labels, held) & ~np.isin(proposed, held)
    if region is not None:
        allowed &= region
    return allowed


def told(before: NDArray[Any], after: NDArray[Any], classes: Sequence[LabelClass]) -> str:
    """Say what a sampling around edits changed, by structure.

    Parameters
    ----------
    before, after : array of uint8, shape (H, W)
    classes : sequence of LabelClass
        Background first.
    """
    changed = int(np.count_nonzero(before != after))
    if not changed:
        return "Sampled around your edits: nothing else changed."
    parts = []
    for c in classes[1:]:
        more = int(np.count_nonzero(after == c.value)) - int(np.count_nonzero(before == c.value))
        if more:
            parts.append(f"{c.name} {f'{more:+,}'.replace('-', '−')}")
    listed = f" ({', '.join(parts)})" if parts else ""
    return f"Sampled around your edits: {pixels(changed)} changed{listed}."


def left_alone(bscans: Collection[int], first: int = 1) -> str:
    """Say which B-scans a run did not change, since a person has accepted them; empty for none.

    Parameters
    ----------
    bscans : collection of int
        Their places, from 0.
    first : int
        What the host calls the first B-scan.
    """
    if not bscans:
        return ""
    numbers = [str(z + first) for z in sorted(bscans)]
    if len(numbers) == 1:
        return f"B-scan {numbers[0]} is accepted and was left alone: Skip there opens it again."
    listed = ", ".join(numbers[:_LISTED]) + (" …" if len(numbers) > _LISTED else "")
    return (
        f"{len(numbers)} B-scans ({listed}) are accepted and were left alone: Skip there opens one "
        "again."
    )
