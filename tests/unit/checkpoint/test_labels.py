"""Classes have names and colours that tell them apart, in any number up to the limit."""

import json
from itertools import combinations

import pytest

from spad.checkpoint.labels import (
    IGNORE,
    MAX_CLASSES,
    LabelClass,
    label_classes,
    left_and_right,
    meant_by,
    named_like,
)

KNOWN = ("SRF", "IRF", "PED", "SHRM", "IS/OS")


def named(count, known=()):
    others = [f"structure {i}" for i in range(count - 1 - len(known))]
    return label_classes(["background", *known, *others])


@pytest.mark.parametrize("known", [c for n in range(6) for c in combinations(KNOWN, n)], ids=str)
def test_no_two_classes_of_a_model_share_a_colour_up_to_the_limit(known):
    classes = named(MAX_CLASSES, known)
    assert len({c.color for c in classes}) == MAX_CLASSES


@pytest.mark.parametrize("known", [c for n in range(6) for c in combinations(KNOWN, n)], ids=str)
def test_the_palette_itself_is_used_up_before_a_colour_is_varied(known):
    palette = {c.color for c in named(8)[1:]}
    assert len(palette) == 7
    assert {c.color for c in named(8, known)[1:]} == palette


def test_a_known_structure_keeps_its_colour_whatever_stands_beside_it():
    alone = {name: label_classes(["background", name])[1].color for name in KNOWN}
    assert len(set(alone.values())) == len(KNOWN)
    for classes in (named(20, KNOWN), label_classes(["background", "lung", *reversed(KNOWN)])):
        assert {c.name: c.color for c in classes if c.name in KNOWN} == alone


def test_classes_are_numbered_in_order_and_the_background_is_black():
    classes = named(MAX_CLASSES)
    assert [c.value for c in classes] == list(range(MAX_CLASSES))
    assert classes[0].color == (0, 0, 0)
    assert (0, 0, 0) not in {c.color for c in classes[1:]}
    assert IGNORE not in {c.value for c in classes}


@pytest.mark.parametrize("names", [[], ["background"], [str(i) for i in range(65)]])
def test_too_few_or_too_many_classes_are_refused_with_their_number_and_the_limit(names):
    with pytest.raises(ValueError, match=f"{len(names)} classes.*2 to 64"):
        label_classes(names)


def test_a_repeated_name_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'SRF'.*twice"):
        label_classes(["background", "SRF", "IRF", "SRF"])


@pytest.mark.parametrize(("one", "other"), [("SRF", "srf"), ("\xd6dem", "O\u0308dem")])
def test_names_that_people_take_for_the_same_are_no_two_classes(one, other):
    with pytest.raises(ValueError, match=f"{one!r} and {other!r} differ in capitals or in"):
        label_classes(["background", one, other])


@pytest.mark.parametrize("value", [-1, 64, 255, 1.0, True, "1", None])
def test_a_value_outside_the_limits_is_refused(value):
    with pytest.raises(ValueError, match=r"0\.\.63"):
        LabelClass(value, "SRF", (0, 0, 0))


@pytest.mark.parametrize("name", ["", "x" * 81, "tab\t", "bell\a", 5, None])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(ValueError, match="1 to 80 printable"):
        LabelClass(1, name, (0, 0, 0))


@pytest.mark.parametrize(
    "color", [(0, 0), (0, 0, 256), (0, -1, 0), (0.5, 0, 0), (True, 0, 0), "red", None, 7]
)
def test_a_colour_that_is_none_is_refused(color):
    with pytest.raises(ValueError, match=r"three integers in 0\.\.255"):
        LabelClass(1, "SRF", color)


def test_a_class_is_plain_json_and_shows_its_colour_as_hex():
    one = LabelClass(1, "SRF", (0, 114, 178), {"code": "1"})
    assert one.hex == "#0072b2"
    written = json.loads(json.dumps(one.as_json()))
    assert written == {
        "value": 1, "name": "SRF", "color": [0, 114, 178], "terminology": {"code": "1"},
    }  # fmt: skip
    assert "terminology" not in LabelClass(0, "background", (0, 0, 0)).as_json()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SRF", "SRF"),
        ("srf (neuroepithelium_detachment)", "SRF"),
        ("drusen/PED-like (retinal_drusen)", "PED"),
        ("IS/OS", "IS/OS"),
        ("is/os (ellipsoid zone)", "IS/OS"),
        ("fluid (IRF+SRF, manual)", None),
        ("vitreous detachment", None),
        ("background", None),
        ("", None),
    ],
)
def test_a_name_of_another_annotation_means_one_class_or_none(name, meant):
    classes = label_classes(("background", "SRF", "IRF", "PED", "SHRM", "IS/OS"))
    found = named_like(name, classes)
    assert (found.name if found else None) == meant


def test_of_names_that_differ_by_case_the_one_spelt_as_the_class_is_meant():
    classes = (*label_classes(("background", "SRF", "épithélium")), LabelClass(3, "srf", (1, 2, 3)))
    assert named_like("srf", classes).value == 3
    assert named_like("e\u0301pithe\u0301lium (RPE)", classes).value == 2
    names = {"a": "Srf", "b": "SRF", "c": "srf", "d": "SRF (neuroepithelium detachment)"}
    found = {key: one and one.value for key, one in meant_by(names, classes[:3]).items()}
    assert found == {"a": None, "b": 1, "c": None, "d": 1}
    assert meant_by({"a": "srf"}, classes[:3])["a"].value == 1


def test_left_and_right_of_one_thing_are_found_by_their_names():
    names = [
        "background",
        "left lung",
        "heart",
        "Right_lung",
        "rib 2 (L)",
        "rib 3 (L)",
        "rib 2 (R)",
    ]
    assert left_and_right(names) == [("left lung", "Right_lung"), ("rib 2 (L)", "rib 2 (R)")]
    assert left_and_right(["background", "SRF", "IRF", "PED", "SHRM", "IS/OS"]) == []
