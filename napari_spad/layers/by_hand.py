"""What a person painted in a label layer, kept exact through undo and redo. No Qt in here.

napari announces every edit by `paint`, the model's (`Result` writes through the layer's history so
that they can be undone) as well as a person's. Who made it is known while it is announced. Undo and
redo are announced by a bare `set_data` alone, which a refresh amid a stroke emits too, so both are
heard where they are called: the layer's own `undo` and `redo` are ours.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Edit", "Hand"]

STEPS = 100  # as many as napari's own history holds


@dataclass(frozen=True)
class Edit:
    """A person's edit, or one taken back or made again.

    Parameters
    ----------
    kind : {"stroke", "undo", "redo"}
    bscans : tuple of tuple of int
        The B-scans it changed, by their place on the leading axes; ((),) for a 2-D layer.
    pixels : int
        How many pixels changed.
    became : dict of int to int
        Pixels by the value that they have now.
    by_model : bool
        Whether the step that was taken back, or made again, was the model's.
    """

    kind: Literal["stroke", "undo", "redo"]
    bscans: tuple[tuple[int, ...], ...]
    pixels: int
    became: dict[int, int]
    by_model: bool = False


@dataclass(frozen=True)
class _Step:
    places: NDArray[np.int64]  # in the flattened layer, each once
    before: NDArray[Any]
    after: NDArray[Any]
    marks: NDArray[np.uint8]  # by hand, before the step
    by_model: bool


class Hand:
    """Which pixels of a label layer a person painted.

    A pixel is by hand from the stroke that changes it until that stroke is undone; what a model
    writes there afterwards (nothing of ours does) is the model's.

    Parameters
    ----------
    layer : napari.layers.Labels
    mask : array of uint8, shape of the layer's data
        1 where by hand; written in place.
    on_edit : callable
        Called with an `Edit` after each change by a person.
    """

    def __init__(
        self, layer: Labels, mask: NDArray[np.uint8], on_edit: Callable[[Edit], None]
    ) -> None:
        self.layer, self.mask = layer, mask
        self._on_edit = on_edit
        self._done: deque[_Step] = deque(maxlen=STEPS)
        self._undone: list[_Step] = []
        self._by_model = False
        layer.events.paint.connect(self._on_paint)
        layer.__dict__ |= {"undo": self._undo, "redo": self._redo}

    def stop(self) -> None:
        """Listen to the layer no more."""
        self.layer.events.paint.disconnect(self._on_paint)
        for name in ("undo", "redo"):
            self.layer.__dict__.pop(name, None)

    @contextmanager
    def model_writes(self) -> Iterator[None]:
        """While this lasts, edits of the layer are the model's."""
        self._by_model = True
        try:
            yield
        finally:
            self._by_model = False

    def _on_paint(self, event: Any) -> None:
        if self.layer.data.shape != self.mask.shape:
            return  # the person put other data into the layer
        parts = [_atom(atom, self.mask.shape) for atom in event.value]
        # A step that changed nothing in the end is one too: undo and redo will stop there.
        places, before, after = _once(parts)
        marks = self.mask.reshape(-1)
        self._done.append(_Step(places, before, after, marks[places], self._by_model))
        self._undone.clear()
        marks[places] = not self._by_model
        if not self._by_model:
            self._tell("stroke", places, after, by_model=False)

    def _undo(self) -> None:
        type(self.layer).undo(self.layer)
        step = self._done[-1] if self._done else None
        if step is not None and self._holds(step.places, step.before):
            self._undone.append(self._done.pop())
            self.mask.reshape(-1)[step.places] = step.marks
            self._tell("undo", step.places, step.before, by_model=step.by_model)

    def _redo(self) -> None:
        type(self.layer).redo(self.layer)
        step = self._undone[-1] if self._undone else None
        if step is not None and self._holds(step.places, step.after):
            self._done.append(self._undone.pop())
            self.mask.reshape(-1)[step.places] = not step.by_model
            self._tell("redo", step.places, step.after, by_model=step.by_model)

    def _holds(self, places: NDArray[np.int64], values: NDArray[Any]) -> bool:
        """Whether it was our step: napari's history is emptied, or others write, unheard."""
        data = self.layer.data
        return (
            data.shape == self.mask.shape
            and isinstance(data, np.ndarray)
            and np.array_equal(data.reshape(-1)[places], values)
        )

    def _tell(
        self, kind: Literal["stroke", "undo", "redo"], places: Any, now: Any, *, by_model: bool
    ) -> None:
        if not len(places):
            return
        shape = self.mask.shape
        size = shape[-2] * shape[-1]
        first, last = int(places[0]) // size, int(places[-1]) // size
        starts = np.searchsorted(places, np.arange(first, last + 2) * size)
        bscans = tuple(
            tuple(int(i) for i in np.unravel_index(first + p, shape[:-2])) if shape[:-2] else ()
            for p in np.flatnonzero(np.diff(starts))
        )
        became = _counts(now)
        self._on_edit(Edit(kind, bscans, len(places), became, by_model))


def _once(parts: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """Places that changed, sorted and each once, with what they held before and hold after.

    A drag passes over a pixel several times: the first old value and the last new one count.
    """
    if len(parts) == 1:
        places, before, after = parts[0]
    else:
        places, before, after = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if not (places[1:] > places[:-1]).all():  # to sort them is what takes time
        order = np.argsort(places, kind="stable")
        places = places[order]
        starts = np.append(True, places[1:] != places[:-1])
        ends = np.append(starts[1:], True)
        places, before, after = places[starts], before[order][starts], after[order][ends]
    changed = before != after
    if changed.all():
        return places, before, after
    return places[changed], before[changed], after[changed]


def _counts(values: NDArray[Any]) -> dict[int, int]:
    """How often each value occurs."""
    if values.dtype.itemsize > 2 or values.dtype.kind != "u":
        found, counts = np.unique(values, return_counts=True)
        return {int(v): int(n) for v, n in zip(found, counts, strict=True)}
    if values.size and (values == values[0]).all():  # quicker by far, and what most strokes are
        return {int(values[0]): values.size}
    counts = np.bincount(values)
    return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}


def _atom(atom: Any, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Flat places, old values and new values of an atom of napari's history."""
    if hasattr(atom, "slice_key"):
        flat: Any = 0
        for axis, (span, n) in enumerate(zip(atom.slice_key, shape, strict=True)):
            flat = np.add.outer(flat, np.arange(*span.indices(n)) * math.prod(shape[axis + 1 :]))
        flat = flat.ravel() if atom.mask is None else flat[atom.mask]
        old = np.asarray(atom.old_values).ravel()
        return flat, old, np.full(len(flat), atom.new_value, old.dtype)
    index, old, new = atom
    flat = np.ravel_multi_index(tuple(np.asarray(i) for i in index), shape).ravel()
    return flat, np.asarray(old).ravel(), np.broadcast_to(new, flat.shape)
