"""Expected calibration error against its definition, pixel by pixel, and the band it is seen in."""

import numpy as np
import pytest

from spad.metrics.calibration import calibration_error, calibration_histogram, contour_band

IGNORE = 255


def probabilities(shape, k=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.4), shape).transpose(2, 0, 1)


def ece(confidence, right, bins):
    """The definition: a sum over bins of |accuracy - confidence|, weighted by their pixels."""
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += abs(right[inside].mean() - confidence[inside].mean()) * inside.mean()
    return error


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_errors_are_those_of_the_definition(bins):
    p, truth = probabilities((30, 40)), np.random.default_rng(1).integers(0, 4, (30, 40), np.uint8)
    found = calibration_error(calibration_histogram(p, truth, bins=bins))
    for k in range(4):
        assert found[k] == pytest.approx(ece(p[k], truth == k, bins))
    assert found[4] == pytest.approx(ece(p.max(0), truth == p.argmax(0), bins))


def test_by_hand():
    # Two of the four pixels said to be class 1 with .9 are: .4 too sure. All .1 belong to class 0.
    p = np.array([[0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9]])
    truth = np.array([1, 1, 0, 0], np.uint8)
    assert calibration_error(calibration_histogram(p, truth)) == pytest.approx([0.4, 0.4, 0.4])


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error():
    p, rng = probabilities((400, 500), seed=2), np.random.default_rng(3)
    drawn = (p.cumsum(0) < rng.uniform(size=p.shape[1:])).sum(0).astype(np.uint8)
    assert calibration_error(calibration_histogram(p, drawn)).max() < 0.01
    wrong = (drawn + 1) % 4
    assert calibration_error(calibration_histogram(p, wrong)).min() > 0.1


def test_histograms_of_images_add_up_to_that_of_all_pixels():
    p, truth = probabilities((20, 30)), np.random.default_rng(1).integers(0, 4, (20, 30), np.uint8)
    parts = [calibration_histogram(p[:, rows], truth[rows]) for rows in np.split(np.arange(20), 4)]
    np.testing.assert_allclose(sum(parts), calibration_histogram(p, truth))


def test_ignored_pixels_and_those_outside_do_not_count():
    p, truth = probabilities((20, 30)), np.random.default_rng(1).integers(0, 4, (20, 30), np.uint8)
    where = np.zeros((20, 30), bool)
    where[:, :12] = True
    expected = calibration_histogram(p[:, :, :7], truth[:, :7])
    partly = truth.copy()
    partly[:, 7:12] = IGNORE
    np.testing.assert_allclose(calibration_histogram(p, partly, where=where), expected)
    nothing = calibration_histogram(p, np.full((20, 30), IGNORE, np.uint8))
    assert np.isnan(calibration_error(nothing)).all()


def test_sure_and_impossible_are_counted_too():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = calibration_histogram(p, np.array([0, 1], np.uint8))
    assert found[:, :, 0].sum(1).tolist() == [2, 2, 2]
    assert calibration_error(found).max() == 0


def test_maps_of_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"\(4, 5, 6\), reference of \(5, 7\).*one grid"):
        calibration_histogram(probabilities((5, 6)), np.zeros((5, 7), np.uint8))


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_the_band_is_where_another_class_is_near(radius):
    labels = np.random.default_rng(4).integers(0, 3, (4, 5), np.uint8).repeat(7, 0).repeat(6, 1)
    labels[8:12, 8:19] = IGNORE
    band = contour_band(labels, radius)
    for i, j in np.ndindex(*labels.shape):
        near = labels[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1]
        other = (near != labels[i, j]) & (near != IGNORE)
        assert band[i, j] == (labels[i, j] != IGNORE and other.any())
    assert 0 < band.mean() < 0.9


def test_a_map_of_one_class_has_no_band():
    assert not contour_band(np.full((9, 9), 2, np.uint8)).any()
