"""What of earlier cases is kept beside a model that learnt."""

import json

import numpy as np
import pytest

from spad.inference import normalise
from spad.worker import LessonPlan, lessons_of, rehearsed
from spad.worker.lesson import learn
from spad.worker.rehearsal import REHEARSED, keep_cases, kept_cases

SHAPE = (4, 6)


def case(first, count, empty=()):
    """B-scans whose grey values count on from `first`; those of `empty` show no structure."""
    return [
        (np.full(SHAPE, first + i, np.uint16), np.full(SHAPE, 0 if i in empty else 1, np.uint8))
        for i in range(count)
    ]


def numbers(cases):
    return [[int(image.max()) for image, _ in one] for one in cases]


def test_a_long_stack_is_kept_from_its_first_to_its_last_bscan():
    (kept,) = numbers(rehearsed([case(0, 97)]))
    assert len(kept) == REHEARSED == 16
    assert kept[0] == 3
    assert kept[-1] == 93
    assert set(np.diff(kept)) == {6}
    assert [len(one) for one in rehearsed([case(0, 97), case(100, 97)])] == [REHEARSED // 2] * 2


def test_each_case_has_as_many_places_as_the_others():
    kept = rehearsed([case(100, 11), case(200, 2), case(300, 11)], 8)
    assert numbers(kept) == [[101, 105, 109], [200, 201], [301, 305, 309]]
    kept = rehearsed([case(i * 100, 3) for i in range(5)], 4)  # the oldest has gone
    assert numbers(kept) == [[1], [101], [201], [301]]


def test_bscans_that_show_nothing_are_not_kept_where_others_show_something():
    kept = rehearsed([case(0, 6, empty=(0, 1, 5)), case(10, 2, empty=(0, 1)), []])
    assert numbers(kept) == [[2, 3, 4], [10, 11]]


def test_cases_come_back_as_they_were(tmp_path):
    model = tmp_path / "m.safetensors"
    keep_cases(model, [case(0, 3), case(10, 1)])
    assert numbers(kept_cases(lessons_of(model), 2)) == [[0, 1, 2], [10]]
    assert [file.name for file in tmp_path.iterdir()] == ["m.lessons.npz"]


@pytest.mark.parametrize("cases", [[2], [2, 2], [-1, 4]])
def test_sizes_that_do_not_fit_are_refused(tmp_path, cases):
    images = {
        f"{kind}_{i}": np.zeros(SHAPE, np.uint8) for i in range(3) for kind in ("image", "labels")
    }
    np.savez(tmp_path / "m.lessons.npz", about=json.dumps({"count": 3, "cases": cases}), **images)
    with pytest.raises(ValueError, match="do not make 3"):
        kept_cases(tmp_path / "m.lessons.npz", 2)


@pytest.mark.parametrize(
    ("image", "labels", "said"),
    [
        (np.full(SHAPE, np.nan), None, "image 2: .* NaN"),
        (np.zeros(3), None, "image 2: .* neither a B-scan"),
        (np.full(SHAPE, "x"), None, "image 2: .* not real numbers"),
        (None, np.zeros((4, 5), np.uint8), r"label map 2 has shape \(4, 5\)"),
        (None, np.zeros(SHAPE), "label map 2 has .* type float64"),
        (None, np.full(SHAPE, 2, np.uint8), r"label map 2 holds the values \[2\]"),
    ],
)
def test_what_no_lesson_could_take_is_refused_as_a_damaged_file_is(tmp_path, image, labels, said):
    ((good, ones),) = case(0, 1)
    odd = good if image is None else image, ones if labels is None else labels
    keep_cases(tmp_path / "m.safetensors", [[(good, ones)], [odd]])
    with pytest.raises(ValueError, match=said):
        kept_cases(tmp_path / "m.lessons.npz", 2)


def test_a_file_of_before_is_one_case(tmp_path):
    images = {
        f"{kind}_{i}": np.zeros(SHAPE, np.uint8) for i in range(3) for kind in ("image", "labels")
    }
    np.savez(tmp_path / "m.lessons.npz", about=json.dumps({"count": 3}), **images)
    assert [len(one) for one in kept_cases(tmp_path / "m.lessons.npz", 2)] == [3]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_of_an_image_whose_high_values_are_dark_the_negative_is_kept(
    model, bscan, tmp_path, monkeypatch, dtype
):
    """Else a later lesson, and the score that guards it, would take a negative for an image."""
    upright, labels = bscan((32, 48), dtype), np.zeros((32, 48), np.uint8)
    labels[8:20, 10:30] = 1
    stored = -upright if dtype == "float32" else ~upright
    seen = []
    old = model()
    monkeypatch.setattr(
        "spad.worker.lesson._mean_dice", lambda _, pairs: seen.append(pairs[0][0]) or 1.0
    )

    def taught(name, image, **about):
        out = tmp_path / f"{name}.safetensors"
        plan = LessonPlan(tmp_path, [image], [labels], 1, out, options={"steps": 2}, **about)
        learn(old, plan.content(), [image, labels], lambda step: None)
        return out

    plain = taught("plain", upright)
    dark = taught("dark", stored, inverted=True)
    assert plain.read_bytes() == dark.read_bytes()
    ((kept, _),) = kept_cases(lessons_of(dark), 4)[0]
    assert kept.dtype == dtype
    config = old.card.input
    assert np.array_equal(normalise(kept, config), normalise(stored, config, inverted=True))
    taught("next", upright, earlier=lessons_of(dark))
    assert all(np.array_equal(image, kept) for image in seen)
    assert len(seen) == 2
