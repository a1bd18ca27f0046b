"""Visits of one eye: in their order, what changed, and scans laid on each other."""

from __future__ import annotations

import numpy as np
import pytest

from spad.checkpoint import label_classes
from spad.measuring import (
    EnFace,
    Scale,
    Visit,
    align,
    as_day,
    checkerboard,
    in_order,
    measure,
    visit_remarks,
    visit_rows,
    visits_page,
    visits_plot,
)

CLASSES = label_classes(("background", "SRF", "IRF"))


def visit(name: str, date: str = "", columns: int = 10, **more) -> Visit:
    labels = np.zeros((20, 30, 60), np.uint8)
    labels[8:12, 10:15, 20 : 20 + columns] = 1
    scale = Scale.of((more.pop("between", 0.25), 0.004, 0.1), "typed")
    return Visit(name, date, measure(labels, CLASSES, scale.spacing_mm), scale, **more)


def test_visits_are_put_in_order_or_refused_in_words() -> None:
    assert [v.name for v in in_order([visit("b", "2026-03-01"), visit("a", "2025-12-01")])] == [
        "a",
        "b",
    ]
    assert [v.name for v in in_order([visit("b"), visit("a")])] == ["b", "a"]
    written = [visit("b", "2026-02-01"), visit("a", "20260131"), visit("c", " 2026-02-02")]
    assert [(v.name, v.date) for v in in_order(written)] == [
        ("a", "2026-01-31"), ("b", "2026-02-01"), ("c", "2026-02-02"),
    ]  # fmt: skip
    assert [r["days since the first visit"] for r in visit_rows(written)[::2]] == [0, 1, 2]
    for visits, words in (
        ([visit("a")], "at least 2 stacks"),
        ([visit("a", eye="OD"), visit("b", eye="OS")], "of OD and OS; choose stacks of one eye"),
        ([visit("a", "2026-03-01"), visit("b")], "no date is known of “b”"),
    ):
        with pytest.raises(ValueError, match=words):
            in_order(visits)
    with pytest.raises(ValueError, match=r"“1\.3\.2026” is no day"):
        as_day("1.3.2026")
    said = " ".join(visit_remarks([visit("a"), visit("b", between=0.12)]))
    assert "120 µm apart at one visit and 250 µm at another" in said
    assert "no dates are known" in said


def test_scans_of_another_extent_are_remarked() -> None:
    """The total volume of a larger scan is of more retina."""
    same = [visit("a", extent_mm=(5.8, 8.8)), visit("b", extent_mm=(5.9, 8.7)), visit("c")]
    assert "reach over" not in " ".join(visit_remarks(same))
    said = " ".join(visit_remarks([*same, visit("d", extent_mm=(4.4, 8.8))]))
    assert "the scans reach over 4.4 x 8.8 to 5.9 x 8.7 mm: the total is of what each shows" in said


def test_circles_that_were_scanned_in_part_at_one_visit_are_remarked() -> None:
    labels = np.zeros((26, 30, 60), np.uint8)
    labels[:, 10:15] = 1
    scale = Scale.of((0.25, 0.004, 0.1), "typed")
    visits = []
    for place in (12.5, 6.0):  # the second 1.625 mm from the edge
        rows = measure(labels, CLASSES, scale.spacing_mm, fovea=(place, 29.5), eye="OD")
        visits.append(Visit(f"at {place}", "", rows, scale))
    said = " ".join(visit_remarks(visits))
    assert "of the 6 mm circle 83% to 100% was scanned" in said
    assert "3 mm" not in said
    assert "was scanned" not in " ".join(visit_remarks(visits[:1] * 2))


def test_what_is_seen_nowhere_is_not_drawn_and_the_rest_is() -> None:
    pytest.importorskip("matplotlib")
    visits = [visit("a", "2026-01-01"), visit("b", "2026-02-01", 20)]
    assert visits_plot(visits, CLASSES).startswith(b"\x89PNG")
    assert visits_page(visits, CLASSES, title="an eye").startswith(b"%PDF")
    flat = np.zeros((30, 60), np.uint8)
    scale = Scale.of((0.004, 0.1), "typed")
    one = Visit("c", "", measure(flat, CLASSES, (0.004, 0.1)), scale)
    with pytest.raises(ValueError, match="none of these visits has a volume"):
        visits_plot([one, one], CLASSES)
    with pytest.raises(ValueError, match="none of these visits has a volume"):
        visits_page([one, one], CLASSES, title="an eye")


def vessels(seed: int = 0, size: int = 900) -> np.ndarray:
    """Dark vessels on a bright ground, 0.01 mm a pixel."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    out = np.zeros((size, size))
    along = np.linspace(-1, 1, 3000)
    for _ in range(12):
        angle, bow = rng.uniform(0, np.pi), rng.uniform(-150, 150)
        start, across = rng.uniform(200, size - 200, 2), bow * along**2
        y = start[0] + size * along * np.sin(angle) + across * np.cos(angle)
        x = start[1] + size * along * np.cos(angle) - across * np.sin(angle)
        inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        out[y[inside].astype(int), x[inside].astype(int)] = 1
    return 1 - np.minimum(4 * ndimage.gaussian_filter(out, 3) / 0.13, 1)


def scanned(eye, up, right, shape, step, first="inferior", noise=0.1, turn=0.0) -> EnFace:
    """The eye, turned by degrees about a place `up` and `right` mm from its middle."""
    from scipy import ndimage

    z, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    there = EnFace(np.zeros(shape), step, first).away(z, x)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    back = there[0] * cos - there[1] * sin, there[1] * cos + there[0] * sin
    at = [(way + away) / 0.01 + len(eye) / 2 for way, away in zip(back, (up, right), strict=True)]
    values = ndimage.map_coordinates(eye, at, order=1) + 0.2 * there[0]
    return EnFace(values + np.random.default_rng(1).normal(0, noise, shape), step, first)


@pytest.mark.parametrize(
    ("shape", "step", "first"),
    [((49, 400), (0.12, 0.0112), "superior"), ((25, 300), (0.24, 0.02), "inferior")],
)
def test_scans_of_any_spacing_are_laid_on_each_other(shape, step, first) -> None:
    eye = vessels()
    one = scanned(eye, 0, 0, (25, 400), (0.24, 0.0112))
    other = scanned(eye, 0.48, -0.35, shape, step, first)
    found = align(one, other)
    assert found.found
    assert found.up_mm == pytest.approx(-0.48, abs=0.06)  # a quarter of the B-scans' distance
    assert found.right_mm == pytest.approx(0.35, abs=0.02)
    there = found.counterpart(12, 200)
    assert there is not None
    np.testing.assert_allclose(other.away(*there), (-0.48, 0.35), atol=0.06)
    np.testing.assert_allclose(found.turned().counterpart(*there), (12, 200), atol=1e-6)
    assert found.counterpart(0, 0) is None  # the other did not look there
    assert "µm to the right" in found.words
    board = checkerboard(found)
    assert board.shape == (25, 400)
    assert 0.02 < np.isnan(board).mean() < 0.6


@pytest.mark.parametrize(
    ("turn", "shape", "step"),
    [
        (7.3, (97, 300), (0.06, 0.02)),
        (-4.1, (200, 200), (0.03, 0.03)),
        (3, (25, 512), (0.24, 0.0117)),
    ],
)
def test_a_turned_head_is_undone(turn, shape, step) -> None:
    eye = vessels()
    one = scanned(eye, 0, 0, shape, step)
    other = scanned(eye, 0.36, -0.42, shape, step, turn=turn)
    found = align(one, other)
    assert found.found
    assert found.turn_deg == pytest.approx(turn, abs=0.5)
    # The place about which the eye was turned lies in the middle of the second.
    bscan, column = one.places(np.array(0.36), np.array(-0.42))
    there = found.counterpart(float(bscan), float(column))
    middle = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    np.testing.assert_allclose(there, middle, atol=1)
    np.testing.assert_allclose(found.turned().counterpart(*there), (bscan, column), atol=1e-6)
    assert (
        f"turned by {abs(found.turn_deg):.1f}° {'counter' if turn > 0 else ''}clock" in found.words
    )


def test_other_eyes_are_not_taken_for_one() -> None:
    step = (0.12, 0.0112)
    found = align(*(scanned(vessels(seed), 0, 0, (49, 400), step) for seed in (0, 5)))
    assert not found.found
    assert "no common place is found" in found.words
    eye = vessels()
    too_far = [scanned(eye, 0, 0, (49, 400), step, turn=turn) for turn in (0, 30)]
    assert not align(*too_far).found
    flat = EnFace(np.ones((49, 400)), step)
    assert not align(flat, flat).found


def test_shift_and_turn_are_those_of_scikit_image() -> None:
    registration = pytest.importorskip("skimage.registration")
    transform = pytest.importorskip("skimage.transform")
    eye = vessels()
    pair = [scanned(eye, *at, (200, 200), (0.03, 0.03), noise=0) for at in ((0, 0), (0.36, -0.6))]
    found = align(*pair)
    theirs, *_ = registration.phase_cross_correlation(*(one.values for one in pair))
    # It says how the second is to be moved onto the first.
    np.testing.assert_allclose((found.up_mm, found.right_mm), -0.03 * theirs, atol=0.015)
    turned = scanned(eye, 0, 0, (200, 200), (0.03, 0.03), noise=0, turn=5.4)
    around = [transform.warp_polar(one.values, radius=99) for one in (pair[0], turned)]
    theirs, *_ = registration.phase_cross_correlation(*around, upsample_factor=10)
    assert align(pair[0], turned).turn_deg == pytest.approx(-theirs[0], abs=0.5)


def test_what_cannot_be_laid_on_each_other_is_said() -> None:
    with pytest.raises(ValueError, match="from 3 B-scans on"):
        EnFace(np.zeros((2, 40)), (0.1, 0.01))
    with pytest.raises(ValueError, match="type the scale"):
        EnFace(np.zeros((9, 40)), (None, 0.01))
