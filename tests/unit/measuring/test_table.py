"""The tidy table, and two readers compared."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

import spad
from spad.checkpoint import NOTICE, label_classes
from spad.measuring import Scale, as_rows, limits_of_agreement, table_csv


def test_the_table_has_a_row_a_structure_and_region_and_units_in_its_header() -> None:
    labels = np.zeros((10, 20, 70), np.uint8)
    labels[3, 4:8, 30:40] = 1
    scale = Scale.of((0.6, 0.01, 0.1))
    classes = label_classes(("background", "SRF"))
    rows = spad.measure(labels, classes, scale.spacing_mm, fovea=(4, 35), eye="OD")
    text = table_csv(as_rows(rows, scale=scale, case="eye 3", eye="OD"))
    read = list(csv.DictReader(io.StringIO(text)))
    assert [r["region"] for r in read][:5] == ["total", "1 mm", "3 mm", "6 mm", "C1"]
    assert len(read) == 13
    assert read[0] | {
        "case": "eye 3", "structure": "SRF", "volume [nL]": "24",
        "B-scan of the largest area (from 1)": "4",
        "largest height [µm]": "40", "share of B-scans touched [%]": "10", "notice": NOTICE,
        "scale": "100 × 10 µm, B-scans 600 µm, in the file", "parts": "1",
    } == read[0]  # fmt: skip
    assert read[1]["parts"] == ""
    assert "structure" in table_csv([])


def test_no_text_of_the_table_is_a_formula() -> None:
    labels = np.ones((1, 4, 5), np.uint8)
    rows = spad.measure(labels, label_classes(("background", "=1+1")), (None, 0.01, 0.01))
    read = next(csv.DictReader(io.StringIO(table_csv(as_rows(rows, case="-2", number=-2.5)))))
    assert (read["case"], read["structure"], read["number"]) == ("'-2", "'=1+1", "-2.5")


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    found = limits_of_agreement([10, 20, 30, None], [12, 21, 36, 5])
    assert found.differences.tolist() == [2, 1, 6]
    assert found.means.tolist() == [11, 20.5, 33]
    assert found.bias == pytest.approx(3)
    assert (found.lower, found.upper) == pytest.approx((3 - 1.96 * 7**0.5, 3 + 1.96 * 7**0.5))
    with pytest.raises(ValueError, match="at least 2"):
        limits_of_agreement([1], [2])
    with pytest.raises(ValueError, match="one of each reader"):
        limits_of_agreement([1, 2], [2])
