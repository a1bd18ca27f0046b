"""Lines under edits: they never cross, NaN stays NaN, and only the named columns change."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spad.borders import (
    Lines,
    Stretch,
    areas,
    band_lines,
    dragged,
    drawn,
    in_order,
    interpolated,
    lines_csv,
    moved,
    put_in_order,
    shifted,
    smoothed,
    through_knots,
    with_band,
)

HEIGHT, WIDTH = 12, 9
ROWS = st.floats(0, HEIGHT - 1, width=32) | st.just(float("nan"))


def given(*strategies):
    """Hypothesis' given: the same examples in every run, as long as they take."""
    fixed = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
    return lambda test: fixed(hypothesis.given(*strategies)(test))


def planes(lines: int = 4) -> st.SearchStrategy:
    drawn_ones = arrays.arrays(np.float32, (lines, WIDTH), elements=ROWS)
    return drawn_ones.map(put_in_order)


stretches = st.builds(
    Stretch,
    st.integers(-3, WIDTH + 2),
    arrays.arrays(np.float32, st.integers(0, 12), elements=ROWS),
)


@given(planes(), st.integers(0, 3), stretches, st.sampled_from(["push", "stop"]))
def test_a_moved_line_crosses_no_other(plane, line, stretch, others) -> None:
    before = plane.copy()
    after = moved(plane, line, stretch, others)
    assert np.array_equal(plane, before, equal_nan=True), "the argument was changed"
    assert in_order(after)
    named = np.zeros(WIDTH, bool)
    named[max(stretch.first, 0) : max(stretch.first + len(stretch.heights), 0)] = True
    assert np.array_equal(after[:, ~named], plane[:, ~named], equal_nan=True)
    rest = np.delete(np.arange(4), line)
    assert np.array_equal(np.isnan(after[rest]), np.isnan(plane[rest])), "a line came or went"
    if others == "stop":
        assert np.array_equal(after[rest], plane[rest], equal_nan=True)
    else:
        put = np.flatnonzero(named)
        told = stretch.heights[put - stretch.first]
        assert np.array_equal(after[line, put], told, equal_nan=True)


@given(st.lists(st.tuples(st.integers(0, WIDTH - 1), st.floats(0, 11)), min_size=1, max_size=8))
def test_a_drawn_line_has_a_height_in_every_column_it_passed_and_ends_where_it_ended(
    points,
) -> None:
    stretch = drawn(points)
    columns = [c for c, _ in points]
    assert (stretch.first, len(stretch.heights)) == (min(columns), max(columns) - min(columns) + 1)
    assert np.isfinite(stretch.heights).all()
    assert stretch.heights[columns[-1] - stretch.first] == np.float32(points[-1][1])


@given(st.dictionaries(st.integers(0, 40), st.floats(0, 11), min_size=1, max_size=6))
def test_a_spline_goes_through_its_knots_and_never_past_them(knots) -> None:
    stretch = through_knots(list(knots.items()))
    for column, row in knots.items():
        assert stretch.heights[column - stretch.first] == pytest.approx(row, abs=1e-5)
    assert stretch.heights.min() >= min(knots.values()) - 1e-5
    assert stretch.heights.max() <= max(knots.values()) + 1e-5


@given(planes(1), st.integers(0, WIDTH - 1), st.floats(0, 11), st.integers(1, 6))
def test_a_drag_brings_its_column_to_the_row_and_fades_within_its_reach(plane, column, row, reach):
    line = plane[0]
    hypothesis.assume(np.isfinite(line[column]))
    stretch = dragged(line, column, row, reach)
    after = moved(plane, 0, stretch)[0]
    assert after[column] == pytest.approx(row, abs=1e-4)
    far = np.abs(np.arange(WIDTH) - column) >= reach
    assert np.array_equal(after[far], line[far], equal_nan=True)
    assert np.array_equal(np.isnan(after), np.isnan(line))


@given(planes(1), st.integers(0, WIDTH), st.integers(0, WIDTH), st.floats(0.5, 4))
def test_smoothing_keeps_gaps_and_goes_past_no_height(plane, one, other, sigma) -> None:
    line, (begin, end) = plane[0], sorted((one, other))
    after = moved(plane, 0, smoothed(line, begin, end, sigma))[0]
    assert np.array_equal(np.isnan(after), np.isnan(line))
    outside = np.r_[:begin, end:WIDTH]
    assert np.array_equal(after[outside], line[outside], equal_nan=True)
    if np.isfinite(line).any():
        assert np.nanmin(after) >= np.nanmin(line) - 1e-4
        assert np.nanmax(after) <= np.nanmax(line) + 1e-4


@given(planes(), planes(), st.floats(0, 1), st.integers(-2, 2), st.integers(-2, 2))
def test_between_two_bscans_lines_keep_their_order(one, other, share, rows, columns) -> None:
    found = interpolated(one, other, share, (rows, columns))
    assert in_order(found)
    there = np.isfinite(shifted(one, (share * rows, share * columns)))
    there |= np.isfinite(shifted(other, ((share - 1) * rows, (share - 1) * columns)))
    assert not (np.isfinite(found) & ~there).any(), "a line where neither B-scan has one"


@given(planes(), planes())
def test_at_its_ends_an_interpolation_is_the_bscan_itself(one, other) -> None:
    for share, end in ((0.0, one), (1.0, other)):
        np.testing.assert_allclose(interpolated(one, other, share), end, atol=1e-5)


@given(arrays.arrays(np.uint8, (2, HEIGHT, WIDTH), elements=st.integers(0, 3)))
def test_label_map_to_lines_to_label_map_is_the_same_in_columns_of_one_run(labels) -> None:
    starts = (np.diff((labels == 2).astype(np.int8), axis=1, prepend=0) == 1).sum(1)
    top, bottom = band_lines(labels, 2)
    assert np.array_equal(np.isnan(top), starts == 0)
    back = areas(Lines(("top", "bottom"), np.stack([top, bottom])), HEIGHT, [2])
    one_run = starts <= 1
    for z in range(2):
        assert np.array_equal(back[z][:, one_run[z]] == 2, labels[z][:, one_run[z]] == 2)
        same = with_band(labels[z], 2, np.stack([top[z], bottom[z]]))
        assert np.array_equal(same, labels[z]), "lines that did not move changed the label map"


@given(planes(2), arrays.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.integers(0, 3)))
def test_a_band_lies_between_its_lines_and_other_structures_keep_their_place(band, labels) -> None:
    after = with_band(labels, 2, band)
    rows = np.arange(HEIGHT)[:, None]
    inside = (rows >= band[0]) & (rows < band[1])
    changed = (after != labels).any(0)
    assert np.array_equal((after == 2)[:, changed], inside[:, changed])
    kept = ~inside & (labels != 2)
    assert np.array_equal(after[kept], labels[kept])


@given(planes(3))
def test_a_line_in_a_csv_is_the_float32_that_it_was(plane) -> None:
    text = lines_csv(Lines(("a", "b, c", "ü"), plane[:, None]))
    cells = [row.rsplit(",", 3)[1:] for row in text.splitlines()[1:]]
    found = np.array([[np.float32(c) if c else np.nan for c in row] for row in cells], np.float32)
    assert np.array_equal(found.T, plane, equal_nan=True)
