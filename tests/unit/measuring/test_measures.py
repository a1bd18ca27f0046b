"""Volumes, areas and heights against bodies whose numbers are known."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import ndimage

import spad
from spad.checkpoint import label_classes
from spad.measuring import Grid, LiveMeasures, Scale, partly, remarks

CLASSES = label_classes(("background", "SRF", "IRF"))


def ellipsoid(shape, spacing, centre_mm, radii_mm) -> np.ndarray:
    axes = [(np.arange(n) * s - c) / r for n, s, c, r in
            zip(shape, spacing, centre_mm, radii_mm, strict=True)]  # fmt: skip
    z, y, x = np.ix_(*axes)
    return (z * z + y * y + x * x <= 1).astype(np.uint8)


def test_a_part_of_a_stack_is_said_to_be_that() -> None:
    assert partly(1, 16) == "only 1 of 16 B-scans is segmented: the volumes are of it"
    assert partly(0, 16) == partly(16, 16) == ""


@pytest.mark.parametrize(
    "spacing",
    [(0.03, 0.0039, 0.0112), (0.06, 0.0039, 0.0058), (0.12, 0.008, 0.012), (0.24, 0.002, 0.02)],
)
def test_an_ellipsoid_has_its_volume_area_and_height(spacing) -> None:
    size, radii = (4.0, 0.5, 4.0), (1.2, 0.18, 1.5)
    shape = tuple(round(n / s) for n, s in zip(size, spacing, strict=True))
    labels = ellipsoid(shape, spacing, (2.0, 0.25, 2.0), radii)
    first, second = spad.measure(labels, CLASSES, spacing)
    assert (first.structure, first.region) == ("SRF", "total")
    assert first.volume_nl == pytest.approx(4 / 3 * math.pi * math.prod(radii) * 1000, rel=0.01)
    assert first.largest_area_mm2 == pytest.approx(math.pi * radii[1] * radii[2], rel=0.02)
    assert first.largest_height_um == pytest.approx(2000 * radii[1], rel=0.03)
    assert first.largest_area_bscan == pytest.approx(2.0 / spacing[0], abs=1)
    assert first.parts == 1
    assert first.share_of_bscans == pytest.approx(2.4 / 4.0, abs=0.07)
    assert (second.structure, second.volume_nl, second.parts) == ("IRF", 0.0, 0)
    assert second.largest_area_bscan is None


@pytest.mark.parametrize(
    "spacing", [(0.03, 0.004, 0.011), (0.12, 0.004, 0.006), (0.24, 0.004, 0.02)]
)
@pytest.mark.parametrize("eye", ["OD", "OS", None])
def test_a_layer_fills_circles_and_fields_to_their_areas(spacing, eye) -> None:
    shape = (round(7.2 / spacing[0]), 12, round(7.2 / spacing[2]))
    labels = np.zeros(shape, np.uint8)
    labels[:, 3:8] = 1  # 20 µm
    fovea = (shape[0] / 2 + 0.3, shape[2] / 2 - 0.4)
    rows = {m.region: m for m in spad.measure(labels, CLASSES, spacing, fovea=fovea, eye=eye)
            if m.structure == "SRF"}  # fmt: skip
    for diameter in (1, 3, 6):
        volume = math.pi * diameter**2 / 4 * 0.02 * 1000
        assert rows[f"{diameter} mm"].volume_nl == pytest.approx(volume, rel=0.01)
        assert rows[f"{diameter} mm"].scanned > 0.99
        assert rows[f"{diameter} mm"].mean_height_um == pytest.approx(20)
    sides = "SNIT" if eye else "SRIL"
    for ring, (inner, outer) in {"3": (1, 3), "6": (3, 6)}.items():
        for side in sides:
            area = math.pi * (outer**2 - inner**2) / 16
            assert rows[side + ring].volume_nl == pytest.approx(area * 20, rel=0.02)
    six = ["C1", *(s + r for r in "36" for s in sides)]
    assert sum(rows[f].volume_nl for f in six) == pytest.approx(rows["6 mm"].volume_nl, rel=1e-5)
    assert sum(rows[f].volume_nl for f in six[:5]) == pytest.approx(
        rows["3 mm"].volume_nl, rel=1e-5
    )
    assert rows["C1"].volume_nl == rows["1 mm"].volume_nl


@pytest.mark.parametrize(
    ("eye", "first", "field"),
    [
        ("OD", "inferior", "N3"),
        ("OS", "inferior", "T3"),
        (None, "inferior", "R3"),
        ("OS", "superior", "T3"),
    ],
)
def test_fields_lie_where_they_are_named(eye, first, field) -> None:
    labels = np.zeros((61, 4, 61), np.uint8)
    labels[30, 2, 40] = 1  # 1 mm right of the fovea
    labels[40, 2, 30] = 2  # 1 mm towards the last B-scan
    rows = spad.measure(labels, CLASSES, (0.1, 0.004, 0.1), fovea=(30, 30), eye=eye, first=first)
    where = {(m.structure, m.region) for m in rows if m.volume_nl and len(m.region) == 2}
    assert where == {("SRF", field), ("IRF", "S3" if first == "inferior" else "I3")}


def test_parts_hang_together_in_a_bscan_by_corners_and_straight_to_the_next() -> None:
    labels = np.random.default_rng(3).choice(
        np.array([0, 1, 2, 255], np.uint8), (7, 30, 40), p=(0.6, 0.2, 0.15, 0.05)
    )
    near = np.zeros((3, 3, 3), bool)
    near[1] = True
    near[:, 1, 1] = True
    live = LiveMeasures(labels, CLASSES, (0.1, 0.004, 0.01))
    for _ in range(4):
        for row in live.rows():
            assert row.parts == ndimage.label(labels == row.value, near)[1]
        labels[3] = np.roll(labels[3], 5)
        live.update(3, labels[3])


def test_live_numbers_are_those_of_a_new_measurement() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (9, 20, 50), np.uint8)
    samples = random.integers(0, 3, (3, *labels.shape), np.uint8)
    spacing, where = (0.3, 0.01, 0.1), {"fovea": (4.2, 25.0), "eye": "OD"}
    live = LiveMeasures(labels, CLASSES, spacing, samples=samples)
    live.place(where["fovea"], eye="OD")
    labels[5, 3:9, 10:30] = 1
    samples[:, 5, 3:9, 10:30] = 1
    live.update(5, labels[5], samples[:, 5])
    rows = live.rows()
    assert rows == spad.measure(labels, CLASSES, spacing, samples=samples, **where)
    assert rows[0].low_nl <= rows[0].high_nl
    assert live.heights_um(1)[5, 20] == pytest.approx(10 * (labels[5, :, 20] == 1).sum())


def test_samples_give_the_range() -> None:
    labels = np.zeros((4, 10, 10), np.uint8)
    samples = np.stack([labels] * 3)
    samples[1, :, :2], samples[2, :, :5], labels[:, :3] = 1, 1, 1
    row, _ = spad.measure(labels, CLASSES, (0.1, 0.1, 0.1), samples=samples)
    assert (row.low_nl, row.volume_nl, row.high_nl) == pytest.approx((0, 120, 200))


def test_what_was_not_scanned_is_told_and_not_counted() -> None:
    labels = np.zeros((20, 4, 60), np.uint8)
    labels[:, 1] = 1
    labels[:, :, 40:] = 255
    live = LiveMeasures(labels, CLASSES, (0.3, 0.01, 0.1))
    live.place((10.0, 30.0))
    rows = {m.region: m for m in live.rows() if m.value == 1}
    assert rows["1 mm"].scanned == pytest.approx(1, abs=0.01)
    assert 0.6 < rows["6 mm"].scanned < 0.9
    assert rows["6 mm"].mean_height_um == pytest.approx(10)
    assert np.isnan(live.heights_um(1)[0, 50])
    told = LiveMeasures(labels, CLASSES, (0.2, 0.01, 0.1))
    told.place((10.0, 30.0), eye="OD", first="superior")
    assert [one[:4] for one in remarks(told)] == ["only"]
    said = " ".join(remarks(live))
    for words in (
        "300 µm apart, more than 250 µm",
        "of the 6 mm circle was scanned",
        "OD or OS",
        "S and I",
    ):
        assert words in said


def test_a_single_bscan_and_unknown_distances_have_no_volume() -> None:
    labels = np.zeros((30, 50), np.uint8)
    labels[5:9, 10:20] = 1
    for spacing in ((0.004, 0.01), (0.1, 0.004, 0.01)):
        row, empty = spad.measure(labels, CLASSES, spacing)
        assert row.volume_nl is None
        assert empty.largest_area_mm2 == 0
        assert row.largest_area_mm2 == pytest.approx(40 * 0.004 * 0.01)
    live = LiveMeasures(labels, CLASSES, (0.004, 0.01))
    assert "one single B-scan" in remarks(live)[0]
    stack = LiveMeasures(np.stack([labels] * 3), CLASSES, (None, 0.004, 0.01))
    assert stack.rows()[0].volume_nl is None
    assert "distance of the B-scans is not known" in remarks(stack)[0]
    with pytest.raises(ValueError, match="need the distance of the B-scans"):
        stack.place((1, 20))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing_mm": (0.1, None, 0.01)}, "type the scale"),
        ({"spacing_mm": (0.1, 0.0, 0.01)}, "each above 0"),
        ({"spacing_mm": (0.1, 0.004, float("nan"))}, "each above 0"),
        ({"spacing_mm": (1.0,)}, "type the scale"),
        ({"fovea": (9.0, 5.0)}, "outside the scan of 4 B-scans of 6 columns"),
        ({"fovea": (1.0, 1.0), "eye": "left"}, "“OD”, “OS” or None"),
        ({"fovea": (1.0, 1.0), "first": "top"}, "“inferior” or “superior”"),
        ({"labels": [np.zeros((5, 6), np.uint8), np.zeros((5, 7), np.uint8)]}, "unequal sizes"),
        ({"labels": np.zeros((4, 5, 6))}, "integers"),
        ({"labels": np.zeros((2, 4, 5, 6), np.uint8)}, "give a stack"),
        ({"samples": np.zeros((2, 4, 5, 7), np.uint8)}, "samples of the same image"),
        ({"labels": np.ma.masked_equal(np.eye(5, dtype=int), 1)}, "label map is a masked array"),
        ({"samples": np.ma.masked_less(np.zeros((2, 4, 5, 6), int), 1)}, "samples is a masked"),
        ({"spacing_mm": None}, "spacing_mm is None; to measure"),  # a segmentation's, not known
        ({"spacing_mm": ("0.1", "a", "b")}, "each above 0"),
        ({"fovea": (1, 2, 3)}, r"fovea at \(B-scan, column\) \(1.0, 2.0, 3.0\)"),  # with a row
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(change, words) -> None:
    given = {"labels": np.zeros((4, 5, 6), np.uint8), "spacing_mm": (0.1, 0.004, 0.01)} | change
    labels, spacing = given.pop("labels"), given.pop("spacing_mm")
    with pytest.raises(ValueError, match=words):
        spad.measure(labels, CLASSES, spacing, **given)


def test_means_of_a_map_by_field() -> None:
    grid = Grid((30, 30), (0.1, 0.1), (61, 61), "OD")
    thickness = np.full((61, 61), 300.0)
    thickness[:31] = np.nan
    thickness[29:32, 29:32] = 250
    means = grid.means(thickness)
    assert means["S6"] == pytest.approx(300)
    assert math.isnan(grid.means(np.full((61, 61), np.nan))["C1"])
    assert 250 < means["C1"] < 300
    circle = grid.lines()[2]
    assert np.hypot(*((circle - 30) * 0.1).T) == pytest.approx(3.0)
    assert grid.middles()["N3"] == (30, 40)


def test_a_stroke_in_a_large_stack_is_measured_at_once() -> None:
    labels = np.zeros((64, 512, 512), np.uint8)
    labels[:, 200:220] = 1
    live = LiveMeasures(labels, CLASSES, (0.06, 0.004, 0.011))
    live.place((32, 256), eye="OD")
    live.rows()
    took = []
    for z in range(3):
        begin = time.perf_counter()
        live.update(z, labels[z])
        live.rows()
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.25  # 0.02 alone on a core; benchmarks/measuring.py


def test_a_scale_that_no_oct_has_is_doubted() -> None:
    live = LiveMeasures(np.zeros((4, 5, 6), np.uint8), CLASSES, (1.0, 1.0, 1.0))
    said = remarks(live, Scale.of((1.0, 1.0, 1.0)))
    assert sum("type the scale if this is wrong" in one for one in said) == 2
