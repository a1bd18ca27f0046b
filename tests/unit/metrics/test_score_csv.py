"""Scores for other programs, where label maps differ, and how much annotators agree."""

from __future__ import annotations

import csv
import errno
import math
from pathlib import Path

import numpy as np
import pytest

from spad.checkpoint import plain_text
from spad.checkpoint.labels import IGNORE, label_classes
from spad.metrics.agreement import pairwise_dice
from spad.metrics.differences import (
    ANOTHER,
    MISSING,
    TOO_MUCH,
    difference_map,
    largest_disagreement,
)
from spad.metrics.score_csv import as_csv, score_records, write_text

CLASSES = label_classes(("background", "SRF", "IRF"))


def maps() -> tuple[np.ndarray, np.ndarray]:
    prediction, reference = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)
    prediction[0, :4], reference[0, :2] = 1, 1
    reference[1, 6:] = 2
    return prediction, reference


def test_every_structure_is_told_per_b_scan_and_for_the_stack():
    records = list(score_records(*maps(), CLASSES, spacing_mm=(0.5, 0.1, 0.1)))
    assert [(r["bscan_from_1"], r["structure"]) for r in records] == [
        (b, s) for b in (1, 2, "all") for s in ("SRF", "IRF", "mean")
    ]
    srf, irf, mean = records[:3]
    assert srf["dice"] == pytest.approx(2 * 16 / 48)
    assert srf["hd95"] == pytest.approx(0.2)
    assert (srf["size"], srf["size_unit"]) == (pytest.approx(0.32), "mm2")
    assert irf["state"] == "absent"
    assert math.isnan(irf["hd95"])
    assert mean["dice"] == srf["dice"]
    assert records[4]["state"] == "missed"
    assert records[4]["hd95"] == math.inf
    assert records[6]["size"] == pytest.approx(32 * 0.005)


def test_without_a_reference_only_sizes_are_told():
    prediction, _ = maps()
    records = list(score_records(prediction[0], None, CLASSES))
    assert [r["structure"] for r in records] == ["SRF", "IRF"]
    assert (records[0]["size"], records[0]["size_unit"], records[0]["state"]) == (
        32, "px", "not compared",
    )  # fmt: skip
    row = next(csv.DictReader(as_csv(records).splitlines()))
    assert (row["dice"], row["hd95"], row["pixels"]) == ("", "", "32")


@pytest.mark.parametrize("text", ["=SUM(A1)", "+1", "-1", "@x", "\tx"])
def test_no_text_is_a_formula(text: str):
    assert plain_text(text) == f"'{text}"
    record = {"bscan_from_1": 1, "bscan_name": text, "structure": text, "dice": -0.5}
    row = next(csv.DictReader(as_csv([record], segmentation=text).splitlines()))
    assert {row["bscan_name"], row["structure"], row["segmentation"]} == {f"'{text}"}
    assert row["dice"] == "-0.5"  # a number stays one


def test_a_file_is_the_old_one_or_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "scores.csv"
    write_text(path, "old \udcff\n")  # of a file whose name is no UTF-8
    assert path.read_text("utf-8-sig") == "old \\udcff\n"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("spad.metrics.score_csv.os.replace", full)
        with pytest.raises(OSError, match=r"No space left .*choose another folder"):
            write_text(path, "new\n")
    assert path.read_text("utf-8-sig") == "old \\udcff\n"
    assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]
    with pytest.raises(OSError, match="choose another folder"):
        write_text(tmp_path / "none" / "scores.csv", "x")


def test_differences_of_one_structure_and_of_all():
    prediction = np.array([[1, 1, 0, 2, 1]], np.uint8)
    reference = np.array([[1, 0, 1, 1, IGNORE]], np.uint8)
    np.testing.assert_array_equal(
        difference_map(prediction, reference), [[0, TOO_MUCH, MISSING, ANOTHER, 0]]
    )
    np.testing.assert_array_equal(
        difference_map(prediction, reference, 1), [[0, TOO_MUCH, MISSING, MISSING, 0]]
    )
    with pytest.raises(ValueError, match="one grid"):
        difference_map(prediction, reference[:, :2])


def test_the_largest_patch_is_of_one_kind_and_may_touch_at_corners():
    found = np.zeros((8, 9), np.uint8)
    found[0, :3], found[1, :3] = TOO_MUCH, MISSING  # six together, three of a kind
    found[4, 4], found[5, 5], found[6, 6], found[7, 7] = (TOO_MUCH,) * 4
    assert largest_disagreement(found) == (slice(4, 8), slice(4, 8))
    assert largest_disagreement(np.zeros((3, 3), np.uint8)) is None


def test_agreement_is_dice_of_every_pair():
    one, two = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    one[:2], two[:1] = 1, 1
    three = np.full((4, 4), IGNORE, np.uint8)
    three[0] = 9  # no structure
    pairs = {(i, j): dice for i, j, dice in pairwise_dice([one, two, three], 3)}
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    assert pairs[0, 1][1] == pytest.approx(2 * 4 / 12)
    assert math.isnan(pairs[0, 1][2])
    assert pairs[0, 2][1] == 0
