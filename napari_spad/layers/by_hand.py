"""What a person painted in a label layer, kept exact through undo and redo. No Qt in here.

napari announces every edit by `paint`, the model's (`Result` writes through the layer's history so
that they can be undone) as well as a person's. Who made it is known while it is announced. Undo and
redo are announced by a bare `set_data` alone, which a refresh amid a stroke emits too, so both are
heard where they are called: the layer's own `undo` and `redo` are ours.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Edit", "Hand"]

STEPS, ROUNDS = 100, 2
"""So many steps can be undone, as with napari, and beside them as many models' over a whole stack:
else those of one lesson on a long stack push out all that a person did before."""
LATE = 10
"""Steps on a B-scan among which that is looked for which a line's undo takes back."""


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
    places : array of int
        The pixels, in the flattened layer.
    """

    kind: Literal["stroke", "undo", "redo"]
    bscans: tuple[tuple[int, ...], ...]
    pixels: int
    became: dict[int, int]
    by_model: bool
    places: NDArray[np.int64] = field(compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class _Step:
    places: NDArray[np.int64]  # in the flattened layer, each once
    before: NDArray[Any]
    after: NDArray[Any]
    marked: NDArray[np.int64]  # these places, and others that it says to be right
    marks: NDArray[np.uint8]  # by hand, before the step
    then: NDArray[np.uint8]  # and after it
    by_model: bool
    group: object = None  # steps that one press made, next to each other, go together
    takes_back: _Step | None = None
    exchange: Callable[[], None] | None = None  # what goes along with it, back and again


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
        Called with an `Edit` for each change by a person: of what is taken back or made again after
        it, of a stroke sometimes before napari has written it.
    """

    def __init__(
        self, layer: Labels, mask: NDArray[np.uint8], on_edit: Callable[[Edit], None]
    ) -> None:
        self.layer, self.mask = layer, mask
        self._on_edit = on_edit
        private: Any = layer
        private._history_limit = STEPS + ROUNDS * math.prod(mask.shape[:-2])
        private._reset_history()
        self._done: deque[_Step] = deque(maxlen=private._history_limit)
        self._undone: list[_Step] = []
        self._by_model = False
        self._group: object = None
        self._takes_back: _Step | None = None
        self._exchange: Callable[[], None] | None = None
        self._beside: NDArray[np.int64] | None = None
        layer.events.paint.connect(self._on_paint)
        layer.__dict__ |= {"undo": self._undo, "redo": self._redo}

    def stop(self) -> None:
        """Listen to the layer no more."""
        self.layer.events.paint.disconnect(self._on_paint)
        for name in ("undo", "redo"):
            self.layer.__dict__.pop(name, None)

    @contextmanager
    def model_writes(
        self, group: object = None, exchange: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """While this lasts, edits of the layer are the model's.

        Parameters
        ----------
        group : object
            Steps of one group that follow on each other are undone and redone by one undo or redo.
        exchange : callable, optional
            Called when the step is undone, and when it is made again, before that is told.
        """
        layer: Any = self.layer
        self._by_model, self._group, self._exchange = True, group, exchange
        # Amid a person's stroke napari would make this a part of it, theirs and undone with it.
        stroke, layer._block_history = layer._block_history, False
        try:
            yield
        finally:
            layer._block_history = stroke
            self._by_model, self._group, self._exchange = False, None, None

    @contextmanager
    def holding(self, where: tuple[NDArray[np.integer], ...]) -> Iterator[None]:
        """While this lasts, an edit also says of other pixels that they are right.

        Parameters
        ----------
        where : tuple of array of int
            Their places, an array an axis.
        """
        self._beside = np.ravel_multi_index(where, self.mask.shape)
        try:
            yield
        finally:
            self._beside = None

    def undo_at(self, index: tuple[int, ...]) -> bool:
        """Take back the last step on one B-scan, whatever was done on others since.

        It becomes a step of its own, which undo takes back in turn.

        Parameters
        ----------
        index : tuple of int
            Its place on the leading axes.

        Returns
        -------
        bool
            False where there is nothing to take back: or what was done touches other B-scans too,
            or something else has changed its pixels, or locked structures hold all of it.
        """
        step = next(self._steps_at(index), None)
        return step is not None and self._can_go(step, index) and self._take_back(step)

    def _take_back(self, step: _Step) -> bool:
        self._takes_back = step
        try:
            where = np.unravel_index(step.places, self.mask.shape)
            self.layer.data_setitem(where, step.before)
        finally:
            self._takes_back = None
        made = self._done[-1]
        if made.takes_back is not step:
            return False
        if step.exchange is not None:
            step.exchange()
        self._tell("undo", made.places, made.after, by_model=made.by_model)
        return True

    def undo_if(self, index: tuple[int, ...], fits: Callable[[NDArray[Any]], bool]) -> bool:
        """Take back a person's late step on one B-scan if its labels, (H, W), then are to be so.

        To write them would say that they are by hand, and know nothing of what was painted over.
        """
        first = np.ravel_multi_index((*index, 0, 0), self.mask.shape)
        for step in islice(self._steps_at(index), LATE):
            if step.by_model or not self._can_go(step, index):
                continue
            before = np.array(self.layer.data[index])
            before.reshape(-1)[step.places - first] = step.before
            if fits(before):
                return self._take_back(step)
        return False

    def _steps_at(self, index: tuple[int, ...]) -> Iterator[_Step]:
        """The steps on one B-scan that stand, the last one first."""
        gone = {id(step.takes_back) for step in self._done}
        for step in reversed(self._done):
            if index in self._bscans(step.places) and not step.takes_back and id(step) not in gone:
                yield step

    def _can_go(self, step: _Step, index: tuple[int, ...]) -> bool:
        """Whether a step is on this B-scan alone, and still to be seen."""
        return self._bscans(step.places) == (index,) and self._holds(step.places, step.after)

    def _on_paint(self, event: Any) -> None:
        if self.layer.data.shape != self.mask.shape:
            return  # the person put other data into the layer
        parts = [_atom(atom, self.mask.shape) for atom in event.value]
        # A step that changed nothing in the end is one too: undo and redo will stop there.
        places, before, after = _once(parts)
        marks = self.mask.reshape(-1)
        marked = places if self._beside is None else np.union1d(places, self._beside)
        then = np.full(len(marked), not self._by_model, np.uint8)
        back = self._takes_back
        if back is not None and np.array_equal(places, back.places):
            marked, then = back.marked, back.marks
        by_model = self._by_model if back is None else back.by_model
        step = _Step(
            places,
            before,
            after,
            marked,
            marks[marked],
            then,
            by_model,
            self._group,
            back,
            self._exchange if back is None else back.exchange,
        )
        self._done.append(step)
        self._undone.clear()
        marks[marked] = then
        if back is None and not self._by_model:  # what is taken back is told once it is written
            self._tell("stroke", places, after, by_model=False)

    def _undo(self) -> None:
        step = self._undo_one()
        while step is not None and step.group is not None and self._next(self._done, step):
            step = self._undo_one()

    def _undo_one(self) -> _Step | None:
        type(self.layer).undo(self.layer)
        step = self._done[-1] if self._done else None
        if step is None or not self._holds(step.places, step.before):
            return None
        self._undone.append(self._done.pop())
        self.mask.reshape(-1)[step.marked] = step.marks
        if step.exchange is not None:
            step.exchange()
        kind: Literal["undo", "redo"] = "undo" if step.takes_back is None else "redo"
        self._tell(kind, step.places, step.before, by_model=step.by_model)
        return step

    def _redo(self) -> None:
        step = self._redo_one()
        while step is not None and step.group is not None and self._next(self._undone, step):
            step = self._redo_one()

    def _redo_one(self) -> _Step | None:
        type(self.layer).redo(self.layer)
        step = self._undone[-1] if self._undone else None
        if step is None or not self._holds(step.places, step.after):
            return None
        self._done.append(self._undone.pop())
        self.mask.reshape(-1)[step.marked] = step.then
        if step.exchange is not None:
            step.exchange()
        kind: Literal["undo", "redo"] = "redo" if step.takes_back is None else "undo"
        self._tell(kind, step.places, step.after, by_model=step.by_model)
        return step

    @staticmethod
    def _next(steps: Sequence[_Step], step: _Step) -> bool:
        return bool(steps) and steps[-1].group is step.group

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
        if len(places):
            at, became = self._bscans(places), _counts(now)
            self._on_edit(Edit(kind, at, len(places), became, by_model, places))

    def _bscans(self, places: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
        """B-scans that these places, sorted, lie on."""
        if not len(places):
            return ()
        shape = self.mask.shape
        size = shape[-2] * shape[-1]
        first, last = int(places[0]) // size, int(places[-1]) // size
        starts = np.searchsorted(places, np.arange(first, last + 2) * size)
        return tuple(
            tuple(int(i) for i in np.unravel_index(first + p, shape[:-2])) if shape[:-2] else ()
            for p in np.flatnonzero(np.diff(starts))
        )


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
