"""Scores and the memory of what is by hand, held to simple models by random sequences of edits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from napari.components import ViewerModel
from napari.layers import Labels

from napari_spad.layers.by_hand import Hand
from napari_spad.layers.locks import Locks
from napari_spad.scores.live_scores import LiveScores
from spad.checkpoint.labels import IGNORE, label_classes
from spad.metrics import confusion_matrix

CLASSES = label_classes(("background", "SRF", "IRF", "PED"))
OTHERS = 2  # values without a class that are painted too
SHAPE = (3, 9, 12)
values = st.integers(0, len(CLASSES) + OTHERS - 1)
rows, columns = st.integers(0, SHAPE[1] - 1), st.integers(0, SHAPE[2] - 1)
points = st.tuples(rows, columns)
seeds = st.integers(0, 2**16)


class Desk(RuleBasedStateMachine):
    """An annotator and a model at one layer of a real viewer.

    What is by hand is known from a plain model: a mask for every state of napari's history.
    """

    @initialize(seed=seeds)
    def open(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.viewer = ViewerModel()
        reference = rng.integers(0, len(CLASSES), SHAPE, np.uint8)
        reference[:, -1] = IGNORE
        metadata = {"spad": {"classes": [c.as_json() for c in CLASSES], "provenance": []}}
        start = rng.integers(0, len(CLASSES), SHAPE, np.uint8)
        self.layer = Labels(start, name="result", metadata=metadata)
        self.reference = Labels(reference, name="reference")
        self.viewer.layers.extend([self.reference, self.layer])
        self.live = LiveScores(lambda: None, lambda: None)
        self.live.watch(self.layer, self.reference)
        self.mask = np.zeros(SHAPE, np.uint8)
        self.edits: list[str] = []
        self.hand = Hand(self.layer, self.mask, lambda edit: self.edits.append(edit.kind))
        self.locked: set[int] = set()
        self.guard = Locks(self.layer, self.locked, lambda _: None)
        self.past: list[np.ndarray] = []  # the masks to which undo returns
        self.future: list[np.ndarray] = []
        self.known = self.mask.copy()

    # ------------------------------------------------------------------ what a person does

    def _edit(self, work, *, by_model: bool = False) -> None:
        before, steps = self.layer.data.copy(), len(self.layer._undo_history)
        work()
        after = self.layer.data
        changed = before != after
        for value in self.locked:
            np.testing.assert_array_equal(before == value, after == value)
        if len(self.layer._undo_history) > steps:
            self.past.append(self.known)
            self.known = np.where(changed, np.uint8(not by_model), self.known)
            self.future.clear()
        else:
            assert not changed.any()

    def _at(self, point: tuple[int, int]) -> tuple[int, int, int]:
        return (int(self.viewer.dims.current_step[0]), *point)

    @rule(point=points, value=values, size=st.integers(1, 6))
    def dab(self, point, value, size) -> None:
        self.layer.brush_size = size
        self._edit(lambda: self.layer.paint(self._at(point), value))

    @rule(
        path=st.lists(points, min_size=1, max_size=5), new=st.lists(values, min_size=5, max_size=5)
    )
    def stroke(self, path, new) -> None:
        """A drag; napari draws the layer anew while it goes on."""

        def drag() -> None:
            with self.layer.block_history():
                for point, value in zip(path, new, strict=False):
                    self.layer.paint(self._at(point), value)
                    self.layer.refresh()

        self._edit(drag)

    @rule(point=points, value=values)
    def drag_back_over_the_last_stroke(self, point, value) -> None:
        """What the last stroke changed is painted back amid the next one; both are taken back."""
        at, old = self._at(point), int(self.layer.data[self._at(point)])
        self.layer.brush_size = 1
        self._edit(lambda: self.layer.paint(at, (old + 1) % len(CLASSES)))
        self.what_is_by_hand_follows_the_history()
        self.stroke([point, (0, 0)], [old, value])
        for step in (self.undo, self.undo, self.redo, self.redo):
            step()
            self.what_is_by_hand_follows_the_history()

    @rule(point=points, value=values, contiguous=st.booleans())
    def fill(self, point, value, contiguous) -> None:
        self.layer.contiguous = contiguous
        self._edit(lambda: self.layer.fill(self._at(point), value))

    @rule(corners=st.lists(points, min_size=3, max_size=5), value=values)
    def polygon(self, corners, value) -> None:
        self._edit(lambda: self.layer.paint_polygon([self._at(c) for c in corners], value))

    @rule(seed=seeds, one=st.booleans())
    def set_items(self, seed, one) -> None:
        index, new = self._scattered(seed, one)
        self._edit(lambda: self.layer.data_setitem(index, new))

    @rule()
    def undo(self) -> None:
        self.layer.undo()
        if self.past:
            self.future.append(self.known)
            self.known = self.past.pop()

    @rule()
    def redo(self) -> None:
        self.layer.redo()
        if self.future:
            self.past.append(self.known)
            self.known = self.future.pop()

    @rule(z=st.integers(0, SHAPE[0] - 1))
    def move(self, z) -> None:
        self.viewer.dims.set_current_step(0, z)

    @rule()
    def preserve(self) -> None:
        self.layer.preserve_labels = not self.layer.preserve_labels

    @rule(value=values)
    def lock(self, value) -> None:
        self.locked ^= {value}

    # ------------------------------------------------------------------ what programs do

    @rule(seed=seeds, one=st.booleans())
    def model_writes(self, seed, one) -> None:
        index, new = self._scattered(seed, one)

        def write() -> None:
            with self.hand.model_writes():
                self.layer.data_setitem(index, new)

        self._edit(write, by_model=True)

    @rule(seed=seeds)
    def edit_the_reference(self, seed) -> None:
        rng = np.random.default_rng(seed)
        self.reference.paint((int(rng.integers(3)), 2, 2), int(rng.integers(len(CLASSES))))

    def _scattered(self, seed: int, one: bool):
        rng = np.random.default_rng(seed)
        index = np.nonzero(rng.random(SHAPE) < 0.1)
        top = len(CLASSES) + OTHERS
        new = rng.integers(0, top) if one else rng.integers(0, top, len(index[0]), np.uint8)
        return index, new

    # ------------------------------------------------------------------ what holds

    @invariant()
    def scores_equal_a_recount(self) -> None:
        if not hasattr(self, "live"):
            return
        self.live.settle()
        data, reference, k = self.layer.data, self.reference.data, len(CLASSES)
        known = np.where(data < k, data, 0)
        for z in range(SHAPE[0]):
            inside = np.where(data[z] < k, reference[z], IGNORE)
            matrix = self.live.matrix((z,))
            np.testing.assert_array_equal(matrix[:, :k], confusion_matrix(known[z], inside, k))
            outside = np.bincount(reference[z][data[z] >= k], minlength=256)[:k]
            np.testing.assert_array_equal(matrix[:, k], outside)

    @invariant()
    def what_is_by_hand_follows_the_history(self) -> None:
        if hasattr(self, "mask"):
            np.testing.assert_array_equal(self.mask, self.known)


class ScoresAlone(Desk):
    """With what programs do behind napari's back: no history tells it from undo, only counts do."""

    @rule(value=values)
    def write_behind(self, value) -> None:
        self.layer.data[..., :3, :3] = value
        self.layer.refresh()

    @rule(seed=seeds)
    def replace(self, seed) -> None:
        self.layer.data = np.random.default_rng(seed).integers(0, 5, SHAPE, np.uint8)

    def _edit(self, work, *, by_model: bool = False) -> None:
        work()

    @invariant()
    def what_is_by_hand_follows_the_history(self) -> None:
        """Not asked here."""


BRIEF = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestDesk = Desk.TestCase
TestDesk.settings = BRIEF
TestScoresAlone = ScoresAlone.TestCase
TestScoresAlone.settings = BRIEF
