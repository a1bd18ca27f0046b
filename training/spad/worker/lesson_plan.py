"""What is to be learnt: the pixels that count, the model to start from, where the new one goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, LabelClass

__all__ = ["LessonPlan", "counted", "not_learnt", "shows_structure"]

OWN_WEIGHT = 0.2
"""Of a pixel that the model is sure of, in a B-scan that was painted in but not accepted."""


def counted(
    labels: NDArray[Any], painted: NDArray[np.bool_], *, accepted: bool, classes: int
) -> NDArray[np.uint8]:
    """The label map that a B-scan teaches: all of an accepted one, of another what is by hand.

    Parameters
    ----------
    labels : array of integers, shape (H, W)
    painted : array of bool, shape (H, W)
        Where a person painted.
    accepted : bool
    classes : int
        Values from here on are no class, and do not count.

    Returns
    -------
    array of uint8, shape (H, W)
        255 where it does not count.
    """
    counts = (np.asarray(labels) < classes) & (accepted | np.asarray(painted, bool))
    return np.where(counts, labels, IGNORE).astype(np.uint8)


def not_learnt(
    accepted: Mapping[Any, NDArray[np.uint8]], taught: Mapping[Any, NDArray[np.uint8]]
) -> str:
    """What a desk says, before a model is kept, of B-scans accepted after its last lesson.

    Parameters
    ----------
    accepted, taught : mapping to arrays of uint8, shape (H, W)
        Label maps by the B-scan's place, as of :func:`counted`: those that would teach whole now,
        and those that did.

    Returns
    -------
    str
        Empty where it has learnt them all, as they are.
    """
    count = sum(
        place not in taught or not np.array_equal(labels, taught[place])
        for place, labels in accepted.items()
    )
    bscans, are = ("B-scan", "is") if count == 1 else ("B-scans", "are")
    said = f"{count} {bscans} that you accepted since its last lesson {are} not in this model."
    return said if count else ""


def shows_structure(label_maps: Iterable[NDArray[np.uint8]]) -> bool:
    """Whether one of them shows a structure: else nothing can be learnt without earlier cases."""
    return any(((labels > 0) & (labels != IGNORE)).any() for labels in label_maps)


@dataclass(frozen=True)
class LessonPlan:
    """What a front end asks its worker for.

    Parameters
    ----------
    checkpoint : Path
        The model that learns; it stays as it is.
    images : list of arrays of any real dtype, shape (H, W) or (H, W, 3)
    label_maps : list of arrays of uint8, shape (H, W)
        As of :func:`counted`.
    accepted : int
        How many of the B-scans count whole.
    out : Path
        Where the new model goes.
    device : str
    classes : tuple of LabelClass, optional
        The model's own, then new ones.
    earlier : Path, optional
        Earlier lessons (:meth:`spad.worker.process.Worker.learn` says which), to be rehearsed.
    inverted : bool
    seed : int
    options : dict
        Of the recipe.
    """

    checkpoint: Path
    images: list[NDArray[Any]]
    label_maps: list[NDArray[np.uint8]]
    accepted: int
    out: Path
    device: str = "auto"
    classes: tuple[LabelClass, ...] | None = None
    earlier: Path | None = None
    inverted: bool = False
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """The plan without its arrays, as JSON values."""
        options = dict(self.options)
        if self.accepted < len(self.images):
            options.setdefault("own_weight", OWN_WEIGHT)
        return {
            "kind": "learn",
            "checkpoint": str(self.checkpoint),
            "out": str(self.out),
            "device": self.device,
            "classes": None if self.classes is None else [c.as_json() for c in self.classes],
            "earlier": None if self.earlier is None else str(self.earlier),
            "inverted": self.inverted,
            "seed": self.seed,
            "options": options,
        }
