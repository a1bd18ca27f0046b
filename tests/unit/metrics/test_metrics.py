"""Scores agree with their definitions and with MONAI; the live ones with a full recount."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_hausdorff_distance

from spad.checkpoint.labels import IGNORE, label_classes
from spad.metrics.confusion import (
    LiveConfusion,
    confusion_matrix,
    dice_per_slice,
    hd95,
    mean_scores,
    structure_scores,
    worst_slices,
)

K = 4
CLASSES = label_classes(["background", "SRF", "IRF", "PED"])
rng = np.random.default_rng(0)


predictions = st.integers(0, K - 1)
references = st.one_of(predictions, st.just(IGNORE))


def label_maps(shape, values=predictions, dtype=np.uint8):
    return arrays(dtype, shape, elements=values)


# Confusion matrix


def test_rows_are_the_reference_and_columns_the_prediction():
    matrix = confusion_matrix([[0, 1, 1, 2]], [[0, 0, 1, IGNORE]], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert matrix.dtype == np.int64


@given(label_maps((5, 7)), label_maps((5, 7), references))
def test_the_matrix_counts_every_pair_but_where_the_reference_is_ignored(prediction, reference):
    matrix = confusion_matrix(prediction, reference, K)
    for row in range(K):
        for column in range(K):
            assert matrix[row, column] == np.sum((reference == row) & (prediction == column))


@given(label_maps((5, 7)), label_maps((5, 7), references), st.permutations(range(K)))
def test_permuting_the_classes_permutes_the_matrix(prediction, reference, order):
    lookup = np.full(256, IGNORE, np.uint8)
    lookup[:K] = order
    permuted = confusion_matrix(lookup[prediction], lookup[reference], K)
    matrix = confusion_matrix(prediction, reference, K)
    assert (permuted[np.ix_(order, order)] == matrix).all()


def test_volumes_larger_than_one_chunk_are_counted_in_full():
    prediction, reference = rng.integers(0, K, (2, 3, 700, 701))
    matrix = confusion_matrix(prediction, reference, K)
    assert (matrix == np.histogram2d(reference.ravel(), prediction.ravel(), bins=K)[0]).all()


def test_a_prediction_may_hold_anything_where_the_reference_is_ignored():
    assert confusion_matrix([77, 1], [IGNORE, 1], 2).tolist() == [[0, 0], [0, 1]]


def test_a_class_can_be_ignored_and_ignoring_can_be_off():
    assert confusion_matrix([0, 1], [0, 1], 2, ignore=0).tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="reference holds 255"):
        confusion_matrix([0, 1], [0, IGNORE], 2, ignore=None)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, ">i4", np.int64, np.uint64])
def test_every_integer_type_counts_alike(dtype):
    values = np.array([[0, 1, 1, 0]], dtype)
    assert confusion_matrix(values[:, ::-1], values, 2).tolist() == [[2, 0], [0, 2]]


@pytest.mark.parametrize(
    ("prediction", "reference", "words"),
    [
        ([0, 2], [0, 1], r"prediction holds 2 \(1 pixels\), outside 0..1"),
        ([0, -1], [0, 1], "prediction holds -1"),
        ([0, 1], [9, 1], "reference holds 9"),
        ([0, 1], [-(2**40), 1], "reference holds -1099511627776"),
        ([0.0, 1.0], [0, 1], "float64; convert it to integers"),
        ([0, 1], [[0], [1]], "do not match"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_words(prediction, reference, words):
    with pytest.raises(ValueError, match=words):
        confusion_matrix(np.array(prediction), np.array(reference), 2)


# Live confusion


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


# Dice and IoU


@given(label_maps((6, 6)), label_maps((6, 6)))
def test_dice_and_iou_are_what_monai_says_and_fit_each_other(prediction, reference):
    scores = structure_scores(confusion_matrix(prediction, reference, K), CLASSES)
    hot = [torch.from_numpy(np.eye(K)[x]).movedim(-1, 0)[None] for x in (prediction, reference)]
    # With ignore_empty=False, MONAI gives an absent structure 1 where we give none.
    monai = compute_dice(*hot, include_background=False, ignore_empty=False)[0].tolist()
    assert [s.value for s in scores] == [1, 2, 3]
    for score, expected in zip(scores, monai, strict=True):
        if score.state == "absent":
            assert math.isnan(score.dice)
            assert math.isnan(score.iou)
            assert expected == 1
        else:
            assert score.dice == pytest.approx(expected)
            assert score.dice == pytest.approx(2 * score.iou / (1 + score.iou))


def test_absent_structures_are_left_out_of_means_missed_and_invented_ones_count_0():
    prediction = np.array([[0, 1, 2, 2]])
    reference = np.array([[0, 1, 1, 0]])
    scores = structure_scores(confusion_matrix(prediction, reference, K), CLASSES)
    assert [(s.name, s.state, s.reference_pixels, s.predicted_pixels) for s in scores] == [
        ("SRF", "compared", 2, 1),
        ("IRF", "invented", 0, 2),
        ("PED", "absent", 0, 0),
    ]
    assert mean_scores(scores) == (pytest.approx(1 / 3), 0.25, 2)
    swapped = structure_scores(confusion_matrix(reference, prediction, K), CLASSES)
    assert [s.state for s in swapped] == ["compared", "missed", "absent"]
    assert swapped[1].dice == swapped[1].iou == 0


def test_means_of_nothing_are_nan_without_a_warning():
    with warnings.catch_warnings(action="error"):
        scores = structure_scores(np.zeros((K, K), np.int64), CLASSES)
        *means, count = mean_scores(scores)
    assert np.isnan(means).all()
    assert count == 0


def test_pixels_painted_with_a_foreign_label_are_missing_from_their_structure():
    live = LiveConfusion(np.array([[1, 9]]), np.array([[1, 1]]), K)
    assert structure_scores(live.matrix, CLASSES)[0].dice == pytest.approx(2 / 3)


def test_scores_refuse_a_matrix_for_other_classes():
    with pytest.raises(ValueError, match="num_classes=4"):
        structure_scores(np.zeros((3, 3), np.int64), CLASSES)


def test_the_worst_slices_come_first_and_those_without_the_structure_not_at_all():
    reference = np.zeros((4, 1, 4), np.uint8)
    reference[[0, 2, 3], 0, :2] = 1
    prediction = reference.copy()
    prediction[0, 0, 1] = 0
    prediction[2] = 0
    slices = LiveConfusion(prediction, reference, 2).slices
    with warnings.catch_warnings(action="error"):
        assert dice_per_slice(slices, 1) == pytest.approx([2 / 3, math.nan, 0, 1], nan_ok=True)
        assert worst_slices(slices, 1) == [2, 0, 3]
        assert worst_slices(slices, 1, 1) == [2]


# HD95


def monai_hd95(prediction, reference, spacing):
    pair = (torch.from_numpy(m)[None, None] for m in (prediction, reference))
    return compute_hausdorff_distance(*pair, True, percentile=95, spacing=spacing).item()


@pytest.mark.parametrize("spacing", [None, (0.004, 0.011), (0.12, 0.004, 0.011)])
@pytest.mark.parametrize("density", [0.02, 0.5, 0.97])
def test_hd95_is_monais(spacing, density):
    shape = (9, 17, 23) if spacing is not None and len(spacing) == 3 else (31, 40)
    for _ in range(5):
        prediction, reference = (rng.random(shape) < density for _ in range(2))
        expected = monai_hd95(prediction, reference, spacing)
        assert hd95(prediction, reference, spacing) == pytest.approx(expected, rel=1e-4)


def test_hd95_of_structures_at_the_frame_is_monais():
    y, x = np.mgrid[:40, :60]
    prediction, reference = y < 8 + x // 10, (y < 14) & (x > 3)
    assert hd95(prediction, reference) == pytest.approx(monai_hd95(prediction, reference, None))


def test_hd95_is_symmetric_and_forgives_a_twentieth_of_the_surface():
    a = np.zeros((10, 120), bool)
    a[0] = True
    b = a.copy()
    b[9, 0] = True
    assert hd95(a, b) == hd95(b, a) == 0
    b[9, :12] = True
    assert hd95(a, b) == hd95(b, a) == 9


def test_hd95_of_one_empty_mask_is_inf_and_of_two_nan():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert hd95(empty, full) == hd95(full, empty) == math.inf
    assert math.isnan(hd95(empty, empty))


@pytest.mark.parametrize(
    ("shape", "dtype", "spacing", "words"),
    [
        ((3, 4), bool, None, "give two alike"),
        ((3, 3), np.uint8, None, "not boolean"),
        ((3, 3), bool, (1.0,), "spacing"),
        ((3, 3), bool, (1.0, 0.0), "positive"),
        ((3, 3), bool, (1.0, math.nan), "positive"),
    ],
)
def test_hd95_refuses_masks_and_spacings_that_mean_nothing(shape, dtype, spacing, words):
    with pytest.raises(ValueError, match=words):
        hd95(np.ones(shape, dtype), np.ones((3, 3), dtype), spacing)
