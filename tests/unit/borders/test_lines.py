"""Ordered lines: what they are, their thickness, B-scans between, files that come back equal."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spad.borders import (
    Lines,
    areas,
    in_order,
    interpolated,
    lines_name,
    put_in_order,
    read_lines,
    shift_between,
    shifted,
    thickness_mm,
    write_lines,
)
from spad.phantom import bscan

NAN = np.float32(np.nan)


def lines(bscans: int = 3, width: int = 40) -> Lines:
    random = np.random.default_rng(0)
    heights = put_in_order(random.uniform(0, 90, (3, bscans, width)).astype(np.float32))
    heights[1, 0, 5:20] = np.nan
    heights[:, 1] = np.nan
    return Lines(("ILM", "IS/OS, top", "Bruch’s membrane"), heights)


def test_a_vendors_lines_are_sorted_and_those_that_are_nowhere_left_out() -> None:
    found = Lines.of(
        {
            "BM": np.full((1, 4), 9.0),
            "RNFL": np.full((1, 4), np.nan),
            "ILM": np.array([[1, np.nan, 2, 3.0]]),
        }
    )
    assert found.names == ("ILM", "BM")
    assert found.heights.dtype == np.float32
    assert Lines.of({}).names == ()


@pytest.mark.parametrize(
    ("names", "shape", "said"),
    [
        (("a",), (2, 1, 5), "give (lines, Z, W)"),
        (("a", "a"), (2, 1, 5), "two lines are called 'a'"),
        (("",), (1, 1, 5), "1 to 60 printable"),
        (("a\n",), (1, 1, 5), "1 to 60 printable"),
        (tuple(map(str, range(256))), (256, 1, 2), "at most 255"),
    ],
)
def test_what_cannot_be_lines_is_refused_in_words(names, shape, said) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Lines(names, np.zeros(shape, np.float32))


def test_infinite_heights_are_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        Lines(("a",), np.full((1, 1, 3), np.inf))


def test_lines_that_cross_are_put_in_order() -> None:
    crossing = np.array([[3, NAN, 5], [2, 1, NAN], [9, 0, 4]], np.float32)
    assert not in_order(crossing)
    expected = np.array([[3, NAN, 5], [3, 1, NAN], [9, 1, 5]], np.float32)
    np.testing.assert_array_equal(put_in_order(crossing), expected)
    assert in_order(expected)


def test_areas_take_the_values_of_their_classes() -> None:
    heights = np.array([[1.0, 1.0], [2.5, NAN], [4.0, 3.0]], np.float32)[:, None]
    found = areas(Lines(("a", "b", "c"), heights), 6, [7, 9])
    assert found[0, :, 0].tolist() == [0, 7, 7, 9, 0, 0]
    assert not found[0, :, 1].any(), "an area without its lower line"
    with pytest.raises(ValueError, match="for 2 areas"):
        areas(Lines(("a", "b", "c"), heights), 6, [7])


def test_thickness_is_in_mm_and_nan_where_a_line_is_missing_or_they_cross() -> None:
    upper, lower = np.array([[10, NAN, 3, 9]], np.float32), np.array([[30, 5, 3, 8]], np.float32)
    found = thickness_mm(upper, lower, 0.0039)
    np.testing.assert_allclose(found, [[0.078, np.nan, 0, np.nan]], rtol=1e-6)
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="row_mm = 0"):
        thickness_mm(upper, lower, 0)


@pytest.mark.parametrize("shift", [(0, 0), (7, -3), (-20, 11)])
def test_the_shift_between_two_bscans_is_found(shift) -> None:
    image = bscan(5).image
    moved = np.roll(image, shift, (0, 1))
    assert shift_between(image, moved) == shift


def test_a_line_half_way_lies_half_way_after_the_shift() -> None:
    bump = np.exp(-(((np.arange(60) - 30) / 6) ** 2)) * 10
    first = (30 + bump)[None].astype(np.float32)
    second = shifted(first, (8, 6))
    assert np.isnan(second[0, :6]).all()
    half = interpolated(first, second, 0.5, (8, 6))
    expected = shifted(first, (4, 3))
    np.testing.assert_allclose(half[:, 3:57], expected[:, 3:57], atol=1e-4)
    blurred = interpolated(first, second, 0.5)  # without the shift two half bumps
    assert np.nanmax(np.abs(blurred - expected)) > 1


def test_where_one_bscan_lacks_a_line_the_nearer_one_tells() -> None:
    there, absent = np.full((1, 4), 5, np.float32), np.full((1, 4), np.nan, np.float32)
    assert np.isfinite(interpolated(there, absent, 0.25)).all()
    assert np.isfinite(interpolated(there, absent, 0.5)).all()
    assert np.isnan(interpolated(there, absent, 0.75)).all()
    with pytest.raises(ValueError, match=r"share = 1\.5"):
        interpolated(there, absent, 1.5)
    with pytest.raises(ValueError, match="one shape"):
        interpolated(there, absent[:, :3], 0.5)


def test_a_file_is_called_so_that_it_is_found_beside_its_result() -> None:
    assert lines_name("eye 3/OS – segmentation") == "eye 3_OS – segmentation.lines.csv"
    assert lines_name(" . ") == "image.lines.csv"


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_file_comes_back_to_the_same_numbers(tmp_path, suffix) -> None:
    before, path = lines(), tmp_path / f"eye{suffix}"
    write_lines(before, path)
    after = read_lines(path)
    assert after.names == before.names
    assert np.array_equal(after.heights, before.heights, equal_nan=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_csv_that_a_spreadsheet_saved_with_decimal_commas_is_the_same(tmp_path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfbscan;column;ILM [px]\r\n1;1;2,5\r\n1;2;\r\n")
    np.testing.assert_array_equal(read_lines(tmp_path / "a.csv").heights, [[[2.5, np.nan]]])


def test_a_csv_counts_from_one_and_leaves_out_what_is_not_there(tmp_path) -> None:
    path = tmp_path / "two.csv"
    write_lines(Lines(("ILM",), np.array([[[1.5, NAN]]])), path)
    assert path.read_text("utf-8") == "bscan_from_1,column_from_1,ILM [px]\n1,1,1.5\n1,2,\n"
    path.write_text("bscan,column,ILM [px]\n1,1,1.5\n1,2,\n", "utf-8")  # as it was once called
    assert read_lines(path).heights[0, 0, 0] == 1.5


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"x,y\n1,2\n", "begins with the columns x, y"),
        ("a.csv", b"bscan,column,ILM [px]\n1,1\n", "row 2 has 2 cells, not 3"),
        ("a.csv", b"bscan,column,ILM [px]\n1,1,high\n", "high"),
        ("a.csv", b"bscan,column,ILM [px]\n0,1,2\n", "columns [0, 1]"),
        ("a.csv", b"bscan,column,ILM [px]\n1,1,2\n1,1,3\n", "a column of a B-scan twice"),
        ("a.csv", b"bscan,column,ILM [px]\n1,99999999999,2\n", "B-scans and columns"),
        ("a.csv", b"bscan,column,ILM [px]\n", "no rows"),
        ("a.csv", b"\xff\xfe", "decode"),
        ("a.npz", b"PK\x03\x04 broken", "holds no lines"),
        ("a.npz", b"", "holds no lines"),
        ("a.csv", b"bscan,column,ILM [px]\n9000,9000,2\n", "B-scans and columns"),
        ("a.txt", b"", ".csv or .npz"),
    ],
)
def test_a_file_that_holds_no_lines_is_refused_by_name(tmp_path, name, content, said) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_lines(path)
    assert name in str(caught.value)
