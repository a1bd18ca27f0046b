"""What is told of images and models that do not fit: each reason once, and with the remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spad.annotation import run_warnings
from spad.annotation.run_warnings import LikenessWatch, looked_over, refuse_other_structures
from spad.checkpoint import read_card, shipped
from spad.checkpoint.labels import label_classes


@pytest.fixture
def card():
    return replace(read_card(shipped()["oct-phantom"]), name="lesions")


@pytest.fixture
def reasons(monkeypatch):
    """What is unlike about an image: the words that its first pixel stands for."""
    said = {0: {}, 1: {"size": "it is small"}, 2: {"size": "it is large", "noise": "it is grainy"}}
    said[3] = {"a": "one", "b": "two", "c": "three", "d": "four"}

    def found(_card, image, _spacing, *, inverted):
        if image[0, 0] == 9:
            raise ValueError("the image has NaN")
        return said[int(image[0, 0])]

    monkeypatch.setattr(run_warnings, "reasons", found)


def image(kind):
    return np.full((2, 3), kind, np.uint8)


def test_during_a_run_each_reason_is_told_once(card, reasons):
    watch = LikenessWatch(card, None)
    assert watch.look(image(0), 1) == ""
    assert watch.look(image(1), 2) == (
        "look closely: B-scan 2 is unlike the training images of lesions: it is small"
    )
    assert watch.look(image(1), 3) == ""
    assert watch.look(image(2), 4) == "B-scan 4 too: it is grainy"


def test_a_single_image_has_no_number_and_long_lists_are_cut(card, reasons):
    assert LikenessWatch(card, None).look(image(3), None) == (
        "look closely: this image is unlike the training images of lesions: one; two; and 2 more"
    )


def test_a_stack_of_strangers_is_not_told_without_end(card, monkeypatch):
    numbers = iter(range(100))
    monkeypatch.setattr(run_warnings, "reasons", lambda *_, **__: {str(next(numbers)): "odd"})
    watch = LikenessWatch(card, None)
    assert [bool(watch.look(image(0), z)) for z in range(6)] == [True] * 4 + [False] * 2


def test_before_a_run_a_few_bscans_are_looked_at_and_the_others_counted(card, reasons):
    stack = np.stack([image(0), image(1), image(1), image(9), image(0)])
    assert looked_over(card, stack, None) == [
        "Look closely: B-scan 2 is unlike the training images of lesions: it is small (so are 1 "
        "more of 5 looked at).",
        "Look closely: B-scan 4 is unlike the training images of lesions: the image has NaN.",
    ]
    assert looked_over(card, image(1)[None], None) == [
        "Look closely: this image is unlike the training images of lesions: it is small."
    ]


def test_a_model_of_other_structures_is_refused_with_the_remedy():
    ours, theirs = label_classes(["background", "SRF"]), label_classes(["background", "IRF", "PED"])
    refuse_other_structures("eye", ours, ours)
    with pytest.raises(ValueError, match="“eye” has the structures SRF, this model has IRF, PED: "):
        refuse_other_structures("eye", ours, theirs)
