"""A card survives a round trip, and lets nothing in that could hurt who reads it."""

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spad.checkpoint.card import (
    NOTICE,
    Card,
    InputConfig,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
)
from spad.checkpoint.labels import LabelClass, label_classes


def card(**changes):
    parts = {
        "name": "phantom",
        "classes": label_classes(["background", "SRF", "IRF"]),
        "network": NetworkConfig(),
        "schedule": ScheduleConfig(),
        "input": InputConfig(statistics={"heights": [256, 496], "histogram": [0.25, 0.75]}),
        "sampling": SamplingConfig(),
        "training": {"method": "spad", "data": [{"name": "Phantom", "licence": "BSD-3-Clause"}]},
        "scores": {"dice": {"SRF": 0.8125, "IRF": None}},
    }
    return Card(**(parts | changes))


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


def edited(path, value):
    """The JSON of a sound card with one value replaced (or added); path like 'network.blocks'."""
    obj = card().as_json()
    *parents, last = path.split(".")
    inner = obj
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return obj


def test_a_card_survives_json():
    terms = LabelClass(2, "IRF", (1, 2, 3), {"SegmentedPropertyType": ["SCT", "1"]})
    one = card(classes=(*label_classes(["background", "SRF"]), terms))
    assert Card.from_json(json.loads(json.dumps(one.as_json(), allow_nan=False))) == one


def test_changing_the_json_of_a_card_leaves_the_card_alone():
    one = card()
    before = copy.deepcopy(one)
    one.as_json()["training"]["data"].append("more")
    assert one == before


def test_lists_become_tuples_and_numpy_floats_plain_ones():
    network = NetworkConfig(widths=[8, 16, 32], denoiser_widths=[8])
    assert network.widths == (8, 16, 32)
    assert network.stride == 8
    scores = card(scores={"dice": np.float64(0.5), "range": (0, 1)}).scores
    assert scores == {"dice": 0.5, "range": [0, 1]}
    assert type(scores["dice"]) is float


def test_an_integer_may_stand_for_a_float_but_not_the_reverse():
    assert type(SamplingConfig(temperature=2).temperature) is float
    with pytest.raises(ValueError, match="not of type int"):
        SamplingConfig(steps=3.0)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("name", "", "name has length 0"),
        ("name", "x" * 81, "length 81"),
        ("name", "a\x1b[31m", "control characters"),
        ("name", None, "not of type str"),
        ("notice", "x" * 501, "length 501"),
        ("classes", [], "length 0; allowed are 2 to 64"),
        ("classes", "SRF", "not a list"),
        ("classes.1", 5, "not a JSON object"),
        ("classes.1.value", 2, "0, 1, 2"),
        ("classes.1.value", True, "not of type int"),
        ("classes.1.name", "IRF", "given twice"),
        ("classes.1.color", [1, 2], "give 3"),
        ("classes.1.color", 7, "not a list"),
        ("classes.1.terminology", nested(9), "nested"),
        ("network.kind", "transformer", "not one of cached, unet"),
        ("network.kind", ["cached"], "not one of"),
        ("network.widths", [], "length 0"),
        ("network.widths", [8] * 9, "length 9"),
        ("network.widths.0", 12, "multiples of 8"),
        ("network.widths.0", 1032, "8 to 1024"),
        ("network.widths.0", 2**70, "8 to 1024"),
        ("network.widths.0", 10**4000, "bits"),
        ("network.blocks", 0, "1 to 32"),
        ("network.denoiser_widths", [8] * 5, "beyond the encoder"),
        ("schedule.steps", 4001, "1 to 4000"),
        ("schedule.steps", True, "not of type int"),
        ("schedule.offset", math.nan, "nan"),
        ("schedule.beta_max", 1, "0.9999"),
        ("input.size", [256], "give 2"),
        ("input.size", [256, 8192], "32 to 4096"),
        ("input.size", [250, 256], "stride 32"),
        ("input.size", [4096, 2048], "8.4 million pixels, more than 4.2"),
        ("input.fit", "stretch", "not one of inside, width"),
        ("input.low_percentile", 99.5, "not below"),
        ("input.high_percentile", math.inf, "inf"),
        ("input.high_percentile", 10**400, "not a finite number"),
        ("input.statistics", [1], "not a JSON object"),
        ("sampling.steps", 251, "only 250"),
        ("sampling.samples", 65, "1 to 64"),
        ("sampling.grid", "learnt", "grid is 'learnt' with 0 times.*give both, or neither"),
        ("sampling.times", [250, 100, 50], "grid is 'uniform' with 3 times.*give both"),
        ("sampling.times", [250, 0, 50], r"times\[1\] is 0; allowed are 1 to 4000"),
        ("sampling.times", 250, "not a list"),
        ("sampling.temperature", 0, "0.01 to 100"),
        ("training", None, "not a JSON object"),
        ("training.deep", nested(9), "nested more than 8 deep"),
        ("training.wide", [0] * 10_001, "more than 10000 values"),
        ("training.long", "x" * 10_001, "10001 characters"),
        ("training.key", {"k" * 201: 1}, "key"),
        ("training.key", {3: 1}, "not a text"),
        ("training.seed", 2**63, "64 bits"),
        ("training.array", np.zeros(3), "ndarray, which JSON lacks"),
        ("scores.dice.SRF", math.nan, r"scores.dice.SRF is nan.*None"),
        ("network", None, "not a JSON object"),
        ("format", 2, "newer SPAD.*update"),
        ("format", "1", "not a positive integer"),
        ("format", True, "not a positive integer"),
        ("format", 0, "not a positive integer"),
    ],
)
def test_a_card_out_of_bounds_is_refused_in_words(path, value, words):
    with pytest.raises(ValueError, match=words) as refusal:
        Card.from_json(edited(path, value))
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([250, 50, 100], "have 100 after 50; sort them"),
        ([250, 100, 100], "have 100 after 100; sort them.*each once"),
        ([250, 100], "2 times for 3 steps; set steps to 2, or give 3 times"),
        ([], "'learnt' with 0 times"),
        ([249, 100, 50], "first of the sampling times is 249.*T = 250; begin with that"),
        ([251, 100, 50], "first of the sampling times is 251.*T = 250; begin with that"),
    ],
)
def test_learnt_times_that_no_chain_can_visit_are_refused_in_words(times, words):
    obj = card().as_json()
    obj["sampling"] |= {"grid": "learnt", "times": times}
    with pytest.raises(ValueError, match=words):
        Card.from_json(obj)


def test_learnt_times_are_kept_shown_and_unknown_to_cards_without_them():
    plain, use = card(), SamplingConfig(steps=2, grid="learnt", times=[250, 60])
    assert "times" not in plain.as_json()["sampling"]  # older readers refuse an unknown key
    learnt = replace(plain, sampling=use)
    assert Card.from_json(json.loads(json.dumps(learnt.as_json()))) == learnt
    assert "2 steps, 8 samples, learnt grid (t = 250, 60), temperature 1" in learnt.text()


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"real": {"background": [0, 5], "SRF": [1], "IRF": []}}, ("IRF",)),
        ({"real": {"SRF": [1], "IRF": []}, "other": {"SRF": [], "IRF": [2]}}, ()),
        ({"real": {"SRF": [1], "IRF": []}, "by name": {}}, ()),
        ({"real": {"SRF": [1]}}, ()),  # learnt since, from a person
        ({}, ()),
        (None, ()),
        ({"real": "?"}, ()),
    ],
)
def test_a_card_knows_what_phantoms_alone_have_taught(mapping, names):
    assert card(training={"mapping": mapping}).phantoms_only == names


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("nmae", "name"),
        ("network.width", "widths"),
        ("schedule.step", "steps"),
        ("classes.0.colour", "color"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(path, near):
    with pytest.raises(ValueError, match=f"{path.split('.')[-1]}.*did you mean '{near}'"):
        Card.from_json(edited(path, 1))


@pytest.mark.parametrize("key", ["name", "classes", "network", "schedule", "input", "sampling"])
def test_what_a_model_cannot_be_used_without_is_not_guessed(key):
    obj = card().as_json()
    del obj[key]
    with pytest.raises(ValueError, match=f"lacks '{key}'"):
        Card.from_json(obj)


@pytest.mark.parametrize("obj", [None, 3, "card", [], {}])
def test_what_is_no_card_is_refused(obj):
    with pytest.raises(ValueError, match="use SPAD's own files"):
        Card.from_json(obj)


def test_values_are_checked_on_direct_construction_and_replacement_too():
    with pytest.raises(ValueError, match=r"ScheduleConfig.steps is 0; allowed are 1 to 4000"):
        ScheduleConfig(steps=0)
    with pytest.raises(ValueError, match=r"InputConfig.size\[1\] is 16"):
        replace(InputConfig(), size=(256, 16))


def test_the_text_says_what_a_person_must_know():
    text = card().text()
    for part in ("phantom", NOTICE, "1 SRF", "32-64-96-160-192", "T = 250", "3 steps, 8 samples"):
        assert part in text
    assert "  data\n    - name: Phantom\n      licence: BSD-3-Clause" in text
    assert "    SRF: 0.8125\n    IRF: none" in text


def test_the_text_of_a_hostile_card_holds_no_control_characters():
    text = card(training={"a": "\x1b]0;owned\x07", "c": ["\u202e"]}).text()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert r"a: \x1b]0;owned\x07" in text
    with pytest.raises(ValueError, match=r"key 'a\\nb' is not a text of up to 200 printable"):
        card(training={"a\nb": 1})


WHOLE = {"concat": (32, 64, 64), "dynunet": (32, 64, 128)}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_network_that_starts_at_full_resolution_has_half_the_stride(kind):
    network = NetworkConfig(kind=kind, widths=WHOLE[kind])
    assert network.stride == 4
    assert replace(network, kind="cached", denoiser_widths=(8,)).stride == 8
    one = card(network=network)
    assert Card.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert "-".join(map(str, WHOLE[kind])) in one.text()
    assert {"concat": "CCDM", "dynunet": "DynUNet"}[kind] in one.text()


@pytest.mark.parametrize(
    ("kind", "widths", "stride", "said"),
    [
        ("swin-unet", (96, 192, 384, 768), 32, "Swin-Unet"),
        ("trans-unet", (64, 256, 512, 1024, 768), 16, "TransUNet"),
        ("msa", (768, 256), 16, "no prompts"),
        ("d-lka", (96, 192, 384, 768), 32, "without its MaxViT"),
        ("dsc-amp", (32, 64, 96), 8, "are guessed"),
    ],
)
def test_a_network_that_spad_is_compared_with_has_its_stride_and_says_what_it_is(
    kind, widths, stride, said
):
    network = NetworkConfig(kind=kind, widths=widths)
    assert network.stride == stride
    assert not network.diffuses
    one = card(network=network)
    assert Card.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert said in one.text()
    assert "one label map" in one.text()
    assert "samples, uniform grid" not in one.text()


@pytest.mark.parametrize(
    ("kind", "size", "words"),
    [
        ("dynunet", (32, 64), "below 64 pixels, twice the stride"),
        ("concat", (32, 64), "below 64 pixels, twice the stride"),
        ("concat", (1024, 1056), "takes 1048576; lower it"),
    ],
)
def test_a_size_that_a_kind_cannot_take_is_refused(kind, size, words):
    network = NetworkConfig(kind=kind, widths=(8,) * 6)
    with pytest.raises(ValueError, match=words):
        card(network=network, input=InputConfig(size=size))


def test_a_card_is_read_without_torch_or_numpy():
    code = (
        "import sys; from spad.checkpoint import Card; "
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
