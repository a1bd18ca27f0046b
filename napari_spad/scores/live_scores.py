"""Scores of one label layer against another that keep up with every stroke. No Qt in here.

napari tells of edits in several ways, none of them complete:

- `paint` carries what brush, fill, polygon and `data_setitem` change, often before it is written,
  so the payload is counted and not the data;
- undo, redo, a new slice and ``refresh()`` all emit a bare `set_data`, and ``layer.data = x``
  emits `data`: after these the layer is compared with a copy, once the annotator pauses (`settle`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers import level_0, noted, structure_names
from spad.cases import foreign
from spad.checkpoint import IGNORE, MAX_CLASSES, LabelClass
from spad.metrics import LiveConfusion, class_table, nothing_known, translate, values_in

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["LiveScores", "mismatch"]


def mismatch(segmentation: Labels, reference: Labels) -> str:
    """Say why two layers cannot be compared; empty if they can."""
    shapes = [tuple(level_0(a).shape) for a in (segmentation, reference)]
    if reference is segmentation:
        return "it is the segmentation itself"
    if segmentation.multiscale or reference.multiscale:
        return "multiscale labels cannot be compared"
    if shapes[0] != shapes[1]:
        want, got = (" × ".join(map(str, s)) for s in shapes)
        return f"its shape is {got}, the segmentation's {want}"
    return ""


class LiveScores:
    """Confusion matrices of a segmentation layer against a reference layer, always up to date.

    Parameters
    ----------
    on_change : callable
        Called after the matrices changed.
    on_stale : callable
        Called when something may have changed unseen; call `settle` once things are quiet.

    Attributes
    ----------
    classes : tuple of LabelClass
        Class values here are rows of the matrices; `values` are those in the layer.
    values : tuple of int
    translation : dict of int to int
        Classes of the reference's values.
    remark : str
        What the user should know of how the reference's structures were matched.
    """

    def __init__(self, on_change: Callable[[], None], on_stale: Callable[[], None]) -> None:
        self._on_change, self._on_stale = on_change, on_stale
        self.segmentation: Labels | None = None
        self.reference: Labels | None = None
        self._foreign: Labels | None = None  # in place of a reference: nothing in it is known here
        self.classes: tuple[LabelClass, ...] = ()
        self.values: tuple[int, ...] = ()
        self.translation: dict[int, int] = {}
        self.remark = ""
        self._confusion: LiveConfusion | None = None
        self._rows: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._rebuild = self._reference_edited = False

    # ------------------------------------------------------------------ what is watched

    def watch(self, segmentation: Labels | None, reference: Labels | None) -> None:
        """Follow these layers from now on; without a reference only sizes are counted.

        Raises
        ------
        ValueError
            If they cannot be compared, in words.
        """
        self.stop()
        if segmentation is None:
            return
        if segmentation.multiscale or segmentation.ndim < 2:
            raise ValueError(f"“{segmentation.name}” is multiscale or one-dimensional: no scores")
        if reference is not None and (why := mismatch(segmentation, reference)):
            raise ValueError(f"“{reference.name}” cannot be the reference: {why}")
        self.segmentation, self.reference = segmentation, reference
        self._reference_edited = reference is not None and _undoable(reference)
        try:
            self._count_all()
        except ValueError:
            self.segmentation = self.reference = None
            self.classes = ()
            raise
        segmentation.events.paint.connect(self._on_paint)
        for event in self._quiet_events():
            event.connect(self._on_quiet_change)
        for event in self._reference_events():
            event.connect(self._on_reference)

    def stop(self) -> None:
        """Follow nothing."""
        if self.segmentation is not None:
            self.segmentation.events.paint.disconnect(self._on_paint)
            for event in self._quiet_events():
                event.disconnect(self._on_quiet_change)
        for event in self._reference_events():
            event.disconnect(self._on_reference)
        self.segmentation = self.reference = self._foreign = self._confusion = None
        self.classes, self.values, self.remark = (), (), ""
        self._rebuild = self._reference_edited = False

    def _quiet_events(self) -> tuple[Any, ...]:
        events = self.segmentation.events  # type: ignore[union-attr]
        return (events.set_data, events.data)

    def _reference_events(self) -> tuple[Any, ...]:
        layer = self.reference or self._foreign
        if layer is None:
            return ()
        events = layer.events
        return (events.paint, events.data, events.set_data)

    # ------------------------------------------------------------------ what happens to it

    def _on_paint(self, event: Any) -> None:
        assert self._confusion is not None  # noqa: S101 - connected only while there is one
        if len(self._shape) > 3:
            self._on_stale()
            return
        for atom in event.value:
            if hasattr(atom, "slice_key"):
                self._confusion.edit(atom.slice_key, self._coded(atom.new_value), atom.mask)
            else:  # data_setitem
                index, _, new = atom
                self._confusion.edit(index, self._coded(new))
        self._on_change()

    def _on_quiet_change(self, _event: Any = None) -> None:
        self._on_stale()

    def _on_reference(self, event: Any) -> None:
        # A `set_data` may be an undo, but only where something was painted; else it is the slider.
        if event.type != "set_data":
            self._reference_edited = True
        if self._reference_edited:
            self._rebuild = True
            self._on_stale()

    def glance(self, index: Sequence[int]) -> None:
        """Find what changed unseen in one B-scan: quick enough to follow a stroke under way."""
        if self.segmentation is None or self._confusion is None or self._rebuild:
            return
        if self.segmentation.data.shape == self._shape and self._confusion.resync(
            self._prediction(), [self._flat(index)]
        ):
            self._on_change()

    def settle(self) -> bool:
        """Find what changed unseen; returns whether anything had."""
        if self.segmentation is None or self._confusion is None:
            return False
        if self._rebuild or self.segmentation.data.shape != self._shape:
            edited = self._reference_edited
            self.watch(self.segmentation, self.reference or self._foreign)
            self._reference_edited |= edited
            changed = True
        else:
            changed = self._confusion.resync(self._prediction())
        if changed:
            self._on_change()
        return changed

    # ------------------------------------------------------------------ the numbers

    @property
    def slices(self) -> NDArray[np.int64]:
        """Counts of every B-scan; not to be written to."""
        assert self._confusion is not None  # noqa: S101 - callers look at `classes` first
        return self._confusion.slices

    def index(self, number: int) -> tuple[int, ...]:
        """Place on the leading axes of the B-scan that is number so and so of `slices`."""
        return tuple(int(i) for i in np.unravel_index(number, self._shape[:-2] or (1,)))[
            : len(self._shape) - 2
        ]

    def below(self, index: Sequence[int]) -> slice:
        """Numbers in `slices` of the B-scan at a place on the leading axes, or of a stack's.

        Its place lacks the last of these axes: () of three axes, of four that of a visit, say.
        """
        lead = self._shape[:-2]
        rest = lead[len(index) :]
        first = self._flat((*index, *(0 for _ in rest)))
        return slice(first, first + math.prod(rest))

    def matrix(self, index: Sequence[int]) -> NDArray[np.int64]:
        """Return the counts of the B-scan, or of the stack, at a place as of `below`."""
        counts: NDArray[np.int64] = self.slices[self.below(index)].sum(axis=0)
        return counts

    def class_maps(self, index: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Class maps (prediction, reference) at a place as of `below`; the first is a copy."""
        prediction = np.asarray(self.segmentation.data)[tuple(index)]  # type: ignore[union-attr]
        prediction = self._coded(prediction)
        if prediction.dtype == np.uint8:
            copy = prediction.copy()
        else:
            copy = np.minimum(prediction, 255).astype(np.uint8)
        return copy, self._rows[self.below(index)].reshape(copy.shape)

    def _flat(self, index: Sequence[int]) -> int:
        return int(np.ravel_multi_index(tuple(index), self._shape[:-2])) if index else 0

    def _count_all(self) -> None:
        layer, other = self.segmentation, self.reference
        assert layer is not None  # noqa: S101 - by `watch`
        self._shape = tuple(layer.data.shape)
        self._rebuild = False
        self.classes, self.values = _classes(layer, other)
        self._dense = self.values == tuple(range(len(self.values)))
        self._table = dict(zip(self.values, range(256), strict=False))
        depth = (-1, *self._shape[-2:])
        self.translation, self.remark = {}, ""
        self._rows = np.zeros(self._shape, np.uint8).reshape(depth)
        if other is not None:
            theirs = _pixels(other)
            table, self.remark = class_table(
                structure_names(other), theirs, self.classes, self.values
            )
            if nothing_known(theirs, table):
                self.reference, self._foreign = None, other  # until somebody paints in it
            else:
                self.translation = table
                self._rows = translate(theirs, table, 0).reshape(depth)
                if _turned(layer, other):
                    said = (
                        f"“{other.name}” is shown turned or mirrored against the segmentation: "
                        "they are compared pixel by pixel, as they are stored."
                    )
                    self.remark = f"{self.remark} {said}".strip()
        prediction = self._prediction()
        rows = self._rows[0] if prediction.ndim == 2 else self._rows
        self._confusion = LiveConfusion(prediction, rows, len(self.classes))

    def _prediction(self) -> Any:
        """Return the layer's data as classes; the data itself where they are the same."""
        data = _pixels(self.segmentation)
        if data.ndim > 3:
            data = data.reshape(-1, *data.shape[-2:])
        return data if self._dense else _Coded(data, self._coded)

    def _coded(self, values: Any) -> Any:
        """Values of the layer as classes; those without one as 255."""
        if self._dense:
            return values
        return translate(np.asarray(values), self._table, IGNORE)


def _pixels(layer: Labels) -> NDArray[Any]:
    """Read all labels of a layer; a ValueError in words where its reader cannot."""
    try:
        with foreign():
            return np.asarray(layer.data)
    except Exception as error:  # whatever the reader of a lazy layer raises
        raise ValueError(
            f"“{layer.name}” cannot be read ({str(error) or type(error).__name__}): no scores with "
            "it; open its file again, or choose another"
        ) from error


def _undoable(layer: Labels) -> bool:
    """Whether strokes in a layer can be undone or made again; no public name tells."""
    return any(getattr(layer, name, ()) for name in ("_undo_history", "_redo_history"))


def _turned(layer: Labels, other: Labels) -> bool:
    """Whether rows or columns of two layers of one shape point to different sides on screen."""

    def sides(one: Labels) -> NDArray[np.float64]:
        start = np.asarray(one.data_to_world(np.zeros(one.ndim)))
        steps = [np.asarray(one.data_to_world(axis)) - start for axis in np.eye(one.ndim)[-2:]]
        return np.stack([step / np.linalg.norm(step) for step in steps])

    return not np.allclose(sides(layer), sides(other), atol=0.01)


class _Coded:
    """A label map that becomes classes B-scan by B-scan, where it is read."""

    def __init__(self, data: NDArray[Any], coded: Callable[[Any], Any]) -> None:
        self._data, self._code, self.shape, self.ndim = data, coded, data.shape, data.ndim

    def __getitem__(self, z: int) -> Any:
        return self._code(self._data[z])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self._code(self._data), dtype)


def _classes(
    layer: Labels, reference: Labels | None
) -> tuple[tuple[LabelClass, ...], tuple[int, ...]]:
    """Classes of the segmentation: as its model says, else named in its features, else found."""
    known = noted(layer.metadata).get("classes")
    names = {c["value"]: c["name"] for c in known} if known else structure_names(layer)
    if not names:
        names = structure_names(reference) if reference is not None else {}
        theirs = values_in(_pixels(reference)) if reference is not None else ()
        found = {*values_in(_pixels(layer)), *theirs}
        names |= {v: f"label {v}" for v in found - {0, IGNORE} - set(names)}
    if len(names) >= MAX_CLASSES:
        raise ValueError(
            f"“{layer.name}” holds more than {MAX_CLASSES - 1} structures: scores are for label "
            "maps of classes, not for instances"
        )
    values = (0, *sorted(v for v in names if v > 0))
    classes = []
    for code, value in enumerate(values):
        rgba = np.nan_to_num(np.asarray(layer.get_color(value) if value else (0, 0, 0, 0)))
        red, green, blue = (int(c) for c in np.round(rgba[:3] * 255))
        name = names.get(value, "background") if code else "background"
        classes.append(LabelClass(code, name[:80], (red, green, blue)))
    return tuple(classes), values
