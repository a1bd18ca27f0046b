"""Lines as knots: few, near the line, and what is pulled is what was shown."""

from __future__ import annotations

import numpy as np

from spad.borders import followed, held_beside, knots_of, moved, pulled
from spad.borders.label_maps import band_lines

WIDTH = 200
COLUMNS = np.arange(WIDTH)


def wavy() -> np.ndarray:
    line = (50 + 8 * np.sin(COLUMNS / 20) + 0.2 * np.cos(COLUMNS)).astype(np.float32)
    line[90:100] = np.nan
    return line


def test_few_knots_are_near_the_line_in_each_run() -> None:
    line = wavy()
    first, second = knots_of(line, within_px=0.75)
    assert (first[0], first[-1], second[0], second[-1]) == (0, 89, 100, 199)
    assert len(first) + len(second) < 30
    for run in (first, second):
        columns = np.arange(run[0], run[-1] + 1)
        assert np.abs(np.interp(columns, run, line[run]) - line[columns]).max() <= 0.75
    assert 42 in knots_of(line, {42, 95})[0]
    assert knots_of(np.full(5, np.nan, np.float32)) == []


def after(line, before, knots) -> np.ndarray:
    """The line once its knots are elsewhere."""
    return moved(line[None], 0, pulled(line, np.array(before), np.array(knots)))[0]


def test_knots_that_nobody_moved_change_nothing() -> None:
    line = wavy()
    for run in knots_of(line):
        stretch = pulled(line, run, np.stack([run, line[run] + 1e-5], 1)[::-1])
        assert len(stretch.heights) == 0


def test_a_pulled_knot_takes_its_neighbourhood_along_with_its_detail() -> None:
    line, knots = wavy(), [0, 40, 60, 89]
    now = np.stack([knots, line[knots]], 1)
    now[1, 1] += 10
    stretch = pulled(line, np.array(knots), now)
    assert (stretch.first, len(stretch.heights)) == (1, 59)  # no other line is pushed elsewhere
    new = after(line, knots, now)
    np.testing.assert_allclose(new[:41] - line[:41], np.linspace(0, 10, 41), atol=1e-4)
    np.testing.assert_allclose(new[40:61] - line[40:61], np.linspace(10, 0, 21), atol=1e-4)
    np.testing.assert_array_equal(new[60:], line[60:])


def test_knots_added_taken_away_or_moved_along_leave_the_line_that_is_shown() -> None:
    line, knots = wavy(), [0, 40, 60, 89]
    added = np.array([[0, 50.0], [20, 44], [40, line[40]], [60, line[60]], [89, line[89]]])
    new = after(line, knots, added)
    np.testing.assert_allclose(new[:21], np.linspace(50, 44, 21), atol=1e-4)
    np.testing.assert_array_equal(new[40:], line[40:])
    gone = after(line, knots, added[[2, 4]])  # from column 40 on, straight
    assert np.isnan(gone[:40]).all()
    np.testing.assert_allclose(gone[40:90], np.linspace(line[40], line[89], 50), atol=1e-4)
    new = after(line, knots, [[-3, 50.0], [30, 50], [60, line[60]], [95, 41]])
    np.testing.assert_allclose(new[:31], 50, atol=1e-4)
    assert new[95] == 41
    assert np.isnan(new[96:100]).all()
    assert np.isnan(after(line, knots, np.empty((0, 2)))[:90]).all()


def test_a_band_s_lines_keep_fractions_where_the_labels_still_fit() -> None:
    labels = np.zeros((20, 6), np.uint8)
    labels[5:9, :5] = 2
    band = np.full((2, 6), np.nan, np.float32)
    band[:, :5] = [[4.3], [8.7]]
    assert followed(labels, 2, band) is band
    labels[9, 3] = 2
    new = followed(labels, 2, band)
    np.testing.assert_array_equal(new[:, 3], [4.5, 9.5])
    np.testing.assert_array_equal(new[:, [0, 1, 2, 4, 5]], band[:, [0, 1, 2, 4, 5]])
    assert np.isnan(band_lines(labels, 2)[:, 5]).all()


def test_two_rows_above_and_below_a_moved_line_hold_it() -> None:
    before = np.array([[4.5, 4.5, np.nan, 4.5], [9.5, 9.5, 9.5, 9.5]], np.float32)
    after = before.copy()
    after[0] = [4.5, 6.25, 3.5, np.nan]
    held = held_beside(before, after, 12)
    assert [np.flatnonzero(column).tolist() for column in held.T] == [
        [],
        [5, 6, 7, 8],  # 6.25 lies between the centres of 6 and 7
        [2, 3, 4, 5],
        [],
    ]
