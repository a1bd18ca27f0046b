"""What is asked of a lesson: what says nothing is left out, what does not fit is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spad.checkpoint import IGNORE

SHAPE = (32, 48)
QUICK = {"steps": 2, "batch": 2}


def labels_of(value=2):
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 10:30] = value
    return labels


def state(segmenter):
    return segmenter._model.network.state_dict()


def same(one, other):
    return all(torch.equal(value, state(other)[name]) for name, value in state(one).items())


def test_a_bscan_that_says_nothing_does_not_count_as_taught(model, bscan):
    old, nothing = model(), np.full(SHAPE, IGNORE, np.uint8)
    alone = old.learn([bscan(SHAPE)], [labels_of()], **QUICK)
    more = old.learn(
        [bscan(SHAPE), *[bscan(SHAPE, seed=s) for s in (1, 2)]],
        [labels_of(), nothing, nothing],
        earlier=[(bscan(SHAPE, seed=3), nothing)],
        **QUICK,
    )
    assert same(alone, more)
    assert more.card.training["learnt"][0]["bscans"] == 1
    assert more.card.training["learnt"][0]["earlier_bscans"] == 0


@pytest.mark.parametrize("known", [5, True, None, "abc", {"bscans": 1}])
def test_what_a_free_form_card_says_of_lessons_is_kept_where_it_is_a_list(model, bscan, known):
    old = model()
    old.card = old._model.card = replace(old.card, training={"learnt": known})
    learnt = old.learn([bscan(SHAPE)], [labels_of()], **QUICK)
    assert [one["bscans"] for one in learnt.card.training["learnt"]] == [1]


def test_any_whole_number_that_fits_is_a_seed(model, bscan):
    old = model()
    asked = [bscan(SHAPE)], [labels_of()]
    assert same(old.learn(*asked, seed=3, **QUICK), old.learn(*asked, seed=np.int64(3), **QUICK))
    old.learn(*asked, seed=2**64 - 1, **QUICK)


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (None, "seed is None; give a whole number"),
        (1.5, "seed is 1.5; give a whole number"),
        (-1, "seed is -1; choose one from 0 to 18446744073709551615"),
        (2**64, "seed is 18446744073709551616; choose one from 0"),
    ],
)
def test_what_is_no_seed_is_refused(model, bscan, seed, said):
    with pytest.raises(ValueError, match=said):
        model().learn([bscan(SHAPE)], [labels_of()], seed=seed, **QUICK)


def test_the_bscan_that_does_not_fit_is_named_by_its_number(model, bscan):
    old, image, labels = model(), bscan(SHAPE), labels_of()
    torn = image.astype(float)
    torn[3, 3] = np.nan
    good, cut = (image, labels), labels[:4]
    for images, label_maps, earlier, said in (
        ([image, image, torn], [labels] * 3, [], "^image 3: .* holds NaN or infinity"),
        ([image, image[None, None]], [labels] * 2, [], "^image 2: .* neither a B-scan"),
        ([image], [labels], [good, (torn, labels)], "^earlier image 2: .* holds NaN"),
        ([image, image], [labels, cut], [], r"^label map 2 has shape \(4, 48\)"),
        ([image], [labels], [good, (image, cut)], r"^earlier label map 2 has shape \(4, 48\)"),
        ([image], [labels], [(image, labels_of(9))], r"^earlier label map 1 holds .* \[9\]"),
    ):
        with pytest.raises(ValueError, match=said):
            old.learn(images, label_maps, earlier=earlier, **QUICK)


def test_earlier_cases_may_come_as_a_zip_of_images_and_label_maps(model, bscan):
    old, image, labels = model(), bscan(SHAPE), labels_of()
    listed = old.learn([image], [labels], earlier=[(image, labels)], **QUICK)
    zipped = old.learn([image], [labels], earlier=zip([image], [labels], strict=True), **QUICK)
    assert same(listed, zipped)


def test_masked_pixels_are_refused_wherever_a_person_s_labels_are_given(model, bscan):
    old, image, labels = model(), bscan(SHAPE), labels_of()
    masked = np.ma.masked_array(labels, labels == 2)
    with pytest.raises(ValueError, match=r"^label map 2 is a masked array: give .* \(filled\)"):
        old.learn([image, image], [labels, masked], **QUICK)
    with pytest.raises(ValueError, match=r"^earlier label map 1 is a masked array"):
        old.learn([image], [labels], earlier=[(image, masked)], **QUICK)
    for edit in ("clamp", "start", "region"):
        with pytest.raises(ValueError, match=f"{edit} is a masked array"):
            old.segment(image, **{"start": labels} | {edit: masked})
    whole = np.ma.masked_array(labels, False)
    assert same(old.learn([image], [labels], **QUICK), old.learn([image], [whole], **QUICK))


@pytest.mark.parametrize("place", [np.s_[41], np.s_[101, 77], np.s_[100:102, 76]])
def test_a_stroke_thinner_than_the_network_s_grid_is_learnt(model, bscan, place):
    shape = 6 * SHAPE[0], 6 * SHAPE[1]
    labels = np.full(shape, IGNORE, np.uint8)
    labels[place] = 2
    learnt = model().learn([bscan(shape)], [labels], **QUICK)
    assert learnt.card.training["learnt"][0]["pixels"] == (SHAPE[1] if place == 41 else 1)


def test_options_may_be_numpys_numbers_and_a_slip_in_a_name_is_told(model, bscan):
    old = model()
    plain = old.learn([bscan(SHAPE)], [labels_of()], steps=2, learning_rate=0.5**9)
    numpys = {"steps": np.int64(2), "learning_rate": np.float32(0.5**9)}
    assert same(old.learn([bscan(SHAPE)], [labels_of()], **numpys), plain)
    with pytest.raises(ValueError, match=r"unknown key 'step'; did you mean 'steps'\?"):
        old.learn([bscan(SHAPE)], [labels_of()], step=2)


def test_lists_of_unequal_rows_are_told_as_that(model, bscan):
    said = "a list of lists that are not equally long; give an array"
    with pytest.raises(ValueError, match=f"^image 1: the image is {said}"):
        model().learn([[[1, 2], [3]]], [labels_of()], **QUICK)
    with pytest.raises(ValueError, match=said):
        model().segment([[1, 2], [3]])
