"""Anatomical checks find what they are for, at the place where it is, and change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spad.annotation.anatomical_checks import SPECK_PX, checks
from spad.checkpoint.labels import IGNORE, label_classes
from spad.phantom import CLASS_NAMES, stack

CLASSES = label_classes(("background", "SRF (fluid)", "IRF", "PED", "SHRM", "IS/OS"))
SRF, IRF, PED, SHRM, ISOS = 1, 2, 3, 4, 5


def empty() -> np.ndarray:
    return np.zeros((60, 80), np.uint8)


def found(labels: np.ndarray, **options) -> list[tuple[str, str]]:
    return [(f.kind, f.text) for f in checks(labels, CLASSES, **options)]


def test_a_plain_retina_gives_no_findings() -> None:
    labels = empty()
    labels[10:15, 10:20] = IRF
    labels[30:32] = ISOS
    labels[32:38, 30:50] = SRF
    labels[40:48, 30:50] = PED
    assert found(labels) == []


def test_a_hole_is_found_where_it_is() -> None:
    labels = empty()
    labels[10:20, 10:20] = SRF
    labels[13:15, 12:16] = 0
    (finding,) = checks(labels, CLASSES)
    assert (finding.kind, finding.text, finding.value) == ("hole", "hole in SRF", SRF)
    assert finding.pixels == 8
    assert finding.box == (13, 12, 15, 16)
    assert labels[finding.row, finding.column] == 0


@pytest.mark.parametrize("filling", [IRF, IGNORE, 77])
def test_what_another_structure_or_an_ignored_pixel_fills_or_borders_is_no_hole(filling) -> None:
    labels = empty()
    labels[10:20, 10:20] = SRF
    labels[13:15, 12:16] = 0
    labels[13, 12] = filling
    assert "hole" not in [kind for kind, _ in found(labels)]


def test_background_open_to_the_frame_is_no_hole() -> None:
    labels = empty()
    labels[0:10, 0:10] = SRF
    labels[0:5, 3:6] = 0
    assert found(labels) == []


def test_a_speck_is_one_below_the_size_in_pixels_or_mm2() -> None:
    labels = empty()
    labels[5:8, 5:8] = IRF  # 9 pixels
    labels[20:30, 20:30] = IRF
    assert found(labels) == [("speck", "speck of IRF")]
    assert found(labels, speck_px=9) == []
    assert found(labels, spacing_mm=(0.01, 0.01), speck_mm2=0.00091) == [("speck", "speck of IRF")]
    assert found(labels, spacing_mm=(0.01, 0.01), speck_mm2=0.0009) == []


def test_is_os_at_two_heights_in_a_column_is_one_finding_for_adjoining_columns() -> None:
    labels = empty()
    labels[30:33, 5:60] = ISOS
    labels[40:43, 50:70] = ISOS
    (finding,) = checks(labels, CLASSES)
    assert finding.kind == "heights"
    assert finding.text == "IS/OS at 2 heights in 10 columns"
    assert finding.box == (30, 50, 43, 60)


@pytest.mark.parametrize("fluid", [SRF, IRF])
def test_fluid_below_a_ped_is_below_the_rpe(fluid: int) -> None:
    labels = empty()
    labels[20:30, 20:40] = PED
    labels[35:40, 30:50] = fluid
    (finding,) = checks(labels, CLASSES)
    assert finding.kind == "order"
    assert "fluid below the RPE" in finding.text
    assert finding.value == fluid
    assert finding.box == (35, 30, 40, 40)  # only where the PED is above


@pytest.mark.parametrize(
    ("above", "below"), [(ISOS, IRF), (SRF, ISOS), (SRF, IRF), (SHRM, IRF), (PED, SHRM)]
)
def test_a_wrong_order_is_called_unusual(above: int, below: int) -> None:
    labels = empty()
    labels[20:30, 20:40] = above
    labels[35:40, 20:40] = below
    (finding,) = checks(labels, CLASSES)
    name = CLASSES[above].name.split(" (")[0]
    assert finding.text == f"unusual: {CLASSES[below].name} below {name}"


def test_too_few_pixels_tell_of_no_wrong_order() -> None:
    labels = empty()
    labels[20:30, 20:40] = PED
    labels[35:40, 38:60] = SRF  # 10 pixels under the PED
    assert SPECK_PX > 10
    assert found(labels) == []


def test_other_classes_than_the_known_ones_have_no_order() -> None:
    labels = empty()
    labels[20:30, 20:40] = 1
    labels[35:40, 20:40] = 2
    assert checks(labels, label_classes(("background", "lung", "heart"))) == ()


def test_a_phantom_is_drawn_in_the_right_order() -> None:
    for labels in stack(3).labels[::4]:
        kinds = {f.kind for f in checks(labels, label_classes(CLASS_NAMES))}
        assert not kinds & {"order", "heights"}


LABELS = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 9, IGNORE]),
)


@settings(max_examples=80, deadline=None)
@given(LABELS)
def test_findings_lie_in_the_image_and_in_their_boxes_and_nothing_is_changed(labels) -> None:
    before = labels.copy()
    for finding in checks(labels, CLASSES):
        top, left, bottom, right = finding.box
        assert 0 <= top <= finding.row < bottom <= labels.shape[0]
        assert 0 <= left <= finding.column < right <= labels.shape[1]
        assert 0 < finding.pixels <= (bottom - top) * (right - left)
        own = labels[finding.row, finding.column]
        assert own == (0 if finding.kind == "hole" else finding.value) or finding.kind == "heights"
    np.testing.assert_array_equal(labels, before)


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_a_mirrored_b_scan_has_the_same_findings_and_filling_holes_ends_them(labels) -> None:
    def told(a: np.ndarray) -> list:
        return sorted((f.kind, f.text, f.pixels) for f in checks(a, CLASSES))

    assert told(labels) == told(labels[:, ::-1])
    assert told(labels) == told(labels.astype(np.int32))
    holes = [f for f in checks(labels, CLASSES) if f.kind == "hole"]
    filled = labels.copy()
    for hole in holes:
        top, left, bottom, right = hole.box
        part = filled[top:bottom, left:right]
        if (part[part != 0] == hole.value).all():  # nothing else lies in the box
            part[part == 0] = hole.value
            after = [f.box for f in checks(filled, CLASSES) if f.kind == "hole"]
            assert hole.box not in after


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (np.zeros((2, 4, 4), np.uint8), {}, r"\(2, 4, 4\).*one B-scan"),
        (np.zeros((4, 4)), {}, "float64.*integers"),
        (np.zeros((4, 4), np.uint8), {"spacing_mm": (0.1, 0)}, "both above 0"),
        (np.zeros((4, 4), np.uint8), {"spacing_mm": (0.1, 0.1, 0.1)}, r"\(row, column\)"),
    ],
)
def test_bad_input_is_refused_in_words(labels, options, said) -> None:
    with pytest.raises(ValueError, match=said):
        checks(labels, CLASSES, **options)


def test_values_that_are_no_class_are_left_alone() -> None:
    labels = empty().astype(np.int16)
    labels[5, 5], labels[6, 6], labels[7, 7] = -1, 300, 9
    assert found(labels) == []
