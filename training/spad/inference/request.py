"""What a host asks of a run, checked: an image as slices, numbers, and an annotator's edits.

Of the edits (docs/method.md, section 10) ``clamp`` fixes pixels, ``region`` bounds what may change,
and the chains restart from ``start``. They are held during the run, and put back in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.chain import times_of_use
from spad.checkpoint import IGNORE, Card
from spad.inference.model import Model
from spad.inference.stack import Stack, seed_number, whole_number

__all__ = ["Request", "checked", "held_pixels", "refuse_sampling", "restore_edits"]

MAX_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be met; arguments of :meth:`spad.inference.AnySegmenter.steps`.

    Parameters
    ----------
    stack : Stack
    samples, seed, first_slice : int
    rgb, inverted : bool
    times : list of int
        That each chain visits; of a plain U-Net one, and one sample.
    t0 : int or None
        None for chains from noise.
    current : int or None
        Counted from 0, not from ``first_slice``.
    edits : mapping of str to array, shape (Z, H, W)
        Those of ``clamp``, ``region`` and ``start`` that are given.
    """

    stack: Stack
    samples: int
    seed: int
    first_slice: int
    rgb: bool
    inverted: bool
    times: list[int]
    t0: int | None
    current: int | None
    edits: Mapping[str, NDArray[Any]]

    def edits_of(self, z: int) -> dict[str, NDArray[Any]]:
        """The edits of slice z, counted from 0, (H, W) each."""
        return {name: edit[z] for name, edit in self.edits.items()}


def refuse_sampling(card: Card, samples: int | None, steps: int | None) -> None:
    """Raise a ValueError for numbers of chains and of steps that a model does not take."""
    if samples is not None and not 1 <= samples <= MAX_SAMPLES:
        raise ValueError(f"{samples} samples asked for; choose 1 to {MAX_SAMPLES}")
    if steps is not None and not 1 <= steps <= card.schedule.steps:
        raise ValueError(f"{steps} steps asked for; this model allows 1..{card.schedule.steps}")


def checked(
    model: Model,
    image: Any,
    edits: Mapping[str, NDArray[Any]],
    *,
    samples: int | None,
    steps: int | None,
    seed: int,
    t0: int | None,
    rgb: bool,
    inverted: bool,
    first_slice: int,
    current: int | None,
) -> Request:
    """Check the arguments of :meth:`spad.inference.AnySegmenter.steps`.

    Raises
    ------
    ValueError
        As it says there.
    """
    card = model.card
    n = whole_number("samples", card.sampling.samples if samples is None else samples)
    steps = whole_number("steps", card.sampling.steps if steps is None else steps)
    seed, t0 = seed_number(seed), None if t0 is None else whole_number("t0", t0)
    first_slice = whole_number("first_slice", first_slice)
    refuse_sampling(card, n, steps)
    if first_slice < 0:
        raise ValueError(f"first_slice is {first_slice}; choose 0 or more")
    stack = Stack(image, rgb, first_slice)
    if current is not None:
        current, last = whole_number("current", current), first_slice + stack.depth - 1
        if not first_slice <= current <= last:
            raise ValueError(f"current is {current}; the slices are {first_slice} to {last}")
        current -= first_slice
    _check_edits(stack.shape, len(card.classes), edits)
    if t0 is not None and "start" not in edits:
        raise ValueError("t0 is given without start, the label map to restart from; give both")
    if edits and not model.diffuses:
        raise ValueError(
            f"this model does not diffuse (it is a {card.network.kind}): it gives one label map, "
            "and cannot sample around edits; take a SPAD model"
        )
    times = times_of_use(model.schedule, card.sampling, steps, t0)
    if "start" in edits and t0 is None:
        t0 = times[0]
    if not model.diffuses:
        n, times = 1, [0]
    by_slice = {name: e.reshape(stack.depth, *stack.plane) for name, e in edits.items()}
    return Request(stack, n, seed, first_slice, rgb, inverted, times, t0, current, by_slice)


def _check_edits(
    shape: tuple[int, ...], num_classes: int, edits: Mapping[str, NDArray[Any]]
) -> None:
    """Hold edits against the image's shape and the model's classes."""
    if "region" in edits and "start" not in edits:
        raise ValueError(
            "a region is given without start, the label map to keep outside; give both"
        )
    for name, edit in edits.items():
        wanted = np.bool_ if name == "region" else np.uint8
        if edit.shape != shape or edit.dtype != wanted:
            raise ValueError(
                f"{name} has shape {edit.shape} and type {edit.dtype}; this image asks for "
                f"{shape} and {np.dtype(wanted)}"
            )
        if name != "region":
            values = np.unique(edit)
            allowed = values < num_classes
            if name == "clamp":
                allowed |= values == IGNORE
            if not allowed.all():
                raise ValueError(
                    f"{name} holds the values {values[~allowed].tolist()}; the model has classes "
                    f"0..{num_classes - 1}" + (" (and 255 for free)" if name == "clamp" else "")
                )


def held_pixels(fixed: dict[str, NDArray[Any]]) -> NDArray[np.uint8] | None:
    """What must come out as it is: fixed pixels, and the start outside the region; 255 is free."""
    if "clamp" not in fixed and "region" not in fixed:
        return None
    shape = next(iter(fixed.values())).shape
    held = fixed["clamp"] if "clamp" in fixed else np.full(shape, IGNORE, np.uint8)
    if "region" in fixed:
        # Outside the region nothing changes, not even towards a clamp.
        held = np.where(fixed["region"], held, fixed["start"])
    return held


def restore_edits(
    fixed: dict[str, NDArray[Any]],
    labels: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    uncertainty: NDArray[np.float16],
) -> None:
    """Put fixed pixels back on the image's own grid, where scaling may have moved them."""
    if (held := held_pixels(fixed)) is not None:
        where = held != IGNORE
        labels[where] = held[where]
        samples[:, where] = held[where]
        uncertainty[where] = 0
