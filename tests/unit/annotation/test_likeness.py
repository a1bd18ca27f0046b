"""What an image unlike the training images is told by, and that its likes are let pass."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spad import phantom
from spad.annotation.likeness import across, measures, reasons, summary
from spad.checkpoint import read_card, shipped
from spad.checkpoint.card import Card, InputConfig


def images(first: int, count: int) -> list[np.ndarray]:
    return [phantom.bscan(seed, shape=(64, 96)).image for seed in range(first, first + count)]


@pytest.fixture(scope="module")
def card(model) -> Card:
    config = InputConfig()
    found = summary(measures(x, config, (0.004, 0.011)) for x in images(0, 40))
    return replace(model().card, input=replace(config, statistics={"measures": found}))


def test_images_of_the_same_kind_are_let_pass(card: Card):
    told = [reasons(card, x, (0.004, 0.011)) for x in images(1000, 20)]
    assert sum(bool(t) for t in told) <= 1


@pytest.mark.parametrize(
    ("change", "about", "words"),
    [
        (lambda x: x.max() - x, "negative", "bright where the training images are dark"),
        (lambda x: x.T, "across", "(is it turned on its side?)"),  # a full stop may follow
        (lambda x: x[:, :2], "aspect", "0.03 times as wide as high"),
        (lambda x: np.tile(x, (1, 4)), "aspect", "6.0 times as wide as high"),
        (lambda x: np.kron(x, np.ones((4, 4), x.dtype)), "width", "384 pixels wide"),
        (lambda x: np.pad(x, ((0, 0), (30, 30)), constant_values=x.max()), "white", "pure white"),
        (lambda x: np.full_like(x, 7), "contrast", "one value"),
        (lambda x: (x > np.median(x)).astype(np.uint8), "contrast", "contrast is high"),
    ],
)
def test_what_is_unlike_is_said_in_words_and_numbers(card: Card, change, about, words):
    found = [reasons(card, change(x)) for x in images(1000, 5)]
    assert all(about in one for one in found)
    assert words in found[0][about]


def test_a_mean_just_below_zero_is_zero(card: Card):
    x = np.where(images(1000, 1)[0] > 100, 255, 0).astype(np.uint8)
    x[:] = np.arange(x.size).reshape(x.shape) % 2 * 255
    x[0, 1] = 253
    assert -0.005 < measures(x, card.input)["mean"] < 0
    said = " ".join(reasons(card, x).values())
    assert "mean 0.00 between" in said
    assert "-0.00" not in said


def test_colours_are_told_and_equal_channels_are_none(card: Card):
    (grey,) = images(1000, 1)
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    assert reasons(card, rgb) == reasons(card, grey)
    rgb[:20, :, 0] = 255
    assert "colours in 31%" in reasons(card, rgb)["coloured"]


def test_an_inverted_image_is_judged_as_the_negative_that_the_model_sees(card: Card):
    (image,) = images(1000, 1)
    assert reasons(card, 255 - image, inverted=True) == reasons(card, image) == {}


def test_spacing_is_told_where_both_know_it(card: Card):
    (image,) = images(1000, 1)
    assert "0.0120 mm apart" in reasons(card, image, (0.012, 0.011))["row_mm"]
    assert not reasons(card, image, None)
    strangers = summary([measures(x, card.input) for x in images(0, 5)])
    assert "row_mm" not in strangers


def test_float_images_of_any_range_are_judged_alike(card: Card):
    (image,) = images(1000, 1)
    for other in (image / 255, image.astype(np.uint16) * 257, image * 1e-30, image - 1e6):
        assert not reasons(card, other)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_tiny_images_are_no_accident(card: Card, shape):
    pixels = np.arange(np.prod(shape)).reshape(shape)
    assert reasons(card, pixels)


def test_a_card_of_an_older_version_knows_sizes_alone(model):
    old = replace(
        model().card,
        input=InputConfig(statistics={"heights": [60, 64, 70], "widths": [90, 96, 100]}),
    )
    (image,) = images(1000, 1)
    assert not reasons(old, 255 - image)
    assert "384 pixels wide" in reasons(old, np.kron(image, np.ones((4, 4), np.uint8)))["width"]
    bare = replace(old, input=InputConfig())
    assert not reasons(bare, np.tile(image, (1, 9)))


@pytest.mark.parametrize(
    "measured",
    [
        "text",
        [1, 2, 3],
        {"mean": "dark"},
        {"mean": [3, 2, 1]},
        {"mean": [0, 1]},
        {"odd": [1, 2, 3]},
    ],
)
def test_a_strangers_card_does_no_harm(card: Card, measured):
    strange = InputConfig(statistics={"measures": measured, "heights": [0, -1, "x"]})
    assert not reasons(replace(card, input=strange), images(0, 1)[0])


def test_ranges_go_through_the_card_as_json(card: Card):
    again = Card.from_json(json.loads(json.dumps(card.as_json())))
    (image,) = images(1000, 1)
    assert reasons(again, 255 - image) == reasons(card, 255 - image) != {}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_models_know_their_training_images(name: str):
    card = read_card(shipped()[name])
    assert {"mean", "across", "aspect"} <= set(card.input.statistics["measures"])
    xray = np.add.outer(np.hanning(512), np.hanning(512))  # bright, smooth and square
    assert {"negative", "rough_across"} & set(reasons(card, xray))


def test_the_phantom_model_knows_phantoms():
    bscan = phantom.bscan(99_991, shape=(256, 384))
    card = read_card(shipped()["oct-phantom"])
    assert not reasons(card, bscan.image, bscan.spacing_mm)
    assert "negative" in reasons(card, 255 - bscan.image)


@pytest.mark.parametrize("shape", [(256, 384), (496, 768)])
def test_the_sample_stack_is_like_its_model_s_training_images(shape):
    """At a device's resolution it is just twice as wide, which is the limit and not beyond it."""
    card = read_card(shipped()["oct-phantom"])
    made = phantom.stack(7, shape=(3, *shape))
    assert not any(reasons(card, image, made.spacing_mm[1:]) for image in made.image)


def test_layers_across_and_down():
    (image,) = images(0, 1)
    assert across(image) > 0.3
    assert across(image.T) == pytest.approx(-across(image), abs=0.1)
    assert across(np.ones((9, 9))) == 0


def test_reading_directions_needs_no_torch():
    code = "import sys, spad.annotation.likeness; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
