"""Structures of a reference, found among the classes of a model."""

from __future__ import annotations

import numpy as np
import pytest

from spad.checkpoint.labels import IGNORE, MAX_CLASSES, label_classes
from spad.metrics.matching import class_table, match, nothing_known, translate, values_in

CLASSES = label_classes(["background", "SRF", "IRF", "PED"])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int16, np.uint32])
def test_values_are_found_once_each_and_ascending(dtype):
    data = np.zeros((3, 4, 5), dtype)
    data[2, 1] = 1
    assert values_in(data) == [0, 1]
    assert values_in(data[2]) == [0, 1]


def test_values_of_instances_are_not_all_looked_for():
    many = np.arange(40 * MAX_CLASSES).reshape(40, 8, 8)
    assert 4 * MAX_CLASSES < len(values_in(many)) < many.size


def test_names_decide_where_any_of_them_agrees():
    names = {0: "bg", 7: "srf (fluid)", 2: "PED", 9: "drusen"}
    assert match(names, CLASSES) == ({7: 1, 2: 3, 9: None}, True)


def test_values_decide_where_no_name_agrees():
    assert match({1: "tissue", 3: "", 8: "", IGNORE: ""}, CLASSES) == ({1: 1, 3: 3, 8: None}, False)


def test_values_are_those_of_the_map_compared_where_they_are_not_the_classes():
    assert match({300: "", 1: ""}, CLASSES, (0, 12, 300, 301)) == ({300: 2, 1: None}, False)


def test_a_table_has_only_what_occurs_and_says_what_is_no_class():
    data = np.array([[0, 7, 2, 9, IGNORE]], np.uint8)
    names = {0: "bg", 2: "PED", 7: "srf (fluid)", 9: "drusen", 4: "IRF"}
    table, remark = class_table(names, data, CLASSES)
    assert table == {IGNORE: IGNORE, 7: 1, 2: 3}
    assert remark == "In the reference only, counted as background: drusen."


def test_matching_by_value_is_said_only_where_there_were_names():
    data = np.array([[0, 2, 5]], np.int16)
    table, remark = class_table({2: "fluid"}, data, CLASSES)
    assert table == {IGNORE: IGNORE, 2: 2}
    assert remark == (
        "In the reference only, counted as background: 5. "
        "No names agree: structures are matched by value."
    )
    assert class_table({}, data, CLASSES)[1] == "In the reference only, counted as background: 5."


@pytest.mark.parametrize("names", [{}, {300: "drusen"}])
def test_a_map_of_foreign_values_alone_is_nothing_to_compare(names):
    data = np.array([[0, 300, 301]], np.int16)
    table, remark = class_table(names, data, CLASSES)
    only = "drusen, 301" if names else "300, 301"
    assert nothing_known(data, table)
    assert remark == f"Nothing to compare: no structure here is in the reference, only {only}."
    for empty in ([[0, IGNORE]], [[0, 0]]):  # there, too, is nothing, which can be compared
        table, remark = class_table({}, np.array(empty), CLASSES)
        assert (nothing_known(np.array(empty), table), remark) == (False, "")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_a_translation_takes_values_of_any_size_and_leaves_the_data_alone(dtype):
    data = np.array([[0, 1, 2, 255 if dtype == np.uint8 else 300, 4]]).astype(dtype)
    before = data.copy()
    far = int(data[0, 3])
    out = translate(data, {1: 3, far: 2, 4: IGNORE, -5: 1}, 0)
    assert out.dtype == np.uint8
    assert out.tolist() == [[0, 3, 0, 2, IGNORE]]
    assert np.array_equal(data, before)


def test_negative_values_and_bools_are_translated():
    assert translate(np.array([-5, 0, 7]), {-5: 1}, 9).tolist() == [1, 0, 9]
    assert translate(np.array([True, False]), {1: 2}, 0).tolist() == [2, 0]
