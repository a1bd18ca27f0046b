"""Tools for areas: what they take in, and what they leave."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spad.areas import (
    EdgeBrush,
    changed_by,
    filled,
    flooded,
    grown,
    shrunk,
    speck_px,
    to_the_edge,
    without_specks,
)

MAPS = hnp.arrays(np.uint8, (9, 11), elements=st.integers(0, 3))


def cyst(noise: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """A dark disc of radius 15 in bright tissue, with speckle."""
    rows, columns = np.mgrid[:90, :120]
    disc = np.hypot(rows - 45, columns - 60) <= 15
    image = np.where(disc, 60.0, 140.0) + np.random.default_rng(0).normal(0, noise, disc.shape)
    return image, disc


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_filling_stops_at_the_edge_wherever_it_began_inside():
    image, disc = cyst()
    for at in ((45, 60), (40, 52), (52, 66)):
        assert dice(to_the_edge(image, at), disc) > 0.93
    assert to_the_edge(image, (45, 60), tolerance=0.01).sum() < 30


def test_a_flood_takes_what_differs_no_more_than_its_tolerance_and_is_connected():
    values = np.array([[0, 1, 5, 1], [9, 2, 9, 0]])
    np.testing.assert_array_equal(
        flooded(values, (0, 0), 2), [[True, True, False, False], [False, True, False, False]]
    )
    with pytest.raises(ValueError, match=r"pixel \(2, 0\) lies outside"):
        flooded(values, (2, 0), 1)


def test_pixels_without_a_value_stop_a_filling_and_are_no_reason_to_fill_all():
    image, disc = cyst()
    image[:10] = np.nan
    image[10, :5] = np.inf
    assert dice(to_the_edge(image, (45, 60)), disc) > 0.93
    values = np.array([[np.nan, 1.0, np.nan], [1.0, 1.0, np.nan]])
    assert flooded(values, (0, 0), 9).sum() == 1
    assert flooded(values, (0, 1), 9).sum() == 3
    assert to_the_edge(np.full((20, 30), np.nan), (3, 4))[3, 4]  # as of a flat image


def test_of_a_flat_image_filling_takes_the_pixel_all_the_same():
    assert to_the_edge(np.zeros((20, 30)), (3, 4))[3, 4]


@given(MAPS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_only_the_structure_and_the_background_change(labels, value):
    for tool in (grown, shrunk, filled, without_specks):
        after, again = tool(labels, value), labels.copy()
        rows, columns, values = changed_by(tool, labels, value)
        again[rows, columns] = values
        np.testing.assert_array_equal(again, after)
        if tool is without_specks:
            continue
        changed = after != labels
        assert set(np.unique(labels[changed])) | set(np.unique(after[changed])) <= {0, value}
        assert after.dtype == labels.dtype
    assert (grown(labels, value) == value)[labels == value].all()
    assert not (shrunk(labels, value) == value)[labels != value].any()


def test_growing_and_shrinking_move_the_border_by_one_pixel():
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 2
    assert (grown(labels, 2) == 2).sum() == 9 + 12
    np.testing.assert_array_equal(np.argwhere(shrunk(labels, 2)), [[4, 4]])
    labels[:, :3] = 1  # beside another structure it does not move
    assert (shrunk(labels, 2)[3:6, 3] == [0, 2, 0]).all()


def test_specks_become_what_surrounds_them_and_holes_are_filled():
    labels = np.zeros((30, 30), np.uint8)
    labels[2:20, 2:20] = 1
    labels[5:7, 5:7] = 2  # a speck within 1
    labels[10, 10] = 0  # a hole
    labels[25, 25] = 1  # a speck
    labels[22:28, 2:8] = 2
    tidy = without_specks(without_specks(labels, 1), 2)
    assert (tidy[5:7, 5:7] == 1).all()
    assert tidy[25, 25] == 0
    assert (tidy == 2).sum() == 36
    assert filled(tidy, 1)[10, 10] == 1
    assert speck_px(None) == 12
    assert speck_px((0.004, 0.0125)) == pytest.approx(10)
    assert filled(labels, 1)[5, 5] == 2  # what another structure holds is no hole


def stroke(image: np.ndarray, path: list[tuple[float, float]], radius: float) -> np.ndarray:
    brush, painted = EdgeBrush(image), np.zeros(image.shape, bool)
    for at in path:
        painted[brush.dab(at, (radius, radius))] = True
    return painted


@pytest.mark.parametrize(("begin", "dark"), [(60.0, True), (78.0, False)])
def test_a_stroke_along_an_edge_keeps_to_the_side_on_which_it_began(begin, dark):
    image, disc = cyst()
    turns = np.linspace(0, 2 * np.pi, 80)
    to = 15 if dark else 14  # along the border itself
    path = [(45.0, c) for c in np.linspace(begin, 60 + to, 8)]
    path += [(45 + to * np.sin(t), 60 + to * np.cos(t)) for t in turns]
    painted = stroke(image, path, 4)
    side = disc if dark else ~disc
    assert painted.sum() > 250
    assert (painted & ~side).sum() < 0.04 * painted.sum()
    assert (painted & side).sum() > 0.8 * (stroke(np.zeros_like(image), path, 4) & side).sum()


def test_without_an_edge_it_is_the_round_brush_and_outside_the_image_it_paints_nothing():
    flat = np.full((40, 40), 7.0)
    assert stroke(flat, [(20, 20)], 3).sum() == 29
    noise = np.random.default_rng(1).normal(size=(40, 40))
    assert stroke(noise, [(20, 20)], 3).sum() == 29
    assert not stroke(flat, [(-30, 20), (200, 200)], 3).any()
    assert stroke(flat, [(0, 0)], 1).sum() == 3
    flattened = EdgeBrush(flat).dab((20, 20), (2, 4))
    assert [np.ptp(i) for i in flattened] == [4, 8]
