"""What is sampled anew around a person's edits, and what of it is taken over."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spad.annotation.around_edits import changes, doubtful, edits_for, told
from spad.checkpoint.labels import IGNORE, label_classes
from spad.inference.request import _check_edits as check_edits
from spad.inference.request import held_pixels

SHAPE = (9, 11)
MAPS = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
MASKS = hnp.arrays(np.bool_, SHAPE)
LOCKED = st.sets(st.integers(0, 3), max_size=2)


@given(MAPS, MAPS, MASKS, MASKS, LOCKED)
@settings(max_examples=50, deadline=None)
def test_nothing_changes_by_hand_outside_the_region_or_in_a_locked_structure(
    labels, proposed, by_hand, region, locked
):
    change = changes(labels, proposed, by_hand, locked=locked, region=region)
    after = np.where(change, proposed, labels)
    assert (after[by_hand] == labels[by_hand]).all()
    assert (after[~region] == labels[~region]).all()
    for value in locked:
        np.testing.assert_array_equal(after == value, labels == value)
    free = ~by_hand & region & ~np.isin(labels, list(locked)) & ~np.isin(proposed, list(locked))
    assert (after[free] == proposed[free]).all()


@given(MAPS, MASKS, MASKS, LOCKED)
@settings(max_examples=50, deadline=None)
def test_what_is_asked_of_the_sampler_holds_what_must_stay(labels, by_hand, region, locked):
    edits = edits_for(labels, by_hand, 4, locked=locked, region=region)
    check_edits(SHAPE, 4, edits)
    held = held_pixels(edits)
    kept = ~region | np.isin(labels, list(locked))
    assert (held[kept] == labels[kept]).all()
    assert (edits["clamp"][by_hand] == labels[by_hand]).all()
    assert (edits["clamp"][~by_hand] == IGNORE).all()
    assert (held[~kept & ~by_hand] == IGNORE).all()


def test_a_value_that_the_model_does_not_know_is_not_asked_of_it():
    labels = np.full(SHAPE, 9, np.uint8)
    edits = edits_for(labels, np.ones(SHAPE, bool), 4, region=np.zeros(SHAPE, bool))
    check_edits(SHAPE, 4, edits)  # would refuse 9
    assert (edits["clamp"] == IGNORE).all()


def test_without_a_region_or_a_lock_the_whole_map_is_free():
    edits = edits_for(np.ones(SHAPE, np.uint8), np.zeros(SHAPE, bool), 4)
    assert set(edits) == {"clamp"}


def test_doubt_has_a_margin():
    uncertainty = np.zeros((20, 20), np.float16)
    assert not doubtful(uncertainty).any()
    uncertainty[10, 10] = 0.5
    assert doubtful(uncertainty).sum() == 7 * 7


def test_what_changed_is_told_by_the_structures_names() -> None:
    before, after = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    before[0, :3], after[1, :2] = 1, 2
    classes = label_classes(["background", "GCL-IPL", "INL"])
    said = told(before, after, classes)
    assert said == "Sampled around your edits: 5 pixels changed (GCL-IPL −3, INL +2)."
    assert told(after, after, classes) == "Sampled around your edits: nothing else changed."
