"""The path of least cost along an edge: the best of all paths, on the edge of the right kind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spad.borders import Edges, Stretch, along_edge, moved, snapped
from spad.borders.edges import STEP_COST, _least

WIDTH = 120


def band(top, thick: int = 14, noise: float = 20, seed: int = 0) -> np.ndarray:
    """A bright band whose upper edge, (W,), lies between two pixels, in speckle."""
    rows = np.arange(100)[:, None]
    inside = (rows > top) & (rows < top + thick)
    random = np.random.default_rng(seed)
    return 60 + 80.0 * inside + random.normal(0, noise, inside.shape)


def wave(width: int = WIDTH) -> np.ndarray:
    return np.round(45 + 8 * np.sin(np.arange(width) / 15)) + 0.5


def test_no_path_is_cheaper() -> None:
    """Against every path through a small window."""
    random = np.random.default_rng(1)
    for _ in range(20):
        cost = random.random((4, 5)).astype(np.float32)

        def price(path, cost=cost) -> float:
            steps = np.abs(np.diff(path))
            along = sum(cost[r, c] for c, r in enumerate(path))
            return np.inf if steps.max() > 2 else along + STEP_COST * steps.sum()

        best = min(price(path) for path in itertools.product(range(4), repeat=5))
        path, least = _least(cost, 2)
        assert price(path) == pytest.approx(best, abs=1e-5)
        assert least == pytest.approx(best, abs=1e-5)


def test_a_line_near_an_edge_snaps_to_a_part_of_a_pixel() -> None:
    top = wave()
    rough = (top + np.random.default_rng(2).uniform(-4, 4, WIDTH)).astype(np.float32)
    found = snapped(Edges(band(top)), rough, 0, WIDTH, 8)
    assert np.abs(found.heights - top).mean() < 0.5


def test_it_keeps_to_its_kind_of_edge() -> None:
    """The bottom of the band, bright above dark, though the top is nearer in some columns."""
    top = wave()
    bottom = (top + 14 - 4).astype(np.float32)
    found = snapped(Edges(band(top)), bottom, 0, WIDTH, 12)
    assert np.abs(found.heights - (top + 14)).mean() < 0.7


def test_only_the_named_columns_move_and_gaps_stay() -> None:
    top = wave()
    line = (top + 3).astype(np.float32)
    line[50:60] = np.nan
    after = moved(line[None], 0, snapped(Edges(band(top)), line, 30, 90, 6))[0]
    assert np.array_equal(after[:30], line[:30])
    assert np.array_equal(after[90:], line[90:])
    assert np.array_equal(np.isnan(after), np.isnan(line))
    assert np.nanmax(np.abs(after - line)) <= 6


def test_a_live_wire_follows_the_edge_between_two_clicks_that_miss_it() -> None:
    top = wave()
    found = along_edge(Edges(band(top)), (40, top[40] + 1), (10, top[10] - 1))
    assert (found.first, len(found.heights)) == (10, 31)
    assert np.abs(found.heights - top[10:41]).mean() < 1


def test_ends_far_apart_and_outside_are_reached_all_the_same() -> None:
    edges = Edges(band(wave()))
    steep = along_edge(edges, (20, 90), (22, 5), ends_px=0)
    assert abs(steep.heights[0] - 90) <= 1
    assert abs(steep.heights[-1] - 5) <= 1
    beyond = along_edge(edges, (-50, 40), (500, 300))
    assert (beyond.first, len(beyond.heights)) == (0, WIDTH)
    alone = along_edge(edges, (20, 44), (20, 46))
    assert len(alone.heights) == 1


def test_a_flat_image_and_a_line_without_place_harm_nothing() -> None:
    flat = Edges(np.zeros((40, WIDTH)))
    line = np.full(WIDTH, 20, np.float32)
    assert np.array_equal(snapped(flat, line, 0, WIDTH, 5).heights, line)
    nowhere = np.full(WIDTH, np.nan, np.float32)
    assert np.isnan(snapped(flat, nowhere, 0, WIDTH, 5).heights).all()
    wider = np.full(WIDTH + 9, 20, np.float32)  # a stack's, over a B-scan that is narrower
    assert len(snapped(flat, wider, 0, len(wider), 5).heights) == WIDTH
    assert isinstance(along_edge(flat, (0, 3), (9, 3)), Stretch)


def test_which_kind_of_edge_it_is_can_be_told() -> None:
    """By the rest of the line: here the nearer edge is the wrong one."""
    top = wave()
    edges, far = Edges(band(top, noise=5)), (top + 9).astype(np.float32)
    lean = edges.lean(np.arange(WIDTH), top)
    assert lean > 0 > edges.lean(np.arange(WIDTH), top + 14)
    assert edges.lean(np.arange(3), np.full(3, np.nan)) == 0
    found = snapped(edges, far, 0, WIDTH, 12, lean=lean)
    assert np.abs(found.heights - top).mean() < 1
