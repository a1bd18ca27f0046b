"""What a card says of its use: mirrored, and how much it takes to draw a structure."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spad.areas import drop_doubtful
from spad.checkpoint.card import Card, NetworkConfig, SamplingConfig
from spad.inference import ensemble
from spad.inference.ensemble import decided
from spad.inference.segmenter import Segmenter
from spad.network import build


def p(*rows):
    """Probabilities (2, 1, W) of background and one structure."""
    structure = torch.tensor([rows], dtype=torch.float32)
    return torch.stack([1 - structure, structure])


def drawn(probabilities, rule):
    """The label map as a list; planes one by one must give the same."""
    out = decided(probabilities, rule).numpy()
    assert np.array_equal(decided(iter(probabilities), rule).numpy(), out)
    drop_doubtful(out, probabilities.numpy(), rule.peak)
    return out.tolist()


def test_without_a_rule_the_most_probable_class_is_drawn():
    assert drawn(p(0.49, 0.51, 0.9), SamplingConfig()) == [[0, 1, 1]]


def test_odds_draw_a_structure_where_it_is_less_probable_than_the_background():
    q = p(0.3, 0.34, 0.49, 0.9)
    before = q.clone()
    assert drawn(q, SamplingConfig(odds=2)) == [[0, 1, 1, 1]]
    assert torch.equal(q, before)
    assert drawn(q, SamplingConfig(odds=0.1)) == [[0, 0, 0, 0]]


def test_odds_do_not_choose_between_structures():
    q = torch.tensor([0.5, 0.2, 0.3]).view(3, 1, 1)
    assert drawn(q, SamplingConfig(odds=4)) == [[2]]


def test_a_part_that_nowhere_reaches_the_peak_is_left_out_and_the_others_whole():
    q = p(0.6, 0.7, 0.1, 0.6, 0.8, 0.6, 0.1)
    assert drawn(q, SamplingConfig(peak=0.75)) == [[0, 0, 0, 1, 1, 1, 0]]
    assert drawn(q, SamplingConfig(peak=0.7)) == [[1, 1, 0, 1, 1, 1, 0]]
    assert drawn(q, SamplingConfig(peak=0.9)) == [[0] * 7]


def test_parts_of_two_structures_are_judged_each_by_its_own_and_corners_touch():
    q = torch.zeros(3, 2, 2)
    q[1] = torch.tensor([[0.6, 0.0], [0.0, 0.9]])
    q[2] = torch.tensor([[0.0, 0.7], [0.0, 0.0]])
    q[0] = 1 - q[1] - q[2]
    assert drawn(q, SamplingConfig(peak=0.8)) == [[1, 0], [0, 1]]


def test_a_map_without_background_or_without_structures_is_decided_too():
    assert drawn(p(0.9, 0.8), SamplingConfig(peak=0.85)) == [[1, 1]]
    assert drawn(p(0.1, 0.2), SamplingConfig(odds=1.5, peak=0.85)) == [[0, 0]]


def test_the_rule_stands_in_the_card_only_where_there_is_one(tiny):
    plain = tiny.card.as_json()["sampling"]
    assert "odds" not in plain  # older readers refuse the keys
    assert "peak" not in plain
    card = replace(tiny.card, sampling=replace(tiny.card.sampling, odds=2.0, peak=0.75))
    assert Card.from_json(card.as_json()) == card
    assert "structures at odds of 2, parts that reach 0.75" in card.text()


@pytest.mark.parametrize(("name", "value"), [("odds", 0), ("odds", 101), ("peak", 1.5)])
def test_a_rule_out_of_bounds_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        SamplingConfig(**{name: value})


@pytest.mark.parametrize("large", [2**26, 0])  # whole, and class by class
def test_a_segmenter_follows_its_card_and_pixels_by_hand_stay(tiny, bscan, large, monkeypatch):
    monkeypatch.setattr(ensemble, "_LARGE", large)
    image = bscan((137, 153))
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[5, 5] = 1
    plain = tiny.segment(image, clamp=clamp)
    card = replace(tiny.card, sampling=replace(tiny.card.sampling, peak=1.0))
    strict = Segmenter(card, tiny._model.network, tiny.device).segment(image, clamp=clamp)
    assert plain.labels.any()
    assert strict.labels[5, 5] == 1
    assert np.count_nonzero(strict.labels) < np.count_nonzero(plain.labels)
    assert np.array_equal(strict.uncertainty, plain.uncertainty)


@pytest.mark.parametrize("kind", ["unet", "cached"])
def test_mirrored_an_image_s_condition_is_its_mirror_image_s(kind):
    config = NetworkConfig(
        kind=kind, widths=(8, 16, 16), blocks=1, denoiser_widths=(8, 16), time_width=16
    )
    torch.manual_seed(0)
    network = build(config, 3, None)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.2)
    image = torch.rand(2, 1, 32, 48) * 2 - 1

    def condition(x):
        return network.encode(x).with_mirrored(network.encode(x.flip(-1)))

    with torch.no_grad():
        there, back = condition(image), condition(image.flip(-1))
        alone = network.encode(image)
    for one, other, plain in zip(there, back, alone, strict=True):
        torch.testing.assert_close(one, other.flip(-1))
        assert not torch.allclose(one, plain, atol=1e-2)


def test_a_segmenter_whose_card_says_so_sees_the_image_mirrored_too(tiny, bscan):
    sampling = replace(tiny.card.sampling, mirrored=True)
    card = replace(tiny.card, sampling=sampling)
    image = bscan((64, 64))
    both = Segmenter(card, tiny._model.network, tiny.device).segment(image)
    assert not np.array_equal(both.uncertainty, tiny.segment(image).uncertainty)
    assert "also mirrored" in card.text()
    assert Card.from_json(card.as_json()) == card
