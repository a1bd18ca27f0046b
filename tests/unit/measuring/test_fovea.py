"""The fovea proposed from its pit."""

from __future__ import annotations

import numpy as np
import pytest

from spad.measuring import pit, propose_fovea

SPACING = (0.24, 0.0078, 0.0234)


def eye(fovea, dip_um: float, seed: int = 0) -> np.ndarray:
    """B-scans of a tilted, moving retina with a pit."""
    random = np.random.default_rng(seed)
    deep, height, width = 25, 248, 256
    z, x = np.mgrid[:deep, :width]
    from_mm = np.hypot((z - fovea[0]) * SPACING[0], (x - fovea[1]) * SPACING[2])
    top = 80 + 0.08 * x + random.normal(0, 8, deep)[:, None]
    top = top + dip_um / 7.8 * np.exp(-((from_mm / 0.45) ** 2))
    rows = np.arange(height)[None, :, None]
    bright = (rows > top[:, None]) & (rows < 170)
    speckle = random.gamma(3, 1 / 3, (deep, height, width))
    return ((20 + 120 * bright) * speckle).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("fovea", [(12.0, 128.0), (8.5, 90.0), (15.0, 180.0)])
def test_a_pit_is_found_through_tilt_and_movement(fovea) -> None:
    found = propose_fovea(eye(fovea, 100), SPACING)
    assert found is not None
    assert abs(found[0] - fovea[0]) * SPACING[0] < 0.25
    assert abs(found[1] - fovea[1]) * SPACING[2] < 0.15


def test_a_flat_retina_has_none() -> None:
    assert propose_fovea(eye((12, 128), 0), SPACING) is None
    assert propose_fovea(np.zeros((2, 64, 64)), SPACING) is None
    assert pit(np.full((5, 5), np.nan), (0.2, 0.2)) is None
    with pytest.raises(ValueError, match="three lengths in mm"):
        propose_fovea(np.zeros((5, 64, 64)), (0.1, 0.1))


@pytest.mark.parametrize("empty", [np.s_[:, :20], np.s_[:, :, :30], np.s_[:, :, -30:]])
def test_pixels_without_a_value_hide_no_pit(empty) -> None:
    """Heidelberg writes 3.4e38 where it has no pixels: beside a B-scan that it moved."""
    pixels = eye((12, 128), 100).astype(np.float32)
    pixels[empty] = np.finfo(np.float32).max
    known = eye((12, 128), 100).astype(np.float32)
    known[empty] = 0
    assert propose_fovea(pixels, SPACING) == propose_fovea(known, SPACING)
    assert propose_fovea(known, SPACING) == pytest.approx((12, 128), abs=5)


@pytest.mark.parametrize("wide", [6, 10, 30, 80])
def test_a_black_margin_is_no_pit(wide) -> None:
    """It has no border of the retina, and the column beside it has one where it always was."""
    image = eye((12, 160), 100)
    image[::2, :, :wide] = 0
    image[1::2, :, -wide // 2 :] = 0
    image[7] = 0
    assert propose_fovea(image, SPACING) == pytest.approx((12, 160), abs=6)
    assert propose_fovea(np.zeros_like(image), SPACING) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_pit_is_found_where_high_values_are_dark(dtype) -> None:
    image = eye((12, 128), 100).astype(dtype)
    found = propose_fovea(dtype(255) - image, SPACING, inverted=True)
    assert found == pytest.approx(propose_fovea(image, SPACING))
