"""Live confusion matrices agree with a full recount, whatever the edits and their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spad.checkpoint.labels import IGNORE
from spad.metrics import confusion_matrix
from spad.metrics.live_confusion import LiveConfusion

K = 4
rng = np.random.default_rng(0)
predictions = st.integers(0, K - 1)
references = st.one_of(predictions, st.just(IGNORE))


def label_maps(shape, values=predictions, dtype=np.uint8):
    return arrays(dtype, shape, elements=values)


def recount(prediction, reference):
    """Matrices (Z, K, K + 1) by the definition, values outside 0..K-1 in the last column."""
    codes = np.where((prediction >= 0) & (prediction < K), prediction, K)
    return np.stack(
        [
            [[np.sum((r == row) & (p == column)) for column in range(K + 1)] for row in range(K)]
            for p, r in zip(codes, reference, strict=True)
        ]
    )


SHAPE = (3, 4, 5)
slots = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
labels = st.sampled_from([0, 1, 2, 3, 4, 9, 255, 256, -1, 2**31 - 1])
boxes = st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in SHAPE))


@st.composite
def edits(draw):
    """An edit as hosts report it: (index, new values, mask)."""
    if draw(st.booleans()):  # napari's data_setitem; the same pixel may occur twice
        places = draw(st.lists(slots, min_size=1, max_size=12))
        new = draw(st.one_of(labels, arrays(np.int32, len(places), elements=labels)))
        return tuple(np.array(places).T), new, None
    box = tuple(slice(*ends) for ends in draw(boxes))  # napari's brush, fill and polygon
    shape = np.empty(SHAPE)[box].shape
    mask = draw(st.one_of(st.none(), arrays(bool, shape)))
    return box, draw(labels), mask


@settings(deadline=None)
@given(
    label_maps(SHAPE, labels, np.int32),
    label_maps(SHAPE, references),
    st.lists(edits(), max_size=8),
    st.booleans(),
)
def test_live_matrices_equal_a_recount_after_any_edits(prediction, reference, sequence, written):
    live = LiveConfusion(prediction, reference, K)
    for index, new, mask in sequence:
        # Hosts announce edits before or after they write: neither may matter.
        if not written:
            live.edit(index, new, mask)
        if mask is None:
            prediction[index] = new
        else:
            prediction[index][mask] = new
        if written:
            live.edit(index, new, mask)
        assert (live.slices == recount(prediction, reference)).all()
    assert (live.matrix == live.slices.sum(axis=0)).all()
    assert live.resync(prediction) is False


@pytest.mark.parametrize(
    "index",
    [
        (slice(1, 3), slice(0, 2)),
        (np.array([0, 3, 3]), np.array([1, 1, 1])),
        (np.array([-1]), np.array([-2])),
        (2, slice(None)),
        (...,),
    ],
)
def test_a_single_b_scan_is_edited_with_its_own_indices(index):
    prediction = rng.integers(0, K, (4, 5))
    reference = rng.integers(0, K, (4, 5))
    live = LiveConfusion(prediction, reference, K)
    prediction[index] = 3
    live.edit(index, 3)
    assert (live.matrix[:, :K] == confusion_matrix(prediction, reference, K)).all()


def test_the_strokes_of_napari_are_followed_through_its_events():
    napari_layers = pytest.importorskip("napari.layers")
    layer = napari_layers.Labels(rng.integers(0, K, (3, 20, 20)))
    reference = rng.integers(0, K, (3, 20, 20))
    live = LiveConfusion(layer.data, reference, K)

    def follow(event):
        for atom in event.value:
            if len(atom) == 4:
                key, mask, _, new = atom
                live.edit(key, new, mask)
            else:
                indices, _, new = atom
                live.edit(indices, new)

    layer.events.paint.connect(follow)
    with layer.block_history():  # one drag: overlapping discs in one event
        layer.paint((1, 8, 8), 9)
        layer.paint((1, 9, 9), 2)
    layer.data_setitem((np.array([2, 2]), np.array([0, 1]), np.array([0, 0])), 3)
    assert (live.slices == recount(layer.data, reference)).all()
    assert live.matrix[:, K].any()

    layer.undo()  # says nothing
    assert live.resync(layer.data, [1]) is False
    assert live.resync(layer.data, [2]) is True
    assert (live.slices == recount(layer.data, reference)).all()


def test_resync_looks_only_where_it_is_told():
    prediction = np.zeros((3, 2, 2), np.uint8)
    live = LiveConfusion(prediction, prediction, 2)
    prediction[1] = 1
    assert live.resync(prediction, [0, 2]) is False
    assert live.matrix.tolist() == [[12, 0, 0], [0, 0, 0]]
    assert live.resync(prediction, [1]) is True
    assert live.matrix.tolist() == [[8, 4, 0], [0, 0, 0]]


def test_later_changes_of_the_arrays_do_not_reach_the_copies():
    prediction, reference = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)
    live = LiveConfusion(prediction, reference, 2)
    prediction[:], reference[:] = 1, 1
    live.edit((0, 0), 1)
    assert live.matrix.tolist() == [[3, 1, 0], [0, 0, 0]]


def test_an_edit_that_fails_changes_nothing():
    live = LiveConfusion(np.zeros((2, 2, 2), int), np.zeros((2, 2, 2), int), 2)
    with pytest.raises(IndexError):
        live.edit((np.array([0, 5]), np.array([0, 0]), np.array([0, 0])), 1)
    with pytest.raises(ValueError, match="integers"):
        live.edit((0, 0, 0), 0.5)
    assert live.matrix.tolist() == [[8, 0, 0], [0, 0, 0]]
    assert live.resync(np.zeros((2, 2, 2), int)) is False


@pytest.mark.parametrize(
    ("prediction", "reference", "words"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "does not match"),
        (np.zeros(4, int), np.zeros(4, int), r"give \(H, W\) or \(Z, H, W\)"),
        (np.zeros((2, 2), int), np.full((2, 2), 9), "reference holds 9"),
    ],
)
def test_live_confusion_refuses_what_it_cannot_compare(prediction, reference, words):
    with pytest.raises(ValueError, match=words):
        LiveConfusion(prediction, reference, 2)
