"""Live scores equal a full recount, whatever is done to a real Labels layer. Needs no display."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.components import ViewerModel
from napari.layers import Labels

from napari_spad.scores.live_scores import LiveScores, mismatch
from spad.checkpoint.labels import IGNORE, label_classes
from spad.metrics import confusion_matrix, structure_scores

CLASSES = label_classes(("background", "SRF", "IRF", "PED"))
SHAPE = (4, 24, 32)


def result_layer(data: np.ndarray) -> Labels:
    metadata = {"spad": {"classes": [c.as_json() for c in CLASSES], "provenance": []}}
    return Labels(data, name="result", metadata=metadata)


def watch(segmentation: Labels, reference: Labels) -> tuple[LiveScores, list[str]]:
    heard: list[str] = []
    live = LiveScores(lambda: heard.append("changed"), lambda: heard.append("stale"))
    live.watch(segmentation, reference)
    return live, heard


def recount(live: LiveScores) -> np.ndarray:
    data = np.asarray(live.segmentation.data)
    reference = np.asarray(live.reference.data)
    inside = np.where(data < len(CLASSES), data, 0)
    full = confusion_matrix(inside, reference, len(CLASSES))
    others = (data >= len(CLASSES)) & (reference != IGNORE)
    column = np.bincount(reference[others], minlength=len(CLASSES))[: len(CLASSES)]
    full[:, 0] -= column
    return np.column_stack([full, column])


class Annotator:
    """Does one random thing after another to a layer, as napari's tools do."""

    def __init__(self, viewer: ViewerModel, layer: Labels, rng: np.random.Generator) -> None:
        self.viewer, self.layer, self.rng = viewer, layer, rng

    def _point(self) -> tuple[int, ...]:
        z = self.viewer.dims.current_step[0] if self.layer.ndim == 3 else None
        at = tuple(int(self.rng.integers(n)) for n in self.layer.data.shape[-2:])
        return at if z is None else (z, *at)

    def _value(self) -> int:
        return int(self.rng.integers(0, 6))  # 4 and 5 are no classes

    def paint(self) -> None:
        self.layer.brush_size = int(self.rng.integers(1, 12))
        self.layer.paint(self._point(), self._value())

    def stroke(self) -> None:
        with self.layer.block_history():
            for _ in range(4):
                self.paint()

    def fill(self) -> None:
        self.layer.fill(self._point(), self._value())

    def polygon(self) -> None:
        corners = [self._point() for _ in range(4)]
        self.layer.paint_polygon(corners, self._value())

    def undo(self) -> None:
        self.layer.undo()

    def redo(self) -> None:
        self.layer.redo()

    def set_item(self) -> None:
        count = int(self.rng.integers(1, 60))
        index = tuple(self.rng.integers(0, n, count) for n in self.layer.data.shape)
        self.layer.data_setitem(index, self._value())

    def set_items(self) -> None:
        index = np.nonzero(self.rng.random(self.layer.data.shape) < 0.02)
        values = self.rng.integers(0, 6, len(index[0])).astype(self.layer.data.dtype)
        self.layer.data_setitem(index, values)

    def replace(self) -> None:
        self.layer.data = self.rng.integers(0, 5, self.layer.data.shape, np.uint8)

    def write_behind(self) -> None:
        self.layer.data[..., :3, :3] = self._value()
        self.layer.refresh()

    def move(self) -> None:
        self.viewer.dims.set_current_step(0, int(self.rng.integers(4)))

    def preserve(self) -> None:
        self.layer.preserve_labels = not self.layer.preserve_labels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]])
def test_equals_a_recount_after_anything_an_annotator_does(seed: int, shape: tuple[int, ...]):
    rng = np.random.default_rng(seed)
    viewer = ViewerModel()
    reference = rng.integers(0, 4, shape, np.uint8)
    reference[..., -2:] = IGNORE
    layer = result_layer(rng.integers(0, 4, shape, np.uint8))
    other = Labels(reference, name="reference")
    viewer.layers.extend([other, layer])
    live, heard = watch(layer, other)
    annotator = Annotator(viewer, layer, rng)
    deeds = [name for name in vars(Annotator) if not name.startswith("_")]
    for _ in range(40):
        heard.clear()
        getattr(annotator, deeds[rng.integers(len(deeds))])()
        if "stale" in heard:
            live.settle()
        np.testing.assert_array_equal(live.matrix(()), recount(live))
    scores = structure_scores(live.matrix(()), live.classes)
    assert [s.name for s in scores] == ["SRF", "IRF", "PED"]


@pytest.mark.parametrize("tool", ["paint", "stroke", "fill", "polygon", "set_item", "set_items"])
def test_tools_are_counted_at_once_without_looking_at_the_data(tool: str):
    rng = np.random.default_rng(3)
    viewer = ViewerModel()
    layer = result_layer(rng.integers(0, 4, SHAPE, np.uint8))
    other = Labels(rng.integers(0, 4, SHAPE, np.uint8))
    viewer.layers.extend([other, layer])
    live, heard = watch(layer, other)
    annotator = Annotator(viewer, layer, rng)
    for _ in range(5):
        getattr(annotator, tool)()
        np.testing.assert_array_equal(live.matrix(()), recount(live))
    assert "changed" in heard


def test_a_stroke_under_way_is_seen_by_a_glance_and_counted_once():
    layer = result_layer(np.zeros(SHAPE, np.uint8))
    live, _ = watch(layer, Labels(np.ones(SHAPE, np.uint8)))
    layer._begin_stroke()
    layer.paint((2, 10, 10), 1)
    live.glance((2,))
    np.testing.assert_array_equal(live.matrix(()), recount(live))
    layer._commit_stroke()
    np.testing.assert_array_equal(live.matrix(()), recount(live))


def test_an_undo_on_a_slice_that_is_not_shown_is_found():
    viewer = ViewerModel()
    layer = result_layer(np.zeros(SHAPE, np.uint8))
    reference = Labels(np.ones(SHAPE, np.uint8))
    viewer.layers.extend([reference, layer])
    live, _ = watch(layer, reference)
    layer.data_setitem((np.array([3]), np.array([1]), np.array([1])), 1)
    viewer.dims.set_current_step(0, 0)
    layer.undo()
    assert live.settle()
    assert live.matrix((3,))[1, 1] == 0


def test_edits_of_the_reference_and_a_new_shape_are_followed():
    layer, reference = result_layer(np.ones(SHAPE, np.uint8)), Labels(np.zeros(SHAPE, np.uint8))
    live, _ = watch(layer, reference)
    reference.paint((1, 5, 5), 1)
    live.settle()
    np.testing.assert_array_equal(live.matrix(()), recount(live))
    reference.undo()
    live.settle()
    assert live.matrix(())[1].sum() == 0
    layer.data = np.ones((2, 5, 5), np.uint8)
    with pytest.raises(ValueError, match="shape is 4 × 24 × 32"):
        live.settle()


def test_an_undo_in_a_reference_that_was_painted_in_before_is_followed():
    layer, reference = result_layer(np.ones(SHAPE, np.uint8)), Labels(np.zeros(SHAPE, np.uint8))
    reference.paint((1, 5, 5), 1)
    live, _ = watch(layer, reference)
    assert live.matrix(())[1, 1] > 0
    reference.undo()
    assert live.settle()
    np.testing.assert_array_equal(live.matrix(()), recount(live))
    assert live.matrix(())[1, 1] == 0


def test_structures_are_matched_by_name_where_both_have_names():
    reference = np.zeros(SHAPE, np.uint8)
    reference[0], reference[1], reference[2] = 7, 2, 9
    other = Labels(
        reference, features={"index": [0, 2, 7, 9], "name": ["bg", "PED", "srf (fluid)", "drusen"]}
    )
    layer = result_layer(np.ones(SHAPE, np.uint8))
    live, _ = watch(layer, other)
    counts = live.matrix(())
    pixels = reference[0].size
    assert counts[1, 1] == pixels  # 7 is srf
    assert counts[3, 1] == pixels  # 2 is PED
    assert counts[2].sum() == 0
    assert live.remark == "In the reference only, counted as background: drusen."


def test_structures_are_matched_by_value_otherwise():
    layer = result_layer(np.full(SHAPE, 2, np.uint8))
    live, _ = watch(layer, Labels(np.full(SHAPE, 2, np.int32)))
    assert live.matrix((1,))[2, 2] == SHAPE[1] * SHAPE[2]


def test_names_that_do_not_agree_are_said():
    features = {"index": [0, 2], "name": ["bg", "fluid"]}
    live, _ = watch(
        result_layer(np.full(SHAPE, 2, np.uint8)),
        Labels(np.full(SHAPE, 2, np.uint8), features=features),
    )
    assert live.matrix(())[2, 2] == np.prod(SHAPE)
    assert "matched by value" in live.remark


def test_labels_of_any_kind_and_numbering_can_be_scored():
    data = np.zeros((2, 3, *SHAPE[1:]), np.int64)
    data[0, 1], data[1, 2] = 300, 12
    live, _ = watch(Labels(data), Labels(data.copy()))
    assert live.values == (0, 12, 300)
    assert live.matrix((0, 1))[2, 2] == SHAPE[1] * SHAPE[2]
    live.segmentation.data_setitem(tuple(np.array([i]) for i in (0, 0, 0, 0)), 12)
    live.settle()
    assert live.matrix((0, 0))[0, 1] == 1


def test_instances_are_refused_in_words():
    many = Labels(np.arange(24 * 32).reshape(24, 32))
    live = LiveScores(lambda: None, lambda: None)
    with pytest.raises(ValueError, match="not for instances"):
        live.watch(many, Labels(np.zeros((24, 32), np.uint8)))
    assert live.segmentation is None
    assert not live.settle()
    live.stop()


def test_mismatch_says_why():
    one, two = Labels(np.zeros((3, 4), np.uint8)), Labels(np.zeros((3, 5), np.uint8))
    assert "3 × 5" in mismatch(one, two)
    assert mismatch(one, one)
    assert not mismatch(one, Labels(np.zeros((3, 4), np.uint8)))


def test_nothing_is_heard_after_stop():
    layer = result_layer(np.zeros(SHAPE, np.uint8))
    live, heard = watch(layer, Labels(np.zeros(SHAPE, np.uint8)))
    live.stop()
    heard.clear()
    layer.paint((0, 3, 3), 1)
    layer.undo()
    assert not heard
    assert not live.settle()
