"""Confusion matrices count each pair once, and refuse in words what cannot be counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spad.checkpoint.labels import IGNORE
from spad.metrics import confusion_matrix, hd95

K = 4
rng = np.random.default_rng(0)
predictions = st.integers(0, K - 1)
references = st.one_of(predictions, st.just(IGNORE))


def label_maps(shape, values=predictions, dtype=np.uint8):
    return arrays(dtype, shape, elements=values)


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


def test_masked_pixels_are_refused_as_they_have_values_below_their_mask():
    whole, hidden = np.eye(3, dtype=int), np.ma.masked_equal(np.eye(3, dtype=int), 1)
    for pair in ((whole, hidden), (hidden, whole)):
        with pytest.raises(ValueError, match="give its masked pixels a value"):
            confusion_matrix(*pair, 2)
        with pytest.raises(ValueError, match="give its masked pixels a value"):
            hd95(*(one == 1 for one in pair))
    assert confusion_matrix(whole, hidden.filled(IGNORE), 2).tolist() == [[6, 0], [0, 0]]
