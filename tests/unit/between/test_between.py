"""What is proposed between two B-scans: gaps, alignment, shapes, and the model's part."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from spad.between import (
    Gap,
    Neighbour,
    align,
    gaps,
    interpolated,
    nothing_between,
    shapes_between,
)
from spad.between import mixed as mixed_by
from spad.checkpoint import SamplingConfig
from spad.phantom import bscan

SHAPE = (80, 120)
mixed = partial(mixed_by, rule=SamplingConfig())


def disc(row: float, column: float, radius: float, value: int = 1) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.where(np.hypot(rows - row, columns - column) <= radius, value, 0).astype(np.uint8)


def test_gaps_lie_between_accepted_bscans_around_one_or_everywhere():
    assert gaps({9, 0, 3, 4}) == (Gap(0, 3), Gap(4, 9))
    assert gaps([0, 3, 4, 9], here=2) == (Gap(0, 3),)
    assert gaps([0, 3, 9], here=3) == (Gap(0, 3), Gap(3, 9))
    assert gaps([0, 3], here=5) == gaps([4]) == ()
    assert list(Gap(4, 8).numbers) == [5, 6, 7]
    assert Gap(4, 8).share(5) == 0.25


@pytest.mark.parametrize(
    ("accepted", "here", "said"),
    [
        ([], 3, r"none is so far"),
        ([2], 3, r"only B-scan 3 is so far"),
        ([2, 3], None, "next to each other"),
        ([2, 3], 2, "next to each other"),
        ([2, 5], 1, "B-scan 2 does not lie between two accepted ones: none is accepted before"),
        ([2, 5], 7, "none is accepted after it"),
        ([2, 3, 6], 2, "Nothing lies between B-scan 3"),
        ([2, 5], 4, "^$"),
    ],
)
def test_it_is_said_why_nothing_can_be_filled(accepted, here, said):
    assert re.search(said, nothing_between(accepted, here))


def test_what_is_said_of_gaps_counts_as_the_host_does():
    assert "only B-scan 2 is so far" in nothing_between([2], 3, first=0)
    assert nothing_between([2, 5], 1, first=0).startswith("B-scan 1 does not lie")


def test_alignment_finds_a_shift_and_a_tilt():
    image = bscan(3, shape=(128, 192)).image
    shifted = align(image, np.roll(image, (4, 5), (0, 1)))
    assert abs(shifted.column - 5) <= 1
    assert np.abs(shifted.rows - 4)[10:-10].max() < 0.5
    tilt = np.linspace(-5, 6, 192)
    rows = np.arange(128)[:, None] - tilt
    tilted = ndimage.map_coordinates(
        image.astype(np.float32), [rows, np.broadcast_to(np.arange(192), rows.shape)], order=1
    )
    assert np.abs(align(image, tilted).rows - tilt)[15:-15].mean() < 1.2
    with pytest.raises(ValueError, match="cannot be aligned; give two B-scans of one size"):
        align(image, tilted[:, 5:])


def test_an_image_is_aligned_with_itself_as_it_is():
    phantom = bscan(4, shape=(96, 128))
    found = align(phantom.image, phantom.image)
    assert not found.rows.any()
    assert found.column == 0
    np.testing.assert_array_equal(found.apply(phantom.labels), phantom.labels)


def test_a_disc_that_grows_is_halfway_in_the_middle_and_the_same_at_the_ends():
    small, large = disc(40, 60, 10), disc(40, 60, 20)
    middle = interpolated(small, large, 0.5, 2)
    assert abs((middle.labels == 1).sum() - disc(40, 60, 15).sum()) < 15
    assert middle.moved_px[1] == pytest.approx(10, abs=0.5)
    np.testing.assert_array_equal(interpolated(small, large, 0.0, 2).labels, small)
    np.testing.assert_array_equal(interpolated(small, large, 1.0, 2).labels, large)


def test_a_part_that_vanishes_shrinks_to_its_deepest_pixel_or_to_where_the_rest_is():
    alone, none = disc(40, 60, 12), np.zeros(SHAPE, np.uint8)
    sizes = [(interpolated(alone, none, s, 2).labels == 1).sum() for s in (0.0, 0.3, 0.6, 0.95)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0
    last = np.argwhere(interpolated(alone, none, 0.9, 2).labels)
    np.testing.assert_allclose(last.mean(0), [40, 60], atol=1)
    # Another part, which stays, lies to the right: there the vanishing one ends.
    both = alone | disc(40, 100, 8)
    found = interpolated(both, disc(40, 100, 8), 0.4, 2).labels
    shrunk = np.argwhere(found[:, :80])
    assert shrunk.mean(0)[1] > 63
    assert len(shrunk) < alone.sum() / 2
    assert (found[:, 85:] == both[:, 85:]).all()


def test_structures_side_by_side_leave_no_gap():
    before, after = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    before[20:30], before[30:40] = 1, 2
    after[20:36], after[36:50] = 1, 2
    middle = interpolated(before, after, 0.5, 3).labels
    np.testing.assert_array_equal(np.unique(middle[20:45]), [1, 2])
    assert (middle[:, 60] == 1).sum() == 13
    assert (middle[:, 60] == 2).sum() == 12


def test_the_model_decides_where_the_shapes_are_unsure_and_they_where_it_is():
    shapes = interpolated(disc(40, 60, 10), disc(40, 60, 14), 0.5, 2)
    alone, unsure = disc(40, 60, 3), np.full((2, *SHAPE), 0.5)
    np.testing.assert_array_equal(mixed(shapes, alone, unsure), shapes.labels)
    seen = np.stack([1 - disc(40, 60, 13), disc(40, 60, 13)]).astype(np.float16)
    np.testing.assert_array_equal(mixed(shapes, alone, seen), disc(40, 60, 13))
    elsewhere = np.stack([1 - disc(40, 100, 5), disc(40, 100, 5)]).astype(np.float16)
    assert not mixed(shapes, alone, elsewhere)[:, 90:].any()  # far from what the neighbours show
    assert mixed(shapes, alone, unsure, rule=SamplingConfig(odds=4.0)).sum() > shapes.labels.sum()
    with pytest.raises(ValueError, match="cannot be mixed; give all of one B-scan"):
        mixed(shapes, alone, unsure[:, :40])


def test_a_part_that_the_model_nowhere_is_sure_of_needs_both_neighbours():
    before, after = disc(40, 30, 10) | disc(40, 90, 10), disc(40, 31, 10)
    shapes = interpolated(before, after, 0.5, 2)
    none, unsure = np.zeros(SHAPE, np.uint8), np.full((2, *SHAPE), 0.5)
    assert mixed(shapes, none, unsure)[40, [30, 90]].all()
    found = mixed(shapes, none, unsure, rule=SamplingConfig(peak=0.8))
    np.testing.assert_array_equal(found[40, [30, 90]], [1, 0])
    unsure[:, 40, 90] = 0.1, 0.9
    assert mixed(shapes, none, unsure, rule=SamplingConfig(peak=0.8))[40, 90]


def test_the_wider_a_gap_the_less_count_shapes_that_differ():
    alike = interpolated(disc(40, 60, 10), disc(40, 61, 10), 0.5, 2)
    apart = interpolated(disc(40, 30, 10), disc(40, 90, 10), 0.5, 2)
    assert alike.agreement > 0.9
    assert apart.agreement == 0
    seen = disc(40, 60, 6)
    probability = np.stack([1 - 0.8 * seen, 0.8 * seen])
    for between, kept in ((1, False), (3, True), (9, True)):
        assert mixed(apart, seen, probability, between=between)[40, 60] == kept
    np.testing.assert_array_equal(mixed(apart, seen, probability, between=9), seen)
    assert mixed(alike, seen, probability, between=9).sum() > seen.sum() + 50


def test_what_is_no_class_is_background_and_no_agreement():
    """255 fills a smaller B-scan of a stack up; equal in both, it says nothing of their shapes."""
    one, other = disc(20, 30, 8), disc(60, 30, 8)
    plain = interpolated(one, other, 0.5, 2)
    for value in (2, 255):
        filled = [
            np.where(np.arange(SHAPE[1]) > 60, value, m).astype(np.uint8) for m in (one, other)
        ]
        found = interpolated(*filled, 0.5, 2)
        assert found.agreement == plain.agreement == 0
        assert not found.shared.any()
        np.testing.assert_array_equal(found.distances, plain.distances)


def test_between_two_bscans_of_a_moved_eye_the_shape_lies_where_the_image_is():
    phantom = bscan(7, shape=(128, 192))

    def moved(rows: int) -> Neighbour:
        return Neighbour(np.roll(phantom.image, rows, 0), np.roll(phantom.labels, rows, 0))

    found = shapes_between(phantom.image, moved(4), moved(-3), 0.5, 6).labels
    assert (found == phantom.labels)[8:-8].mean() > 0.995
    colours = np.repeat(phantom.image[..., None], 3, -1)
    again = shapes_between(colours, moved(4), moved(-3), 0.5, 6).labels
    assert (found == again).mean() > 0.999


def test_label_maps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="give two of one size"):
        interpolated(disc(1, 1, 1), disc(1, 1, 1)[:40], 0.5, 2)
    with pytest.raises(ValueError, match="the share is"):
        interpolated(disc(1, 1, 1), disc(1, 1, 1), 1.5, 2)
