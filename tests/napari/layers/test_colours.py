"""Colour-blind annotators can tell apart what the canvas shows.

Colour vision deficiencies by the matrices of Machado, Oliveira and Fernandes, IEEE Trans. Vis.
Comput. Graph. 15 (2009), doi:10.1109/TVCG.2009.113, at full severity, on linear RGB; distances are
CIE76 in CIELAB (D65), of which about 2.3 can just be seen.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari_spad.layers.result_layers import hand_colormap, uncertainty_colormap
from spad.checkpoint.labels import label_classes

SEEN_BY = {
    "normal": np.eye(3),
    "protanope": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranope": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanope": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
TISSUE = (0.1, 0.45, 0.8)
"""Vitreous, retina and pigment epithelium, as grey values."""
FILL = 0.5
"""Opacity of a result's layer."""

STRUCTURES = {
    c.name: np.array(c.color) / 255
    for c in label_classes(("background", "SRF", "IRF", "PED", "SHRM", "IS/OS"))[1:]
}
everyone = pytest.mark.parametrize("eye", SEEN_BY)


def lab(rgb: np.ndarray, eye: str) -> np.ndarray:
    rgb = np.asarray(rgb, float)[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ SEEN_BY[eye].T, 0, 1) @ XYZ.T / WHITE
    f = np.where(seen > (6 / 29) ** 3, np.cbrt(seen), seen / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def distance(one: np.ndarray, two: np.ndarray, eye: str) -> float:
    return float(np.linalg.norm(lab(one, eye) - lab(two, eye)))


def over(grey: float, color: np.ndarray, opacity: float) -> np.ndarray:
    return opacity * np.asarray(color)[:3] + (1 - opacity) * grey


def test_equal_colours_are_at_no_distance_and_black_is_far_from_white():
    assert distance(np.ones(3) / 2, np.ones(3) / 2, "normal") == 0
    assert distance(np.zeros(3), np.ones(3), "normal") == pytest.approx(100, abs=0.1)
    red, green = np.array([0.9, 0.1, 0.1]), np.array([0.42, 0.42, 0.1])
    assert distance(red, green, "protanope") < distance(red, green, "normal") / 3


@everyone
def test_structures_differ_in_tables_and_outlines(eye):
    for (one, a), (two, b) in combinations(STRUCTURES.items(), 2):
        assert distance(a, b, eye) > 15, f"{one} and {two}"


@everyone
@pytest.mark.parametrize("grey", TISSUE)
def test_structures_differ_as_half_clear_fills_on_tissue(eye, grey):
    for (one, a), (two, b) in combinations(STRUCTURES.items(), 2):
        assert distance(over(grey, a, FILL), over(grey, b, FILL), eye) > 7, f"{one} and {two}"


@everyone
@pytest.mark.parametrize("grey", TISSUE)
def test_a_references_outline_stands_out_from_the_fill_of_its_own_structure(eye, grey):
    for name, color in STRUCTURES.items():
        assert distance(color, over(grey, color, FILL), eye) > 7, name


@everyone
@pytest.mark.parametrize("grey", TISSUE)
def test_the_outline_of_what_was_painted_by_hand_stands_out_from_every_fill(eye, grey):
    outline = hand_colormap().color_dict[1]
    for name, color in STRUCTURES.items():
        assert distance(over(grey, outline, 0.9), over(grey, color, FILL), eye) > 15, name


@everyone
def test_no_uncertainty_looks_like_a_structure(eye):
    """From half its range on; below, it is a tint."""
    for value in np.linspace(0.5, 1, 6):
        shade = uncertainty_colormap().map(np.array([value]))[0]
        for name, color in STRUCTURES.items():
            assert distance(shade, color, eye) > 15, f"{name} and an uncertainty of {value:.1f}"
