"""What the samples say of a structure other than the label map does."""

from __future__ import annotations

import numpy as np
import pytest

from spad.annotation.sample_alternatives import alternatives, component


def two_parts() -> np.ndarray:
    labels = np.zeros((20, 30), np.uint8)
    labels[4:8, 4:8] = 1
    labels[4:8, 20:24] = 1
    return labels


def test_a_part_is_what_map_or_samples_hold_there_and_not_the_other_parts():
    labels = two_parts()
    larger = labels.copy()
    larger[3:10, 3:10] = 1
    elsewhere = two_parts()
    elsewhere[15:18, 15:18] = 1
    region = component(labels, np.stack([larger, elsewhere]), 1, (5, 5))
    np.testing.assert_array_equal(np.argwhere(region).min(0), (3, 3))
    np.testing.assert_array_equal(np.argwhere(region).max(0), (9, 9))


def test_a_part_that_only_a_sample_has_is_found_there():
    sample = two_parts()
    sample[12:15, 12:15] = 2
    region = component(two_parts(), sample[None], 2, (13, 13))
    assert region.sum() == 9
    assert component(two_parts(), two_parts()[None], 2, (13, 13)) is None


def test_alternatives_come_by_size_with_their_votes():
    labels = two_parts()
    small, large = labels.copy(), labels.copy()
    small[4:8, 4:6] = 0
    large[4:8, 4:12] = 1
    found = alternatives(
        labels, np.stack([large, small, labels, large]), 1, np.zeros(labels.shape, bool)
    )
    assert [(a.votes, a.changed) for a in found] == [(1, 8), (2, 16)]
    np.testing.assert_array_equal(found[0].labels, small)
    np.testing.assert_array_equal(found[1].labels, large)
    assert [a.pixels for a in found] == [24, 48]


def test_an_alternative_of_a_part_leaves_the_others_alone():
    labels = two_parts()
    sample = labels.copy()
    sample[3:9, 3:9] = 1
    sample[3:9, 19:25] = 1
    region = component(labels, sample[None], 1, (5, 5))
    (one,) = alternatives(labels, sample[None], 1, np.zeros(labels.shape, bool), region=region)
    np.testing.assert_array_equal(one.labels[:, 15:], labels[:, 15:])
    assert one.pixels == 36


@pytest.mark.parametrize("protected", ["by hand", "locked"])
def test_alternatives_respect_the_hand_and_the_locks(protected):
    labels = two_parts()
    labels[4:8, 8:10] = 2
    sample = labels.copy()
    sample[4:8, 4:12] = 1
    by_hand = np.zeros(labels.shape, bool)
    if protected == "by hand":
        by_hand[4:8, 8:10] = True
    locked = {2} if protected == "locked" else ()
    (one,) = alternatives(labels, sample[None], 1, by_hand, locked=locked)
    assert (one.labels[4:8, 8:10] == 2).all()
    assert (one.labels[4:8, 10:12] == 1).all()


def test_where_the_samples_agree_there_is_none():
    labels = two_parts()
    assert alternatives(labels, np.stack([labels] * 3), 1, np.zeros(labels.shape, bool)) == []
    speck = labels.copy()
    speck[0, :2] = 1
    assert alternatives(labels, speck[None], 1, np.zeros(labels.shape, bool)) == []
