"""Thickness between lines: means by field, columns without a line left out and said."""

from __future__ import annotations

import numpy as np
import pytest

from spad.borders import (
    Lines,
    by_region,
    layer_maps,
    missing_columns,
    thickness,
    thickness_remark,
    thickness_rows,
)
from spad.measuring import Grid, Scale

GRID = Grid((15.0, 150.0), (0.2, 0.02), (31, 301), "OD", "inferior")


def test_two_planes_are_as_far_apart_in_every_field() -> None:
    heights = np.stack([np.full((31, 301), row, np.float32) for row in (10, 30, 80)])
    maps = layer_maps(Lines(("ILM", "OPL", "BM"), heights), 0.004)
    assert list(maps) == ["ILM – BM", "ILM – OPL", "OPL – BM"]
    found = thickness("ILM – BM", maps["ILM – BM"], GRID)
    assert [one.region for one in found] == ["total", *GRID.circles, *GRID.fields]
    assert {one.known for one in found} == {1.0}
    assert [one.mean_um for one in found] == pytest.approx([280] * len(found))


def test_the_central_subfield_is_told_from_the_rest() -> None:
    rows, columns = np.mgrid[:31, :301]
    far = np.hypot((rows - 15) * 0.2, (columns - 150) * 0.02)
    um = np.where(far < 0.8, 200, 300).astype(np.float32)
    found = {one.region: one.mean_um for one in thickness("retina", um, GRID)}
    assert found["C1"] == pytest.approx(200)
    assert found["N6"] == pytest.approx(300)
    assert found["total"] == pytest.approx(um.mean())


def test_columns_without_a_line_are_left_out_and_said() -> None:
    um = np.full((31, 301), 100, np.float32)
    um[:, :150], um[:, 150:200] = np.nan, 160
    found = {one.region: one for one in thickness("RPE", um, GRID)}
    assert found["total"].known == pytest.approx(151 / 301)
    assert found["total"].mean_um == pytest.approx((50 * 160 + 101 * 100) / 151)
    assert (found["T6"].mean_um, found["T6"].known) == (None, 0)
    scale = Scale.of((0.2, 0.004, 0.02), "typed")
    row = thickness_rows([found["total"]], scale, ["only a part was scanned"], {"case": "a"})[0]
    assert row["mean height [µm]"] == found["total"].mean_um
    assert row["volume [nL]"] is None
    assert row["remark"] == (
        "between two lines; the lines cross, or one of both is missing in 49.8% of the columns; "
        "they are left out; only a part was scanned"
    )
    assert thickness_remark(1.0) == ""
    whole = thickness("all", np.ones((31, 301), np.float32))
    assert missing_columns([*whole, found["total"], found["T6"], *thickness("b", um[:, 75:])]) == (
        "the lines cross, or one of both is missing in 49.8% (RPE), 33.2% (b) of the columns; "
        "they are left out"
    )
    assert missing_columns(whole) == ""
    assert by_region(whole) == {"all": {"total": 1.0}}


def test_columns_in_which_lines_cross_make_no_mean_smaller_and_are_said() -> None:
    heights = np.stack([np.full((2, 10), row, np.float32) for row in (10, 20)])
    heights[0, 1, :5] = 60
    um = layer_maps(Lines(("ILM", "BM"), heights), 0.004)["ILM – BM"]
    assert np.isnan(um[1, :5]).all()
    (total,) = thickness("ILM – BM", um)
    assert (total.mean_um, total.known) == (pytest.approx(40), 0.75)
    said = "the lines cross, or one of both is missing in 25.0% (ILM – BM) of the columns"
    assert said in missing_columns([total])


def test_one_line_has_no_thickness_and_a_row_has_a_height() -> None:
    assert layer_maps(Lines.nowhere(("ILM",), 2, 3), 0.004) == {}
    with pytest.raises(ValueError, match="set the scale"):
        layer_maps(Lines.nowhere(("ILM", "BM"), 2, 3), 0)
